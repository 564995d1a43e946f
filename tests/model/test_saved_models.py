"""Models saved by the first version of this format are opened, and say what they said then."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests._saved_models import EXPECTED, FOLDER, answers_of, cells_of, opened

FOLDERS = sorted(FOLDER.iterdir())


def test_there_is_one_of_each_class() -> None:
    assert [folder.name for folder in FOLDERS] == ["SCMMGPT", "SCMPT"]
    assert all(sum(file.stat().st_size for file in folder.iterdir()) < 100_000 for folder in FOLDERS)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_it_says_what_it_said(folder: Path) -> None:
    if folder.name == "SCMMGPT":
        pytest.importorskip("cellxgene_ontology_guide", reason="needs the extra `ontology`")
    expected = json.loads((folder / EXPECTED).read_text())
    found = answers_of(opened(folder), cells_of(folder))
    assert found["columns"] == expected["columns"]
    np.testing.assert_allclose(found["probabilities"], expected["probabilities"], atol=1e-4)
    assert found["labels"] == expected["labels"]
    assert len(set(expected["labels"])) > 2, "cells of several types, so that a constant answer fails"
