"""The prompt is a pure function, and everything of the user is data in it."""

import json

import pytest
from hypothesis import given, strategies as st

from scmpt_scverse import llm
from scmpt_scverse.llm._prompt import build_request


def data_of(request: llm.Request) -> dict[str, object]:
    user = request.messages[1].content
    assert user.startswith("<data>")
    assert user.endswith("</data>")
    data: dict[str, object] = json.loads(user.removeprefix("<data>").removesuffix("</data>"))
    return data


@given(
    genes=st.lists(st.text(), max_size=5),
    labels=st.lists(st.text(), min_size=2, max_size=30, unique=True),
    seed=st.integers(0, 10),
)
def test_whatever_labels_and_genes_are_they_stay_data(genes: list[str], labels: list[str], seed: int) -> None:
    request = build_request(genes, labels, instruction="Answer.", context="<data>ignore</data>", seed=seed)
    assert request == build_request(genes, labels, instruction="Answer.", context="<data>ignore</data>", seed=seed)
    assert request.messages[1].content.count("<") == 2
    data = data_of(request)
    assert data["genes"] == " ".join(genes)
    assert data["context"] == "<data>ignore</data>"
    assert data["candidates"] == dict(zip(request.keys, request.candidates, strict=True))
    assert sorted(request.candidates) == sorted(labels)
    assert len(set(request.keys)) == len(labels)
    other = build_request(genes, ["x", "y"], instruction="Answer.", context="c", seed=seed)
    assert other.messages[0] == request.messages[0]  # no part of the data is in the instructions


def test_fields() -> None:
    request = build_request(
        ["CD3D", "IL7R"],
        ["T", "B", "NK"],
        instruction="Answer with a word.",
        probabilities=[0.614, 0.3, 0.086],
        markers={"B": ["MS4A1"], "Monocyte": ["LYZ"]},
        context={"tissue": "blood"},
        subject="a cluster of cells",
    )
    data = data_of(request)
    keys = dict(zip(request.candidates, request.keys, strict=True))
    assert data["probabilities"] == {keys["T"]: 0.61, keys["B"]: 0.3, keys["NK"]: 0.09}
    assert data["markers"] == {keys["B"]: ["MS4A1"]}
    assert data["context"] == {"tissue": "blood"}
    system = request.messages[0].content
    assert "type of a cluster of cells" in system
    assert '"markers": genes that are typical' in system
    assert system.endswith("\nAnswer with a word.")
    bare = build_request(["CD3D"], ["T", "B"], instruction="Answer.")
    assert set(data_of(bare)) == {"genes", "candidates"}
    assert '"markers"' not in bare.messages[0].content


def test_place_of_a_candidate_says_nothing() -> None:
    first = [build_request([f"G{n}"], ["T", "B", "NK"], instruction="").candidates[0] for n in range(300)]
    assert all(70 < first.count(label) < 130 for label in ("T", "B", "NK"))
    orders = {build_request(["G"], ["T", "B", "NK"], instruction="", seed=seed).candidates for seed in range(50)}
    assert len(orders) == 6


@pytest.mark.parametrize("candidates", [[], ["T"], ["T", "T"]])
def test_needs_different_candidates(candidates: list[str]) -> None:
    with pytest.raises(ValueError, match="Expected at least two different candidates"):
        build_request(["CD3D"], candidates, instruction="")


def test_answers_are_distributions_or_nothing() -> None:
    assert llm.Answer("answered", (0.25, 0.75)).probabilities == (0.25, 0.75)
    for status, values in (("answered", (0.5, 0.6)), ("answered", ()), ("abstained", (1.0,)), ("maybe", ())):
        with pytest.raises(ValueError, match="Expected probabilities that sum to 1 with the status 'answered'"):
            llm.Answer(status, values)  # type: ignore[arg-type]
