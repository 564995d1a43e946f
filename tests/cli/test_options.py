import pytest
import typer

from scmpt_scverse.cli._options import choose_encoders, parse_obsm_keys


def test_obsm_pairs() -> None:
    assert parse_obsm_keys(["text=X_mine", "protein=X_a=b"]) == {"text": "X_mine", "protein": "X_a=b"}
    for wrong in ("X_pca", "=X_pca", "text="):
        with pytest.raises(typer.BadParameter, match=f"Expected NAME=KEY, .*; found '{wrong}'"):
            parse_obsm_keys([wrong])


def test_the_pair_of_the_paper_unless_told_otherwise() -> None:
    assert choose_encoders(None, None, {}) == {"text": "ember-v1", "expression": "scgpt-human"}
    assert choose_encoders("minilm", "none", {}) == {"text": "minilm"}
    assert choose_encoders(None, None, {"expression": "X_pca"}) == {"text": "ember-v1"}
    assert choose_encoders("none", None, {"expression": "X_pca", "protein": "X_adt"}) == {}
    # Given twice: the model refuses it and says so.
    assert choose_encoders("minilm", None, {"text": "X_mine", "expression": "X_pca"}) == {"text": "minilm"}
