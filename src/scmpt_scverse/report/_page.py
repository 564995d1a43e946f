"""The page itself: a template, a style sheet and a script, filled with what was found."""

import base64
import hashlib
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup

_ASSETS = Path(__file__).with_name("assets")


def page_of(content: Mapping[str, Any]) -> str:
    """The page as HTML.

    All text is escaped: as HTML by the template, and as JSON for the script, without `<`, `>` and `&`. Browsers run no
    script in it but ours, of which it states the hash, and load nothing.
    """
    script, style = (_asset(name) for name in ("report.js", "report.css"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _template().render(content, script=script, style=style, script_hash=digest)


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


@cache
def _template() -> "Template":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_ASSETS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": _percent, "with_code": _with_code}
    return environment.get_template("report.html.jinja")


def _with_code(text: str) -> "Markup":
    """Escaped text, in which what stands between backticks is code."""
    from markupsafe import Markup, escape

    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _percent(share: float) -> str:
    """A share in words: 0 and 100 % only where it is exactly that."""
    if 0 < share < 0.001:
        text = "< 0.1"
    elif 0.999 < share < 1:
        text = "> 99.9"
    else:
        text = f"{100 * share:.1f}" if 0 < share < 0.1 or 0.99 < share < 1 else f"{100 * share:.0f}"
    return f"{text}\N{NO-BREAK SPACE}%"
