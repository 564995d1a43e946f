"""The two paths in `docs/developer/architecture.md` are those that cells take: followed while a model runs."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from anndata import AnnData
from tests._adata import LABELS_KEY

import scmpt_scverse
from scmpt_scverse import SCMPT
from scmpt_scverse._folders import CACHE_VARIABLE

SOURCE = Path(scmpt_scverse.__file__).parent
PAGE = Path(__file__).parents[1] / "docs" / "developer" / "architecture.md"


def section(title: str) -> str:
    return re.split(r"^## ", PAGE.read_text(encoding="utf-8").split(f"## {title}\n")[1], flags=re.MULTILINE)[0]


def main_files(text: str) -> list[str]:
    """The files in bold, in the order in which they first occur."""
    return list(dict.fromkeys(re.findall(r"\*\*`([\w/]+\.py)`\*\*", text)))


def functions(text: str) -> set[str]:
    """Names of functions and methods; of a call, without its arguments."""
    return set(re.findall(r"`([A-Za-z_]+(?:\.[A-Za-z_]+)?)(?:\([^`]*\))?`", text))


def followed(*actions: Callable[[], Any]) -> tuple[list[str], set[str]]:
    """Our files in the order of their first call, and all functions that were called."""
    files: dict[str, None] = {}
    names: set[str] = set()

    def watch(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(str(SOURCE)):
            files.setdefault(str(Path(code.co_filename).relative_to(SOURCE)))
            *owner, name = code.co_qualname.split(".")
            # A class is called by its name.
            names.update({name, ".".join([*owner[-1:], name]), *(owner[-1:] if name == "__init__" else ())})

    sys.setprofile(watch)
    try:
        for action in actions:
            action()
    finally:
        sys.setprofile(None)
    return list(files), names


def check(title: str, files: list[str], names: set[str]) -> None:
    text = section(title)
    named = main_files(text)
    assert 1 < len(named) <= 5, "a reader follows a call through at most five files"
    assert [file for file in files if file in named] == named
    assert len(functions(text)) > 10, "the names were not found"
    assert functions(text) - names == set()


@pytest.fixture
def model(pbmc: AnnData, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SCMPT:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))  # where no cell is embedded yet
    cells = pbmc[:200].copy()
    SCMPT.setup_anndata(cells, LABELS_KEY, obsm_keys={"components": "X_pca"})
    return SCMPT(cells, encoders={"expression": "scgpt-mini", "counts": "counts"})


def test_path_through_train(model: SCMPT) -> None:
    files, names = followed(lambda: model.train(enable_progress_bar=False))
    SCMPT.setup_anndata(cells := model.adata.copy(), LABELS_KEY, obsm_keys={"components": "X_pca"})
    in_epochs = SCMPT(cells, fusion="concat", n_hidden=8)
    _, others = followed(lambda: in_epochs.train(max_epochs=1, enable_progress_bar=False))
    check("The path of `adata` through `train`", files, names | others)


def test_path_through_annotate(model: SCMPT, pbmc: AnnData) -> None:
    model.train(enable_progress_bar=False)
    query = pbmc[200:230].copy()
    files, names = followed(
        lambda: model.annotate(query), lambda: model.annotate(query), lambda: model.predict(query, [1])
    )
    check("The path of `adata` through `annotate`", files, names)
