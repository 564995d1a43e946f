"""Recipes of reference models are complete, agree with the Cell Ontology, and list what they would read."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

ontology_guide = pytest.importorskip("cellxgene_ontology_guide", reason="needs the extra `ontology`")
FOLDER = Path(__file__).parents[2] / "references"
NAMES = sorted(path.stem for path in FOLDER.glob("*.toml"))
sys.path.insert(0, str(FOLDER))
from _claims import OPEN, OUTSIDE, claimable_types, claimed_type  # type: ignore[import-not-found]  # noqa: E402
from _recipe import Recipe, Study  # type: ignore[import-not-found]  # noqa: E402

from scmpt_scverse.knowledge import cell_ontology  # noqa: E402

FINE = ("CL:0000084", "CL:0000624", "CL:0002057", "CL:0002396")


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(FOLDER / "build.py"), *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True)


@pytest.mark.parametrize("name", NAMES)
def test_ids_are_of_the_ontology(name: str) -> None:
    recipe = Recipe.read(name)
    terms = cell_ontology().terms
    given = [*(term for level in recipe.levels for term in level.types)]
    given += [term for study in (*recipe.studies, *recipe.elsewhere) for term in study.labels.values() if term]
    assert [term for term in given if term not in terms] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_study_has_a_source_and_a_licence(name: str) -> None:
    recipe = Recipe.read(name)
    assert len(recipe.groups) > 1, "one is left out at a time"
    assert all(study.source and study.license for study in (*recipe.studies, *recipe.elsewhere))


@pytest.mark.parametrize("name", NAMES)
def test_a_coarser_level_holds_all_that_a_finer_one_claims(name: str) -> None:
    levels = Recipe.read(name).levels
    for finer, coarser in pairwise(levels):
        lost = [term for term in finer.types if claimed_type(term, coarser.types) in {OPEN, OUTSIDE}]
        # Tissue-resident mast cells and the like may have no compartment; no more than a few.
        assert len(lost) <= len(finer.types) // 5, lost


def test_a_label_is_the_most_specific_type_that_it_is_a_kind_of() -> None:
    assert claimed_type("CL:0000895", FINE) == "CD4-positive, alpha-beta T cell"  # naive CD4 T cell
    assert claimed_type("CL:0000815", FINE) == "T cell"  # regulatory T cell
    assert claimed_type("CL:0001054", FINE) == OPEN, "CD14-positive monocytes may be of either kind"
    assert claimed_type("CL:0000037", FINE) == OUTSIDE
    assert claimed_type("", FINE) == OPEN


def test_a_type_is_claimed_where_two_studies_have_it() -> None:
    terms = {"one": ["CL:0000895", "CL:0002057"], "two": ["CL:0000900", "CL:0002057"]}
    assert claimable_types(terms, FINE, 2) == ("CL:0002057",)
    assert claimable_types(terms, FINE, 1) == ("CL:0000084", "CL:0000624", "CL:0002057")


@pytest.mark.parametrize("name", NAMES)
def test_a_dry_run_lists_what_would_be_read(name: str) -> None:
    result = run(name, "--dry-run")
    assert result.returncode == 0, result.stderr
    for study in Recipe.read(name).studies:
        place = study.file or study.dataset or study.census["value_filter"]
        assert study.name in result.stdout
        assert place in result.stdout
        assert study.license in result.stdout


def test_a_recipe_that_is_not_there() -> None:
    result = run("blod", "--dry-run")
    assert result.returncode == 1
    assert "one of blood, lung, mouse_brain; found 'blod'" in result.stderr


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"file": None}, r"needs one of `file`, `dataset` and `census`; found \[\]"),
        ({"dataset": "pbmc68k_reduced"}, r"found \['file', 'dataset'\]"),
        ({"labels": {}}, "needs `labels`"),
    ],
)
def test_a_study_without_what_it_needs(change: dict[str, Any], words: str) -> None:
    given = {"name": "x", "group": "x", "labels_key": "y", "source": "s", "license": "mit", "file": "x.h5ad"}
    with pytest.raises(ValueError, match=words):
        Study(**{**given, "labels": {"a": "CL:0000236"}, **change})


def test_a_recipe_that_is_not_complete(tmp_path: Path) -> None:
    (tmp_path / "short.toml").write_text('name = "short"\n[[levels]]\nname = "one"\n')
    with pytest.raises(ValueError, match=r"short\.toml is not complete \('types'\)"):
        Recipe.read("short", tmp_path)
