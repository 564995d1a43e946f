"""The pages, and the blocks of code in them."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
#: Everything but the pages of the API, whose blocks are directives, and copies that a build makes.
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("README.md", "docs/*.md", "docs/user_guide/*.md", "docs/encoders/*.md", "docs/developer/*.md")
    for path in ROOT.glob(pattern)
)
_FENCED = re.compile(
    r"^(?P<fence>`{3,})(?P<language>[\w{}-]+)[^\n]*\n(?P<code>.*?)^(?P=fence)$", re.DOTALL | re.MULTILINE
)


@dataclass(frozen=True)
class Block:
    """Code of a page; `line` is where its first line stands."""

    page: str
    language: str
    line: int
    code: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks_of(page: str, *languages: str) -> list[Block]:
    """The blocks of a page, from top to bottom."""
    text = text_of(page)
    return [
        Block(page, found["language"], text.count("\n", 0, found.start("code")) + 1, found["code"])
        for found in _FENCED.finditer(text)
        if found["language"] in languages
    ]


def pages_with(*languages: str) -> list[str]:
    return [page for page in PAGES if blocks_of(page, *languages)]
