"""True labels in any words, and the candidates that are right for them."""

import numpy as np
import pytest

from scmpt_scverse.zero_shot import Candidates, backed_off, matching_candidates

pytest.importorskip("cellxgene_ontology_guide", reason="needs the extra `ontology`")
TERMS = {
    "B cell": "CL:0000236",
    "CD4-positive, alpha-beta T cell": "CL:0000624",
    "CD8-positive, alpha-beta T cell": "CL:0000625",
    "monocyte": "CL:0000576",
    "my type": None,
}


def candidates(*names: str) -> Candidates:
    names = names or tuple(TERMS)
    nothing = np.zeros((len(names), 3))
    terms = tuple(TERMS[name] for name in names)
    return Candidates(np.array(names, dtype=object), terms, nothing, nothing, np.zeros(3, dtype=bool))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("B cell", (0,)),
        ("B-cells", (0,)),
        ("B lymphocyte", (0,)),
        ("CL:0000236", (0,)),
        ("naive B cell", (0,)),  # a kind of it
        ("CD14-positive monocyte", (3,)),
        ("T cell", (1, 2)),  # both are kinds of it
        ("lymphocyte", (0, 1, 2)),
        ("My Type", (4,)),
        ("hepatocyte", ()),
        ("gribble", ()),
    ],
)
def test_candidates_that_are_right(name: str, expected: tuple[int, ...]) -> None:
    assert matching_candidates([name], candidates())[name] == expected


def test_the_nearest_of_several_wider_candidates() -> None:
    known = {**TERMS, "lymphocyte": "CL:0000542", "leukocyte": "CL:0000738"}
    names = ("leukocyte", "lymphocyte", "monocyte")
    wide = Candidates(
        np.array(names, dtype=object),
        tuple(known[name] for name in names),
        np.zeros((3, 3)),
        np.zeros((3, 3)),
        np.zeros(3, dtype=bool),
    )
    found = matching_candidates(["B cell", "monocyte", "neutrophil"], wide)
    assert found == {"B cell": (1,), "monocyte": (2,), "neutrophil": (0,)}


def test_probabilities_are_summed_up_the_ontology() -> None:
    probabilities = np.array(
        [
            [0.05, 0.90, 0.03, 0.01, 0.01],  # sure
            [0.02, 0.50, 0.46, 0.01, 0.01],  # one of two kinds of T cells
            [0.45, 0.40, 0.10, 0.04, 0.01],  # a lymphocyte
            [0.20, 0.20, 0.10, 0.20, 0.30],  # nothing but a cell
            [np.nan] * 5,
        ]
    )
    table = backed_off(probabilities, candidates(), 0.8)
    assert table["ontology_term"].tolist()[:4] == [
        "CD4-positive, alpha-beta T cell",
        "mature alpha-beta T cell",
        "lymphocyte",
        "cell",
    ]
    np.testing.assert_allclose(table["probability"], [0.90, 0.96, 0.95, 1.0, np.nan], atol=1e-9)
    assert table["ontology_term"].isna().tolist() == [False] * 4 + [True]
