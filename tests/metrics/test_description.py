"""Metrics of descriptions, on examples whose values are known."""

import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

from scmpt_scverse import metrics
from scmpt_scverse.metrics._description import first_label, rouge_l

WORDS = st.lists(st.sampled_from("abcd"), max_size=12)


@pytest.mark.parametrize(
    ("text", "reference", "expected"),
    [
        # The example of the paper on ROUGE: two of four words are in common and in order, or three.
        ("police kill the gunman", "police killed the gunman", 3 / 4),
        ("the gunman kill police", "police killed the gunman", 2 / 4),
        ("the cat sat on the mat", "the cat is on the mat", 5 / 6),
        ("B cell", "B-cell", 1.0),
        ("one two", "one two three four", 2 * (1 * 0.5) / 1.5),
        ("", "one", 0.0),
        ("...", "...", 0.0),
    ],
)
def test_rouge_l_of_worked_examples(text: str, reference: str, expected: float) -> None:
    assert rouge_l(text, reference) == pytest.approx(expected)
    assert rouge_l(reference, text) == pytest.approx(expected)


def common_length(one: list[str], other: list[str]) -> int:
    """By the definition."""
    table = np.zeros((len(one) + 1, len(other) + 1), dtype=int)
    for row, first in enumerate(one, 1):
        for column, second in enumerate(other, 1):
            longest = max(table[row - 1, column], table[row, column - 1])
            table[row, column] = table[row - 1, column - 1] + 1 if first == second else longest
    return int(table[-1, -1])


@given(WORDS, WORDS)
@settings(deadline=None, max_examples=200)
def test_rouge_l_is_that_of_the_longest_common_subsequence(one: list[str], other: list[str]) -> None:
    expected = 2 * common_length(one, other) / max(len(one) + len(other), 1)
    assert rouge_l(" ".join(one), " ".join(other)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A kind of T cell, not a B cell", "T cell"),
        ("CD4-positive T cells", "CD4-positive T cell"),
        ("b CELLS", "B cell"),
        ("DB cell", None),
        ("", None),
    ],
)
def test_labels_are_parsed(text: str, expected: str | None) -> None:
    assert first_label(text, ["T cell", "B cell", "CD4-positive T cell"]) == expected


def test_labels_and_distance() -> None:
    found = metrics.description_metrics(
        ["a B cell", "a T cell", "no idea"],
        ["x", "y", "z"],
        labels=["B cell", "T cell"],
        y_true=["B cell", "B cell", "T cell"],
        distance=lambda one, other: 4.0 * (one != other),
    )
    assert found["label_accuracy"] == pytest.approx(1 / 3)
    assert found["label_share"] == pytest.approx(2 / 3)
    assert found["ontology_distance"] == pytest.approx(2.0)
    assert found["rouge_l"] == 0
    assert found["n_texts"] == 3


def embed(texts: list[str]) -> np.ndarray:
    """Numbers in the texts, as places in a plane."""
    return np.array([[float(part) for part in text.split()] for text in texts])


def test_cosine_and_discrepancy() -> None:
    found = metrics.description_metrics(["1 0", "0 2"], ["3 0", "1 1"], embed=embed)
    assert found["embedding_cosine"] == pytest.approx((1 + np.sqrt(0.5)) / 2)
    nothing = metrics.description_metrics(["0 0", "0 2"], ["3 0", "0 1"], embed=embed)
    assert nothing["embedding_cosine"] == pytest.approx(1 / 2)  # a text without a direction is like no other
    rng = np.random.default_rng(0)
    points = [f"{x} {y}" for x, y in rng.normal(size=(400, 2))]
    others = [f"{x} {y}" for x, y in rng.normal(size=(400, 2))]
    far = [f"{x + 50} {y}" for x, y in rng.normal(size=(400, 2))]
    alike = metrics.description_metrics(others, points, embed=embed)["textual_discrepancy"]
    apart = metrics.description_metrics(far, points, embed=embed)["textual_discrepancy"]
    assert abs(alike) < 0.02
    # Far apart, only what is within each sample counts: the sum of the mean kernels of two alike samples.
    assert apart == pytest.approx(2 * mean_kernel(points), abs=0.05)
    assert np.isnan(metrics.description_metrics(["1 0"], ["2 0"], embed=embed)["textual_discrepancy"])
    two = metrics.description_metrics(["0 3", "0 4"], ["3 0", "4 0"], embed=embed)["textual_discrepancy"]
    assert two > 0  # two texts are enough for a sample


def mean_kernel(texts: list[str]) -> float:
    points = embed(texts)
    distances = np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=2))[np.triu_indices(len(points), 1)]
    widths = np.median(distances) * np.array([0.25, 0.5, 1, 2, 4])
    return float(np.mean([np.exp(-(distances**2) / (2 * width**2)).mean() for width in widths]))


def test_bleu_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(ImportError, match=r"BLEU needs the package `sacrebleu`.*scmpt-scverse\[describe\]"):
        metrics.description_metrics(["a"], ["a"], bleu=True)


def test_bleu_is_that_of_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def corpus_bleu(texts: list[str], references: list[list[str]]) -> SimpleNamespace:
        assert (texts, references) == (["a b"], [["a c"]])
        return SimpleNamespace(score=12.5)

    monkeypatch.setitem(sys.modules, "sacrebleu", SimpleNamespace(corpus_bleu=corpus_bleu))
    assert metrics.description_metrics(["a b"], ["a c"], bleu=True)["bleu"] == 12.5


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((["a"], ["a", "b"]), {}, ValueError, "found 1 and 2"),
        (([], []), {}, ValueError, "at least one; found 0 and 0"),
        (("a", "b"), {}, TypeError, "Expected a list of texts as `descriptions`; found str"),
        (([None], ["a"]), {}, TypeError, "Expected texts in `descriptions`; found NoneType"),
        ((["a"], ["a"]), {"labels": ["a"]}, ValueError, "belong together"),
        ((["a"], ["a"]), {"distance": lambda *_: 1}, ValueError, "belong together"),
        ((["a"], ["a"]), {"labels": ["a"], "y_true": ["b"]}, ValueError, "found 'b' missing"),
        ((["a"], ["a"]), {"labels": ["a"], "y_true": ["a", "a"]}, ValueError, "found 2 and 1"),
        ((["a"], ["a"]), {"embed": lambda _: np.zeros((3, 2))}, ValueError, "found 3 for 1 texts"),
        ((["a"], ["a"]), {"embed": lambda _: np.zeros(1)}, ValueError, "Expected 2 dimensions"),
    ],
)
def test_wrong_arguments(arguments: tuple, options: dict, error: type[Exception], message: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(error, match=message):
        metrics.description_metrics(*arguments, **options)


def test_other_groups_are_refused() -> None:
    one, other = pd.Series(["a", "b"], index=["0", "1x"]), pd.Series(["a", "b"], index=["1x", "0"])
    with pytest.raises(ValueError, match="the same names in another order"):
        metrics.description_metrics(one, other)
