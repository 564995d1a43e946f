import pytest
import typer

from scmpt_scverse.cli._options import checked_choice, choose_encoders, parse_obsm_keys


def test_obsm_pairs() -> None:
    assert parse_obsm_keys(["text=X_mine", "protein=X_a=b"]) == {"text": "X_mine", "protein": "X_a=b"}
    for wrong in ("X_pca", "=X_pca", "text="):
        with pytest.raises(typer.BadParameter, match=f"Expected NAME=KEY, .*; found '{wrong}'"):
            parse_obsm_keys([wrong])


def test_encoders_of_the_preset_unless_overridden() -> None:
    def choose(preset: str, text: str | None, expression: str | None, *, counts: bool = True) -> object:
        return choose_encoders(preset, text, expression, counts=counts, obsm_keys={})

    assert choose("mini", None, None) is None
    assert choose("mini", "minilm", "none") == {"text": "minilm", "counts": "counts"}
    assert choose("mini", "none", None, counts=False) == {"expression": "scgpt-mini"}
    assert choose("paper", "minilm", None) == {"text": "minilm", "expression": "scgpt-human"}
    assert choose_encoders("mini", "none", None, counts=True, obsm_keys={"expression": "X_pca"}) == {"counts": "counts"}
    # Given twice: the model refuses it and says so.
    both = {"text": "X_mine", "expression": "X_pca"}
    assert choose_encoders("mini", "minilm", None, counts=False, obsm_keys=both) == {"text": "minilm"}


def test_choices_come_from_registries() -> None:
    checked_choice(None, ["a"], "--fusion")
    checked_choice("a", ["a"], "--fusion")
    with pytest.raises(typer.BadParameter, match="'b' is not one of 'a', 'c'"):
        checked_choice("b", ["a", "c"], "--fusion")
