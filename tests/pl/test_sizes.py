"""Every plot with few and with many labels: nothing overlaps or is cut off, and legends list what is drawn."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.legend import Legend

from scmpt_scverse import metrics, pl

_LONG = "CD8-positive, alpha-beta memory T cell of the small intestine, number "
MODALITIES = ["text", "expression"]


def _labels(n: int) -> list[str]:
    return [f"{_LONG}{number}" if number % 4 == 0 else f"type {number}" for number in range(n)]


def _records(labels: list[str], values: Any) -> Any:
    genes = len(next(iter(values.values())))
    made = np.empty(genes, dtype=[(label, "O" if values[label].dtype == object else "f4") for label in labels])
    for label in labels:
        made[label] = values[label]
    return made


@pytest.fixture(params=[3, 40])
def annotated(request: pytest.FixtureRequest) -> AnnData:
    labels = _labels(request.param)
    n_obs = 5 * len(labels)
    rng = np.random.default_rng(0)
    of_cell = np.repeat(labels, 5)
    obs = pd.DataFrame({"label": pd.Categorical(of_cell, categories=labels)}, index=[f"cell{i}" for i in range(n_obs)])
    obs["scmpt_prediction"] = pd.Categorical(np.roll(of_cell, 1), categories=labels)
    obs["scmpt_novelty"], obs["scmpt_confidence"] = rng.random((2, n_obs))
    adata = AnnData(np.zeros((n_obs, 1), dtype=np.float32), obs=obs)
    adata.obsm["scmpt_contributions"] = pd.DataFrame(rng.random((n_obs, 2)), index=obs.index, columns=MODALITIES)
    genes = np.array([f"GENE{number}" for number in range(60)], dtype=object)
    scores = {label: np.sort(rng.normal(size=60))[::-1] for label in labels}
    adata.uns["scmpt_attributions"] = {
        "names": _records(labels, {label: rng.permutation(genes) for label in labels}),
        "scores": _records(labels, scores),
        "by_modality": {name: _records(labels, {k: v / 2 for k, v in scores.items()}) for name in MODALITIES},
    }
    return adata


def _summary(names: list[str]) -> pd.DataFrame:
    rows = [{"predictor": name, "replicate": i, "macro_f1": 0.5 + i / 10} for name in names for i in range(2)]
    return metrics.replicate_summary(pd.DataFrame(rows))


def _tidy(names: list[str], **columns: Any) -> pd.DataFrame:
    return pd.concat([pd.DataFrame({"ablation": name, "method": name, **columns}) for name in names])


def _markers(names: list[str]) -> pd.DataFrame:
    table = pd.DataFrame({"auroc": np.linspace(0.4, 0.9, len(names))}, index=names)
    table = table.assign(auroc_lower=table["auroc"] - 0.1, auroc_upper=table["auroc"] + 0.1, n_overlap=3, n_markers=20)
    return table.assign(auroc_pval_adj=np.where(table["auroc"] > 0.5, 0.01, 0.5))


PLOTS: dict[str, Callable[[AnnData, list[str]], Axes | list[Axes]]] = {
    "confusion_matrix": lambda adata, _: pl.confusion_matrix(adata, "label", show=False),
    "reliability_diagram": lambda adata, _: pl.reliability_diagram(adata, "label", show=False),
    "contributions": lambda adata, _: pl.contributions(adata, "label", show=False),
    "novelty": lambda adata, _: pl.novelty(adata, "label", show=False),
    "attributions": lambda adata, _: pl.attributions(adata, n_genes=3, show=False),
    "attribution_dots": lambda adata, _: pl.attributions(adata, kind="dots", show=False)[0],
    "marker_overlap": lambda _, names: pl.marker_overlap(_markers(names), show=False),
    "evaluation": lambda _, names: pl.evaluation(_summary(names), show=False),
    "ablations": lambda _, names: pl.ablations(
        _tidy(names, replicate=[0, 1], metric="macro_f1", value=[0.5, 0.6]), show=False
    ),
    "deletion_curves": lambda _, names: pl.deletion_curves(
        _tidy(names[:5], kind="deletion", n_genes=[0, 0, 5, 5], probability=[0.9, 0.8, 0.5, 0.4]), show=False
    ),
}


@pytest.mark.parametrize("name", PLOTS)
def test_nothing_overlaps_or_is_cut_off(annotated: AnnData, name: str) -> None:
    labels = list(annotated.obs["label"].cat.categories)
    drawn = PLOTS[name](annotated, labels)
    axes = drawn if isinstance(drawn, list) else [drawn]
    figure: Any = axes[0].figure
    figure.draw_without_rendering()
    whole = figure.bbox
    for ax in axes:
        rows = [text.get_window_extent() for text in ax.get_yticklabels() if text.get_text()]
        rows.sort(key=lambda box: box.y0)
        assert all(upper.y0 >= lower.y1 - 1 for lower, upper in pairwise(rows))
        assert all(box.x0 >= whole.x0 - 1 for box in rows)
        legend = ax.get_legend()
        if legend is not None:
            box = legend.get_window_extent()
            assert box.x1 <= whole.x1 + 1
            assert box.y0 >= whole.y0 - 1
            assert box.height <= whole.height
        assert ax.get_window_extent().width > 100
    titles = [ax.title for ax in axes if ax.get_title()]
    for one, other in pairwise(titles):
        boxes = (one.get_window_extent(), other.get_window_extent())
        assert not (boxes[0].overlaps(boxes[1])), (one.get_text(), other.get_text())


@pytest.mark.parametrize("name", ["contributions", "attribution_dots", "marker_overlap", "evaluation", "ablations"])
def test_no_row_lies_on_the_frame(annotated: AnnData, name: str) -> None:
    labels = list(annotated.obs["label"].cat.categories)
    ax: Any = PLOTS[name](annotated, labels)
    assert sorted(ax.get_ylim()) == [-0.5, len(labels) - 0.5]
    first_on_top = ax.get_ylim()[0] > ax.get_ylim()[1]
    assert first_on_top == (name in {"contributions", "attribution_dots", "ablations"})


def test_legends_list_every_group_each_in_its_own_colour(annotated: AnnData) -> None:
    labels = list(annotated.obs["label"].cat.categories)
    ax = pl.novelty(annotated, "label", show=False)
    legend = ax.get_legend()
    assert legend is not None
    texts = [text.get_text() for text in legend.get_texts()]
    assert len(texts) == len(set(texts)) == len(labels)
    assert texts[1] == "type 1 (5)"
    assert texts[0].startswith("CD8-positive, a")
    assert len({to_hex(steps.get_edgecolor()) for steps in ax.patches}) == len(labels)


def test_groups_have_the_colours_that_scanpy_keeps(annotated: AnnData) -> None:
    labels = list(annotated.obs["label"].cat.categories)
    kept = [f"#0000{number:02x}" for number in range(len(labels))]
    annotated.uns["label_colors"] = kept
    some = annotated[annotated.obs["label"] != labels[0]]
    for adata, expected in ((annotated, kept), (some, kept[1:])):
        ax = pl.novelty(adata, "label", show=False)
        assert [to_hex(steps.get_edgecolor()) for steps in ax.patches] == expected


def test_a_modality_has_one_colour_in_all_plots(annotated: AnnData) -> None:
    def colours(legend: Legend | None) -> dict[str, str]:
        assert legend is not None
        handles: Any = legend.legend_handles
        names = [text.get_text() for text in legend.get_texts()]
        return {name: to_hex(handle.get_facecolor()) for name, handle in zip(names, handles, strict=True)}

    both = colours(pl.contributions(annotated, "label", show=False).get_legend())
    annotated.obsm["scmpt_contributions"] = annotated.obsm["scmpt_contributions"][["expression"]]
    one = colours(pl.contributions(annotated, "label", show=False).get_legend())
    figure: Any = pl.attributions(annotated, show=False)[0].figure
    table = pd.DataFrame({"total": [1.0], "expression": [1.0], "value": [1.0]}, index=["A"])
    cell = colours(pl.cell_attributions(table, show=False).get_legend())
    assert set(both) == set(MODALITIES)
    assert colours(figure.legends[0]) == both
    assert both["expression"] == one["expression"] == cell["expression"] != both["text"]


def test_legend_of_panels_names_what_only_some_have(annotated: AnnData) -> None:
    record = annotated.uns["scmpt_attributions"]
    last = record["scores"].dtype.names[-1]
    record["scores"][last] += 1  # scores of occlusion do not add up
    figure: Any = pl.attributions(annotated, show=False)[0].figure
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["text", "expression", "together"]


def test_labels_that_differ_at_the_end_stay_distinct() -> None:
    labels = [f"{_LONG}{number}" for number in range(3)] + ["x" * 40, "x" * 41]
    obs = pd.DataFrame({"label": labels, "scmpt_prediction": labels}, index=[f"cell{i}" for i in range(5)])
    ax = pl.confusion_matrix(AnnData(np.zeros((5, 1), dtype=np.float32), obs=obs), "label", show=False)
    texts = [text.get_text() for text in ax.get_yticklabels()]
    assert len(set(texts)) == 5
    assert texts[2].endswith("number 2 (1)")
    assert len(texts[2]) <= 36


@pytest.mark.parametrize("wrong", [pd.DataFrame({"label": ["a"]}), np.zeros((2, 2)), "cells.h5ad", None])
@pytest.mark.parametrize("plot", ["confusion_matrix", "reliability_diagram", "contributions", "novelty"])
def test_objects_that_are_no_cells(plot: str, wrong: Any) -> None:
    with pytest.raises(TypeError, match="Expected an AnnData or a MuData; found"):
        getattr(pl, plot)(wrong, "label", show=False)
    with pytest.raises(TypeError, match=r"Expected an AnnData; found .*(AnnData\(X\)|read_h5ad)"):
        pl.attributions(wrong, show=False)


@pytest.mark.parametrize("wrong", [np.zeros((2, 2)), "table.csv", None, {"metric": ["macro_f1"]}])
def test_objects_that_are_no_tables(annotated: AnnData, wrong: Any) -> None:
    for plot in (pl.evaluation, pl.ablations, pl.deletion_curves, pl.marker_overlap, pl.cell_attributions):
        for given in (wrong, annotated):
            with pytest.raises(TypeError, match=r"Expected a DataFrame as `\w+`; found .* Pass what `.*` returns"):
                plot(given, show=False)
        with pytest.raises(KeyError, match=r"No '\w+' in `\w+`; found 'other'.* Pass what `.*` returns"):
            plot(pd.DataFrame({"other": [1]}), show=False)
    with pytest.raises(TypeError, match=r"Expected `model.history`; found"):
        pl.training_curve(annotated, show=False)


def test_what_is_no_ranking(annotated: AnnData) -> None:
    annotated.uns["other"] = {"params": 1}
    with pytest.raises(ValueError, match=r"Expected a ranking of genes in `adata.uns\['other'\]`; found dict"):
        pl.attributions(annotated, key="other", show=False)
    with pytest.raises(ValueError, match="Expected at least one group"):
        pl.attributions(annotated, groups=[], show=False)
    assert len(pl.attributions(annotated, groups="type 1", show=False)) == 1


def test_nothing_to_draw(annotated: AnnData) -> None:
    annotated.obs["scmpt_novelty"] = np.nan
    annotated.obs["none"] = None
    with pytest.raises(ValueError, match=r"Expected cells with a value in `adata.obs\['scmpt_novelty'\]`"):
        pl.novelty(annotated, show=False)
    with pytest.raises(ValueError, match=r"Expected cells with a group in `adata.obs\['none'\]` and contributions"):
        pl.contributions(annotated, "none", show=False)


def test_ablations_know_their_metrics() -> None:
    table = _tidy(["intact"], replicate=[0, 1], metric="macro_f1", value=[0.5, 0.6])
    with pytest.raises(ValueError, match="Unknown `metric='f1'`. Choose one of 'macro_f1'"):
        pl.ablations(table, metric="f1", show=False)
