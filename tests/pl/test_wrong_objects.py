"""What plots are given instead of what they read: errors that say what to do, before anything is drawn."""

from collections.abc import Callable
from functools import partial
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from scmpt_scverse import pl, tl

SUMMARY = pd.DataFrame(
    {"predictor": ["a", "b"], "metric": ["f1"] * 2, "mean": [0.5, 0.6], "lower": [0.4, 0.5], "upper": [0.6, 0.7]}
)
ABLATIONS = pd.DataFrame({"ablation": ["intact", "other"], "metric": ["macro_f1"] * 2, "value": [0.5, 0.6]})
CURVES = pd.DataFrame(
    {"method": ["m"] * 2, "kind": ["deletion"] * 2, "n_genes": [0, 1], "cell": ["x"] * 2, "probability": [0.5, 0.4]}
)
GENES = pd.DataFrame({"text": [0.1, 0.2], "total": [0.1, 0.2], "value": [1, 2]}, index=["CD3D", "CD3E"])
OVERLAP = pd.DataFrame(
    {"auroc": [0.6], "auroc_lower": [0.5], "auroc_upper": [0.7], "auroc_pval_adj": [0.1], "n_overlap": [1]}
).assign(n_markers=3)
RANKING = {
    "names": np.array([("CD3D", "MS4A1")], dtype=[("T", "O"), ("B", "O")]),
    "scores": np.array([(1.0, 2.0)], dtype=[("T", "f4"), ("B", "f4")]),
}
TABLES: dict[str, tuple[pd.DataFrame, str, Callable[[Any], Any]]] = {
    "evaluation": (SUMMARY, "mean", lambda table: pl.evaluation(table, metric="f1")),
    "ablations": (ABLATIONS, "value", pl.ablations),
    "deletion_curves": (CURVES, "probability", pl.deletion_curves),
    "faithfulness": (CURVES, "probability", tl.faithfulness),
    "cell_attributions": (GENES, "total", pl.cell_attributions),
    "parts of cell_attributions": (GENES, "text", pl.cell_attributions),
    "marker_overlap": (OVERLAP, "auroc", pl.marker_overlap),
}


def cells(**columns: Any) -> AnnData:
    adata = AnnData(np.eye(4, dtype=np.float32))
    adata.obs["label"] = adata.obs["scmpt_prediction"] = pd.Categorical(list("aabb"))
    adata.obs["scmpt_confidence"] = adata.obs["scmpt_novelty"] = [0.9, 0.8, 0.7, 0.6]
    adata.obsm["scmpt_contributions"] = pd.DataFrame({"text": [1.0, 2, 3, 4]}, index=adata.obs_names)
    adata.uns["scmpt_attributions"] = RANKING
    return adata if not columns else AnnData(adata.X, obs=adata.obs.assign(**columns), obsm=adata.obsm)


@pytest.mark.parametrize("name", TABLES)
def test_tables(name: str) -> None:
    table, column, draw = TABLES[name]
    draw(table)  # the right one
    draw(table.astype({column: object}))
    for wrong, error, found in (
        (cells(), TypeError, "Expected a DataFrame as .* found anndata"),
        (table[column], TypeError, "Expected a DataFrame as .* found pandas.*Series"),
        (table.assign(**{column: "x"}), TypeError, rf"Expected numbers in `.*\['{column}'\]`; found .* such as 'x'"),
        (pd.concat([table, table[[column]]], axis=1), ValueError, f"found '{column}' twice"),
        (table.iloc[:0], ValueError, "found none|No curve"),
    ):
        with pytest.raises(error, match=found):
            draw(wrong)


def test_names_that_are_numbers() -> None:
    ax = pl.ablations(ABLATIONS.assign(ablation=[0, 1.0]))
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["0", "1"]
    ax = pl.evaluation(SUMMARY.assign(predictor=[1.0, 2.0]), metric="f1")
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["1", "2"]
    pl.deletion_curves(pd.concat([CURVES, CURVES.assign(method=None)]))  # unnamed ones are left out
    adata = cells()
    adata.obsm["scmpt_contributions"] = pd.DataFrame({0: [1.0, 2, 3, 4], 1: 1.0}, index=adata.obs_names)
    assert pl.contributions(adata).get_legend_handles_labels()[1] == ["0", "1"]


@pytest.mark.parametrize("values", [list("abcd"), [90.0, 80, 70, 60], [-0.1, 0.2, 0.3, 0.4], [np.inf, 0.2, 0.3, 0.4]])
def test_confidence_and_novelty_that_are_no_shares(values: Any) -> None:
    message = r"(Expected values from 0 to 1|Expected numbers) in `adata.obs\['scmpt_{}'\]`; found"
    with pytest.raises((TypeError, ValueError), match=message.format("confidence")):
        pl.reliability_diagram(cells(scmpt_confidence=values), "label")
    with pytest.raises((TypeError, ValueError), match=message.format("novelty")):
        pl.novelty(cells(scmpt_novelty=values))


