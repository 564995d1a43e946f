"""The gallery shows every plot, with a picture that is there and says in words what is on it."""

import re
from pathlib import Path

from scmpt_scverse import pl

GUIDE = Path(__file__).parents[2] / "docs" / "user_guide"


def test_every_plot_is_in_the_gallery_and_in_the_api() -> None:
    page = (GUIDE / "gallery.md").read_text(encoding="utf-8")
    api = (GUIDE.parent / "api" / "pl.md").read_text(encoding="utf-8")
    assert {name for name in pl.__all__ if f"`pl.{name}(" not in page} == set()
    assert set(re.findall(r"^   pl\.(\w+)$", api, re.MULTILINE)) == set(pl.__all__)


def test_every_picture_is_there_and_described() -> None:
    page = (GUIDE / "gallery.md").read_text(encoding="utf-8")
    pictures = re.findall(r"^!\[(.*)\]\((.*)\)$", page, re.MULTILINE)
    assert len(pictures) >= len(pl.__all__)
    for text, path in pictures:
        assert len(text) > 20
        assert (GUIDE / path).is_file()


def test_every_picture_is_drawn_by_the_script() -> None:
    script = (GUIDE.parents[1] / "benchmarks" / "gallery.py").read_text(encoding="utf-8")
    page = (GUIDE / "gallery.md").read_text(encoding="utf-8")
    drawn = set(re.findall(r'"(\w+)"\)$', script, re.MULTILINE))
    shown = {Path(path).stem for path in re.findall(r"\((images/\w+\.png)\)", page)}
    assert shown - drawn == {"report"}  # a screenshot of the web page
