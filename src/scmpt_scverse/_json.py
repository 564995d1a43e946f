"""JSON of any origin, read so that what is no JSON is a `ValueError`."""

import json
import re
from pathlib import Path
from typing import Any

from scmpt_scverse._checks import type_name

#: No file of ours has brackets nested deeper.
MOST_LEVELS = 100
_TEXT_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]')


def parsed_json(text: str | bytes) -> Any:
    """What JSON holds; `ValueError` if it is none, also where brackets are nested so deep that parsers give up."""
    try:
        return json.loads(text)
    except RecursionError as error:
        if isinstance(text, bytes):
            text = text.decode("utf-8", "replace")
        level = deepest = 0
        for found in _TEXT_OR_BRACKET.finditer(text):
            level += {"[": 1, "{": 1, "]": -1, "}": -1}.get(found[0], 0)
            deepest = max(deepest, level)
        if deepest <= MOST_LEVELS:
            raise  # it is the call that is nested
        raise ValueError(f"brackets are nested {deepest} deep") from error


def downloaded_json(file: Path, kind: type = dict) -> Any:
    """What a downloaded file of JSON holds, of a kind; `ValueError` where it is none."""
    try:
        content = parsed_json(file.read_text(encoding="utf-8"))
    except ValueError as error:  # malformed JSON, or bytes that are not text
        raise ValueError(f"Expected JSON in {str(file)!r}; found: {error}. Download the folder again.") from error
    if not isinstance(content, kind):
        expected = "a JSON object" if kind is dict else f"a JSON {kind.__name__}"
        raise ValueError(
            f"Expected {expected} in {str(file)!r}; found {type_name(content)}. Download the folder again."
        )
    return content
