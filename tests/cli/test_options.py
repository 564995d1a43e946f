import pytest
import typer

from scmpt_scverse.cli._options import checked_choice, choose_encoders, parse_obsm_keys


def test_obsm_pairs() -> None:
    assert parse_obsm_keys(["text=X_mine", "protein=X_a=b"]) == {"text": "X_mine", "protein": "X_a=b"}
    for wrong in ("X_pca", "=X_pca", "text="):
        with pytest.raises(typer.BadParameter, match=f"Expected NAME=KEY, .*; found '{wrong}'"):
            parse_obsm_keys([wrong])


def test_encoders_of_the_preset_unless_overridden() -> None:
    def choose(preset: str, *, counts: bool = True, brought: "dict[str, str] | None" = None, **given: str) -> object:
        named = {"text": None, "knowledge": None, "expression": None, **given}
        return choose_encoders(preset, named, counts=counts, obsm_keys=brought or {})

    knowledge = {"knowledge": "knowledge"}
    assert choose("mini") is None
    assert choose("mini", text="minilm", expression="none") == {"text": "minilm", **knowledge, "counts": "counts"}
    assert choose("mini", text="none", counts=False) == {**knowledge, "expression": "scgpt-mini"}
    assert choose("mini", text="none", knowledge="none", counts=False) == {"expression": "scgpt-mini"}
    assert choose("paper", text="minilm") == {"text": "minilm", "expression": "scgpt-human"}
    assert choose("mini", text="none", brought={"expression": "X_pca"}) == {**knowledge, "counts": "counts"}
    # Given twice: the model refuses it and says so.
    both = {"text": "X_mine", "expression": "X_pca"}
    assert choose("mini", text="minilm", counts=False, brought=both) == {"text": "minilm", **knowledge}


def test_choices_come_from_registries() -> None:
    checked_choice(None, ["a"], "--fusion")
    checked_choice("a", ["a"], "--fusion")
    with pytest.raises(typer.BadParameter, match="'b' is not one of 'a', 'c'"):
        checked_choice("b", ["a", "c"], "--fusion")