@pytest.mark.parametrize(
    "values", [pd.array([0.9, 0.8, None, 0.6], dtype="Float64"), pd.Categorical([0.9, 0.8, None, 0.6])]
)
def test_missing_shares_are_cells_left_out(values: Any) -> None:
    assert pl.reliability_diagram(cells(scmpt_confidence=values), "label").get_title() == "3 cells"
    ax = pl.novelty(cells(scmpt_novelty=values))
    assert ax.get_legend_handles_labels()[1] == ["all cells (3)"]


def test_contributions_that_are_no_numbers() -> None:
    adata = cells()
    adata.obsm["scmpt_contributions"] = pd.DataFrame({"text": list("abcd")}, index=adata.obs_names)
    with pytest.raises(TypeError, match=r"numbers in `adata.obsm\['scmpt_contributions'\]\['text'\]`"):
        pl.contributions(adata)
    adata.obsm["scmpt_contributions"] = np.ones((4, 2))
    with pytest.raises(TypeError, match="Expected a DataFrame"):
        pl.contributions(adata)


def test_keys_that_are_no_text() -> None:
    for key in (None, 3, ["label"]):
        with pytest.raises(KeyError, match="No .* in `adata.obs`; found 'label'"):
            pl.confusion_matrix(cells(), key)  # type: ignore[arg-type]
    with pytest.raises(KeyError, match="No 3 in `adata.uns`"):
        pl.attributions(cells(), key=3)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["bars", "dots"])
def test_rankings(kind: Any) -> None:
    draw: Callable[..., Any] = partial(pl.attributions, kind=kind)
    draw(cells(), groups=["T", "T"])
    draw(cells(), groups="T")
    with pytest.raises(KeyError, match="No '3' in"):
        draw(cells(), groups=3)
    with pytest.raises(ValueError, match=r"found `groups=\[\]`"):
        draw(cells(), groups=[])
    wrongs: list[Any] = [
        {"names": pd.DataFrame({"T": ["CD3D"]}), "scores": pd.DataFrame({"T": [1.0]})},
        {"names": {}},
        [1],
    ]
    for wrong in wrongs:
        adata = cells()
        adata.uns["scmpt_attributions"] = wrong
        with pytest.raises(ValueError, match=r"a ranking of genes in `adata.uns\['scmpt_attributions'\]`; found"):
            draw(adata)


@pytest.mark.parametrize(
    ("history", "error", "found"),
    [
        ({"train_loss": [1.0, 0.5]}, TypeError, r"by epoch in `history\['train_loss'\]`; found list"),
        ({"train_loss": pd.DataFrame()}, TypeError, r"by epoch in `history\['train_loss'\]`"),
        ({"train_loss": pd.DataFrame({"v": ["x"]})}, TypeError, r"numbers in `history\['train_loss'\]`"),
        (
            {"validation_loss": pd.DataFrame({"v": [np.nan]})},
            ValueError,
            r"epoch in `history\['validation_loss'\]`",
        ),
        (pd.DataFrame({"train_loss": [1.0]}), TypeError, "Expected `model.history`; found pandas"),
        ({}, ValueError, "Expected one of 'train_loss'"),
    ],
)
def test_histories(history: Any, error: type[Exception], found: str) -> None:
    with pytest.raises(error, match=found):
        pl.training_curve(history)


def test_axes_that_are_none() -> None:
    draws: list[Callable[..., Any]] = [
        lambda ax: pl.confusion_matrix(cells(), "label", ax=ax),
        lambda ax: pl.reliability_diagram(cells(), "label", ax=ax),
        lambda ax: pl.novelty(cells(), ax=ax),
        lambda ax: pl.contributions(cells(), ax=ax),
        lambda ax: pl.evaluation(SUMMARY, metric="f1", ax=ax),
        lambda ax: pl.ablations(ABLATIONS, ax=ax),
        lambda ax: pl.deletion_curves(CURVES, ax=ax),
        lambda ax: pl.cell_attributions(GENES, ax=ax),
        lambda ax: pl.marker_overlap(OVERLAP, ax=ax),
        lambda ax: pl.training_curve({"train_loss": pd.DataFrame({"v": [1.0]})}, ax=ax),
    ]
    for draw in draws:
        for wrong in (plt.figure(), plt.subplots(1, 2)[1], "ax"):
            with pytest.raises(TypeError, match="Expected axes of matplotlib as `ax`; found"):
                draw(wrong)
        plt.close("all")
