"""One contract over every kind of column that labels come in: each function that takes labels reads the same text."""

import datetime
from collections.abc import Callable
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.patches import Rectangle

from scmpt_scverse import SCMPT, evaluation, metrics, pl
from scmpt_scverse._labels import checked_labels, distinct_labels, label_text, labels_or
from scmpt_scverse.tl._second_opinion import cluster_codes

N_OBS = 60
CODES = np.arange(N_OBS) % 3


class Plain(Enum):
    B = "B cell"
    T = "T cell"
    NK = "NK"


class Text(StrEnum):
    B = "B cell"
    T = "T cell"
    NK = "NK"


class Number(IntEnum):
    B = 2
    T = 10
    NK = 30


WHOLE, NAMES = ["2", "10", "30"], ["B cell", "T cell", "NK"]
DAYS = ["2020-01-02", "2021-01-02", "2022-01-02"]
#: Kind of column to three labels as they are in it, what makes the column of all cells, and the labels as text.
KINDS: dict[str, tuple[list[Any], Callable[[list[Any]], Any], list[str]]] = {
    "int64": ([2, 10, 30], lambda cells: np.array(cells, dtype=np.int64), WHOLE),
    "float64": ([2.0, 10.0, 30.0], lambda cells: np.array(cells, dtype=float), WHOLE),
    "float32": ([2.0, 10.0, 30.0], lambda cells: np.array(cells, dtype=np.float32), WHOLE),
    "fractions": ([0.5, 1.0, 2.25], lambda cells: np.array(cells, dtype=float), ["0.5", "1", "2.25"]),
    "decimals": ([Decimal(2), Decimal("10.0"), Decimal(30)], lambda cells: cells, WHOLE),
    "python numbers": ([2, 10.0, True], lambda cells: cells, ["2", "10", "True"]),
    "Int64": ([2, 10, 30], lambda cells: pd.array(cells, dtype="Int64"), WHOLE),
    "Float64": ([2.0, 10.0, 30.0], lambda cells: pd.array(cells, dtype="Float64"), WHOLE),
    "categories of integers": ([2, 10, 30], pd.Categorical, WHOLE),
    "categories of floats": ([2.0, 10.0, 30.0], pd.Categorical, WHOLE),
    "categories of text": (NAMES, pd.Categorical, NAMES),
    "numpy text": (NAMES, lambda cells: np.array(cells), NAMES),
    "numpy.str_": ([np.str_(name) for name in NAMES], lambda cells: np.array(cells, dtype=object), NAMES),
    "string": (NAMES, lambda cells: pd.array(cells, dtype="string"), NAMES),
    "bytes": ([name.encode() for name in NAMES], lambda cells: np.array(cells), NAMES),
    "bytes of latin-1": ([b"caf\xe9", b"B", b"T"], lambda cells: np.array(cells, dtype=object), ["café", "B", "T"]),
    "enumeration": (list(Plain), lambda cells: np.array(cells, dtype=object), NAMES),
    "enumeration of text": (list(Text), lambda cells: np.array(cells, dtype=object), NAMES),
    "enumeration of integers": (list(Number), lambda cells: np.array(cells, dtype=object), WHOLE),
    "datetime64": ([np.datetime64(day) for day in DAYS], lambda cells: np.array(cells, dtype="M8[ns]"), DAYS),
    "days": ([datetime.date.fromisoformat(day) for day in DAYS], lambda cells: np.array(cells, dtype=object), DAYS),
    "timestamps": (list(pd.to_datetime(DAYS)), lambda cells: pd.Series(cells), DAYS),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> tuple[list[Any], Any, list[str]]:
    """The labels as they are, the column, and the text of every cell."""
    raw, column_of, texts = KINDS[request.param]
    return raw, column_of([raw[code] for code in CODES]), [texts[code] for code in CODES]


def annotated(column: Any, texts: list[str]) -> AnnData:
    """Cells with a column of labels `y`, and predictions of a model that are all right."""
    rng = np.random.default_rng(0)
    genes = pd.DataFrame(index=["CD3D", "CD19", "NKG7", "LYZ"])
    adata = AnnData(rng.poisson(2.0, size=(N_OBS, 4)).astype(np.float32), var=genes)
    adata.obs["y"] = (
        pd.Series(column, index=adata.obs_names) if not isinstance(column, pd.Series) else column.to_numpy()
    )
    adata.obs["scmpt_prediction"] = pd.Categorical(texts)
    adata.obs["scmpt_confidence"], adata.obs["scmpt_novelty"] = 1.0, 0.5
    adata.obsm["scmpt_contributions"] = pd.DataFrame(np.ones((N_OBS, 2)), adata.obs_names, ["a", "b"])
    adata.obsm["X_mine"] = (rng.normal(size=(N_OBS, 3)) + 4 * np.eye(3)[CODES]).astype(np.float32)
    return adata


def test_text(kind: tuple[list[Any], Any, list[str]]) -> None:
    raw, column, texts = kind
    for values in (column, pd.Series(column), list(column)):
        assert labels_or(values, "-").tolist() == texts
        assert checked_labels(values, "y").tolist() == texts
        assert set(distinct_labels(values)) == set(texts)
    assert [label_text(value) for value in raw] == texts[:3]
    with_gap = pd.Series(column).astype(object)
    with_gap[1] = None
    assert labels_or(with_gap, "-").tolist() == [texts[0], "-", *texts[2:]]


def test_metrics(kind: tuple[list[Any], Any, list[str]]) -> None:
    raw, column, texts = kind
    for one, other in ((column, texts), (texts, column), (column, pd.Categorical(texts))):
        found = metrics.classification_metrics(one, other, labels=raw)
        assert found[["accuracy", "macro_f1"]].tolist() == [1, 1]
        assert set(metrics.per_class_metrics(one, other).index) == set(texts)
        assert metrics.bootstrap_metrics(one, {"given": other}, n_resamples=20).loc["given", "accuracy_lower"] == 1
    certain = np.eye(3)[CODES]
    for probabilities, labels in ((pd.DataFrame(certain, columns=pd.Index(raw, dtype=object)), None), (certain, raw)):
        found = metrics.calibration_metrics(texts, probabilities, labels=labels)
        assert found[["brier", "n_unknown"]].tolist() == [0, 0]
        assert metrics.calibration_metrics(column, probabilities, labels=labels)["nll"] == 0
    assert metrics.linear_probe(annotated(column, texts).obsm["X_mine"], column, n_splits=2) > 0.9


def test_splits_and_baselines(kind: tuple[list[Any], Any, list[str]]) -> None:
    _, column, texts = kind
    features = annotated(column, texts).obsm["X_mine"]
    assert sorted(evaluation.baseline_probabilities("knn", features, column, features)) == sorted(set(texts))
    for own, expected in (
        (evaluation.cell_splits(column, n_splits=2), evaluation.cell_splits(texts, n_splits=2)),
        (evaluation.cell_splits(CODES, column, n_splits=2), evaluation.cell_splits(CODES, texts, n_splits=2)),
    ):
        for (_, test), (_, expected_test) in zip(own, expected, strict=True):
            np.testing.assert_array_equal(test, expected_test)


def test_plots(kind: tuple[list[Any], Any, list[str]]) -> None:
    _, column, texts = kind
    adata = annotated(column, texts)
    try:
        ax = pl.confusion_matrix(adata, "y", show=False)
        assert [tick.get_text() for tick in ax.get_xticklabels()] == distinct_labels(column)
        np.testing.assert_array_equal(ax.images[0].get_array(), np.eye(3))
        bars = [bar for bar in pl.reliability_diagram(adata, "y", show=False).patches if isinstance(bar, Rectangle)]
        assert [bar.get_height() for bar in bars] == [1]
        groups = {tick.get_text() for tick in pl.contributions(adata, "y", show=False).get_yticklabels()}
        assert groups == set(texts)
        legend = pl.novelty(adata, "y", show=False).get_legend()
        assert legend is not None
        assert {text.get_text() for text in legend.get_texts()} == {f"{name} (20)" for name in texts}
    finally:
        plt.close("all")


def test_model_and_clusters(kind: tuple[list[Any], Any, list[str]]) -> None:
    _, column, texts = kind
    adata = annotated(column, texts)
    SCMPT.setup_anndata(adata, "y", obsm_keys={"mine": "X_mine"})
    model = SCMPT(adata)
    assert model.labels.tolist() == sorted(set(texts))
    assert model.labels[model._label_codes(adata)].tolist() == texts
    assert cluster_codes(adata, "y").tolist() == CODES.tolist()


@pytest.mark.parametrize("name", ["float64", "categories of integers", "bytes", "enumeration", "datetime64"])
def test_training_and_explaining(name: str) -> None:
    raw, column_of, texts = KINDS[name]
    adata = annotated(column_of([raw[code] for code in CODES]), [texts[code] for code in CODES])
    SCMPT.setup_anndata(adata, "y", obsm_keys={"mine": "X_mine"})
    model = SCMPT(adata, encoders={"counts": {"encoder": "counts", "n_genes": 4}}, fusion="stacked")
    model.train(train_size=0.8, class_weight={raw[0]: 1.0, raw[2]: 2.0})
    assert model.evaluate(baselines=("majority", "knn")).loc["scmpt", "accuracy"] > 0.7
    assert set(model.record.label_counts) == set(texts)
    model.rank_attributions(groupby="y", groups=[raw[1]], n_cells_per_group=2, progress=False)
    assert adata.uns["scmpt_attributions"]["names"].dtype.names == (texts[1],)
    axes = pl.attributions(adata, groups=[raw[1]], show=False)
    plt.close("all")
    assert np.ravel(np.asarray(axes, dtype=object))[0].get_title() == texts[1]
    assert model.explain_cell(adata, adata.obs_names[0], label=raw[1]).attrs["label"] == texts[1]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.ma.masked_array([2, 10], mask=[False, True]), ["2", "-"]),
        (np.ma.masked_array(["a", "b"], mask=[True, False]), ["-", "b"]),
        (np.array(["2020-01-02", "NaT"], dtype="M8[D]"), ["2020-01-02", "-"]),
        (pd.DatetimeIndex(["2020-01-02", None]), ["2020-01-02", "-"]),
        (pd.Series(["a", np.nan]), ["a", "-"]),
        ([datetime.datetime(2020, 1, 2, 3, 4)], ["2020-01-02 03:04:00"]),
    ],
)
def test_missing_values_of_other_columns(values: Any, expected: list[str]) -> None:
    assert labels_or(values, "-").tolist() == expected


@pytest.mark.parametrize("values", [np.zeros((3, 1)), pd.DataFrame({"y": ["a"], "z": ["b"]}), [["a"], ["b"]]])
def test_what_is_no_single_column_is_refused(values: Any) -> None:
    with pytest.raises(ValueError, match="Expected one label per cell, a single column; found .* Pass one column"):
        labels_or(values, "-")


@pytest.mark.parametrize("values", ["B cell", 3, None, {"a": "b"}, {"a", "b"}, [["a", "b"], ["c"]]])
def test_what_is_no_column_is_refused(values: Any) -> None:
    with pytest.raises(TypeError, match="Expected one label per cell; found .* Pass a list"):
        labels_or(values, "-")


def test_two_weights_of_one_label_are_refused() -> None:
    adata = annotated(CODES, [str(code) for code in CODES])
    SCMPT.setup_anndata(adata, "y", obsm_keys={"mine": "X_mine"})
    with pytest.raises(ValueError, match="one weight per label; found two of one label"):
        SCMPT(adata).train(class_weight={0: 1.0, "0": 2.0})
