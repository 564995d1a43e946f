"""On a small ontology written here, and on the real one where the extra `ontology` is installed."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from scmpt_scverse import knowledge, tl
from scmpt_scverse.knowledge._normal_form import normal_form

CELL, LYMPHOCYTE, T, CD4, CD8, B, MONOCYTE = (f"CL:000000{number}" for number in range(7))
SMALL = knowledge.CellOntology(
    "test",
    {
        term.id: term
        for term in [
            knowledge.Term(CELL, "cell"),
            knowledge.Term(LYMPHOCYTE, "lymphocyte", parents=(CELL,)),
            knowledge.Term(T, "T cell", ("T lymphocyte", "thymus cell"), parents=(LYMPHOCYTE,)),
            knowledge.Term(CD4, "CD4-positive, alpha-beta T cell", parents=(T,)),
            knowledge.Term(CD8, "CD8-positive, alpha-beta T cell", parents=(T,)),
            knowledge.Term(B, "B cell", ("thymus cell",), parents=(LYMPHOCYTE,)),
            knowledge.Term(MONOCYTE, "CD14-positive monocyte", parents=(CELL,)),
        ]
    },
)
LABELS = ["CD4 T", "CD8 T cells", "B", "CD14+ Monocytes"]


@pytest.fixture
def mapping() -> pd.DataFrame:
    return knowledge.map_labels(LABELS, ontology=SMALL)


@pytest.fixture
def probabilities() -> pd.DataFrame:
    rows = [
        [0.9, 0.1, 0.0, 0.0],  # sure
        [0.5, 0.4, 0.1, 0.0],  # a T cell
        [0.4, 0.2, 0.3, 0.1],  # a lymphocyte
        [0.3, 0.2, 0.1, 0.4],  # nothing but a cell
        [np.nan] * 4,
    ]
    return pd.DataFrame(rows, columns=LABELS, index=list("vwxyz"))


def test_spellings_are_brought_together_and_reported() -> None:
    report = knowledge.map_labels(
        ["T cell", "T lymphocyte", "t-cells", "CD4+ T cells", "thymus cell", "my own", "glia", None, "T cell"],
        overrides={"my own": "B cell"},
        ontology=SMALL,
    )
    assert report.index.tolist() == [
        "T cell",
        "T lymphocyte",
        "t-cells",
        "CD4+ T cells",
        "thymus cell",
        "my own",
        "glia",
    ]
    assert report["match"].tolist() == ["exact", "synonym", "normalised", "normalised", "none", "override", "none"]
    assert report["ontology_id"].tolist() == [T, T, T, CD4, None, B, None]
    assert report.loc["thymus cell", "suggestions"] == "B cell; T cell"  # it means two terms, so it is not guessed


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("CD14+ Mono", "CD14-positive monocyte"),
        ("Naive CD4 T", "naive thymus-derived CD4-positive, alpha-beta T"),
        ("NK cells", "natural killer cell"),
        ("CD19+ B-cells", "B cell, CD19-positive"),
        ("CD56- NK", "CD56-negative natural killer"),
    ],
)
def test_spellings_with_one_normal_form(one: str, other: str) -> None:
    assert normal_form(one) == normal_form(other)


def test_overrides_are_checked() -> None:
    with pytest.raises(ValueError, match="`overrides` for labels that occur; found 'glja'. Did you mean 'glia'?"):
        knowledge.map_labels(["glia"], overrides={"glja": T}, ontology=SMALL)
    with pytest.raises(ValueError, match="a name of the Cell Ontology in `overrides`; found 'T cel'.*'T cell'"):
        knowledge.map_labels(["glia"], overrides={"glia": "T cel"}, ontology=SMALL)


def test_back_off_takes_the_narrowest_term_that_is_probable_enough(
    probabilities: pd.DataFrame, mapping: pd.DataFrame
) -> None:
    table = knowledge.back_off(probabilities, mapping, threshold=0.8, ontology=SMALL)
    assert table["ontology_id"].tolist() == [CD4, T, LYMPHOCYTE, CELL, None]
    assert table["ontology_term"].tolist()[:2] == ["CD4-positive, alpha-beta T cell", "T cell"]
    np.testing.assert_allclose(table["probability"], [0.9, 0.9, 0.9, 1.0, np.nan])
    assert table["is_backed_off"].tolist() == [False, True, True, True, False]
    assert table.index.tolist() == list("vwxyz")
    low = knowledge.back_off(probabilities, mapping, threshold=0.3, ontology=SMALL)
    assert not low["is_backed_off"].any()


def test_labels_without_a_term_are_named(probabilities: pd.DataFrame) -> None:
    strange = probabilities.rename(columns={"B": "T something"})
    report = knowledge.map_labels(strange.columns, ontology=SMALL)
    assert knowledge.map_labels("T cell", ontology=SMALL).index.tolist() == ["T cell"]  # one text, not its letters
    with pytest.raises(ValueError, match="a term .* for every label; found none for 'T something'.* Nearest"):
        knowledge.back_off(strange, report, ontology=SMALL)
    with pytest.raises(ValueError, match=r"`threshold` must be in \(0, 1\]; found 1.2"):
        knowledge.back_off(probabilities, report, threshold=1.2, ontology=SMALL)


def test_kinship_earns_credit() -> None:
    mapping = knowledge.map_labels(["T cell", "CD4 T", "CD8 T", "B cell"], ontology=SMALL)

    def f1(truth: str, predicted: str) -> float:
        return knowledge.ontology_metrics([truth], [predicted], mapping, ontology=SMALL)["hierarchical_f1"]

    assert f1("CD4 T", "CD4 T") == 1
    assert f1("CD4 T", "T cell") == pytest.approx(2 * 1 * (2 / 3) / (1 + 2 / 3))
    assert f1("CD4 T", "T cell") > f1("CD4 T", "CD8 T") > f1("CD4 T", "B cell") > f1("CD4 T", "Unknown") == 0
    figures = knowledge.ontology_metrics(
        ["CD4 T", "CD4 T", "CD4 T", "T cell"], ["CD4 T", "T cell", "CD8 T", "CD8 T"], mapping, ontology=SMALL
    )
    assert figures["exact"] == 0.25
    assert figures["within_lineage"] == 0.75
    with pytest.raises(ValueError, match="found 1 in `y_true` and 2 in `y_pred`"):
        knowledge.ontology_metrics(["T cell"], ["T cell", "T cell"], mapping, ontology=SMALL)


def test_the_real_ontology_knows_common_labels() -> None:
    pytest.importorskip("cellxgene_ontology_guide", reason="needs the extra `ontology`")
    expected = {
        "T-cells": "T cell",
        "B": "B cell",
        "CD14+ Mono": "CD14-positive monocyte",
        "CD8 T cells": "CD8-positive, alpha-beta T cell",
        "Dendritic": "dendritic cell",
        "NK": "natural killer cell",
        "Naive CD4 T": "naive thymus-derived CD4-positive, alpha-beta T cell",
    }
    report = knowledge.map_labels([*expected, "alpha"])
    assert report["ontology_term"].dropna().to_dict() == expected
    real = knowledge.cell_ontology()
    assert "CL:0000084" in real.ancestors("CL:0000624")  # a CD4 T cell is a T cell


def test_annotated_cells_are_backed_off() -> None:
    pytest.importorskip("cellxgene_ontology_guide", reason="needs the extra `ontology`")
    adata = AnnData(np.zeros((2, 1), dtype=np.float32))
    soft = pd.DataFrame({"CD4 T": [0.6, 0.1], "CD8 T": [0.3, 0.0], "B|plasma": [0.1, 0.9]}, index=adata.obs_names)
    adata.obsm["scmpt_probabilities"] = soft
    tl.back_off(adata, overrides={"B/plasma": "B cell"})
    assert adata.obs["scmpt_ontology_id"].tolist()[1] == "CL:0000236"
    assert adata.obs["scmpt_is_backed_off"].tolist() == [True, False]
    assert adata.obs["scmpt_ontology_term"].tolist()[0].endswith("T cell")
    np.testing.assert_allclose(adata.obs["scmpt_ontology_probability"], [0.9, 0.9])
    with pytest.raises(KeyError, match="No 'mine_probabilities' in `adata.obsm`"):
        tl.back_off(adata, key="mine")
    adata.obs["mine_ontology_id"] = "CL:0000000"
    with pytest.raises(ValueError, match=r"`adata.obs\['mine_ontology_id'\]` exists, and nothing records that"):
        tl.back_off(adata, overrides={"B/plasma": "B cell"}, key_added="mine")
    assert set(adata.obs["mine_ontology_id"]) == {"CL:0000000"}
    del adata.obs["mine_ontology_id"]
    for threshold in (0.8, 0.5):  # what it wrote itself, it writes again
        tl.back_off(adata, overrides={"B/plasma": "B cell"}, key_added="mine", threshold=threshold)
        assert adata.uns["scmpt"]["ontology"]["mine"] == {"threshold": threshold, "key": "scmpt"}
    assert adata.obs["mine_is_backed_off"].tolist() == [False, False]


def test_a_threshold_is_reached_at_equality(mapping: pd.DataFrame) -> None:
    # 0.7 + 0.1 is less than 0.8 in binary.
    rows = pd.DataFrame([[0.7, 0.1, 0.2, 0.0], [0.7, 0.0999, 0.2001, 0.0]], columns=LABELS)
    table = knowledge.back_off(rows, mapping, threshold=0.8, ontology=SMALL)
    assert table["ontology_id"].tolist() == [T, LYMPHOCYTE]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("CD14+ Mono", "CD14- Mono"),
        ("CD14+ CD16- monocyte", "CD14- CD16+ monocyte"),
        ("CD4+ T", "CD4- T"),
        ("NK", "NK T"),
    ],
)
def test_names_that_differ_stay_apart(one: str, other: str) -> None:
    assert normal_form(one) != normal_form(other)


def test_negative_is_not_positive() -> None:
    report = knowledge.map_labels(["CD14+ Monocytes", "CD14- Monocytes"], ontology=SMALL)
    assert report["ontology_id"].tolist() == [MONOCYTE, None]
    assert normal_form("Tregs") == normal_form("regulatory T") == normal_form("Treg")


def test_relations_of_terms() -> None:
    assert SMALL.ancestors(CD4) == {T, LYMPHOCYTE, CELL}
    assert SMALL.descendants(LYMPHOCYTE) == {T, CD4, CD8, B}
    assert SMALL.descendants(CD4) == frozenset()
    distances = [SMALL.distance(CD4, other) for other in (CD4, T, CD8, B, MONOCYTE)]
    assert distances == [0, 1, 2, 3, 4]
    assert SMALL.distance(B, CD4) == SMALL.distance(CD4, B)
    with pytest.raises(KeyError, match="id of a term of the Cell Ontology test; found 'CL:000'"):
        SMALL.distance(CD4, "CL:000")


def test_relations_that_do_not_exist() -> None:
    with pytest.raises(ValueError, match="parents of all terms to be terms themselves; found 'CL:2' missing"):
        knowledge.CellOntology("broken", {"CL:1": knowledge.Term("CL:1", "a", parents=("CL:2",))})
    apart = knowledge.CellOntology("two", {name: knowledge.Term(name, name) for name in ("a", "b")})
    with pytest.raises(ValueError, match="terms with a common ancestor; 'a' and 'b' have none"):
        apart.distance("a", "b")
    loop = {name: knowledge.Term(name, name, parents=(other,)) for name, other in (("a", "b"), ("b", "a"))}
    assert knowledge.CellOntology("loop", loop).ancestors("a") == {"b"}


def test_the_shorter_of_two_ways_counts() -> None:
    parents = {"r": (), "x": ("r",), "y": ("x",), "z": ("y", "r")}
    terms = {name: knowledge.Term(name, name, parents=above) for name, above in parents.items()}
    ontology = knowledge.CellOntology("test", terms)
    assert ontology.distance("z", "r") == 1
    assert ontology.distance("z", "x") == 2


def test_the_real_ontology_agrees_with_its_package() -> None:
    guide = pytest.importorskip("cellxgene_ontology_guide.ontology_parser", reason="needs the extra `ontology`")
    parser, real = guide.OntologyParser(), knowledge.cell_ontology()
    ids = ["CL:0000624", "CL:0000625", "CL:0000169", "CL:0000540", "CL:0000236", "CL:0000233"]
    for one in ids:
        assert real.ancestors(one) == set(parser.get_term_ancestors(one))
        assert set(real.terms[one].parents) == set(parser.get_term_parents(one))
        for other in ids:
            assert real.distance(one, other) == parser.get_distance_between_terms(one, other)
    assert real.terms["CL:0000169"].definition.startswith("A cell that secretes insulin")
    assert not [term.id for term in real.terms.values() if "PMID:" in term.definition and "(" not in term.definition]


def test_letters_of_any_script_count() -> None:
    labels = ["γδ-T cells", "gamma-delta T cell", "细胞", "T细胞", "?", "CD8⁺ T", "thymus céll", "Lymphocyte cells"]
    gamma_delta = knowledge.Term("CL:0000009", "gamma-delta T cell", parents=(T,))
    ontology = knowledge.CellOntology("test", {**SMALL.terms, gamma_delta.id: gamma_delta})
    found = knowledge.map_labels(labels, ontology=ontology)["ontology_id"].tolist()
    assert found == [gamma_delta.id, gamma_delta.id, None, None, None, CD8, None, LYMPHOCYTE]


@pytest.mark.parametrize(
    ("label", "identifier"),
    [
        ("Lymphocyte (Lymphocytes)", LYMPHOCYTE),
        ("T (T) cell", T),
        ("B cell (GC)", None),  # says more than `B cell`
        ("T cell (CD8+)", CD8),
        ("CL_0000002", T),
    ],
)
def test_parentheses_are_dropped_if_they_say_the_same(label: str, identifier: str | None) -> None:
    assert knowledge.map_labels([label], ontology=SMALL).loc[label, "ontology_id"] == identifier


def test_a_tissue_makes_labels_specific() -> None:
    terms = [
        knowledge.Term("a", "acinar cell", parents=(CELL,)),
        knowledge.Term("pa", "pancreatic acinar cell", parents=("a",)),
        knowledge.Term("al", "alpha ganglion cell", ("alpha cell",), parents=(CELL,)),
        knowledge.Term("pal", "pancreatic A cell", ("pancreatic alpha cell",), parents=(CELL,)),
        knowledge.Term("pt", "pancreatic T cell", parents=(CELL,)),
    ]
    ontology = knowledge.CellOntology("test", {**SMALL.terms, **{term.id: term for term in terms}})
    labels = ["acinar", "Alpha cells", "alpha", "T cell"]
    anywhere = knowledge.map_labels(labels, ontology=ontology)
    assert anywhere["ontology_id"].tolist() == ["a", "al", None, T]
    there = knowledge.map_labels(labels, tissue="Pancreas", ontology=ontology)
    assert there["ontology_id"].tolist() == ["pa", "pal", "pal", T]  # a pancreatic T cell here is no kind of T cell
    assert there["match"].tolist() == ["tissue", "tissue", "tissue", "exact"]
    elsewhere = knowledge.map_labels(labels, tissue="Moon", ontology=ontology)
    assert elsewhere["ontology_id"].tolist() == ["a", "al", None, T]
