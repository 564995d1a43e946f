from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.axes import Axes

from scmpt_scverse import pl

_GENES = np.array([f"GENE{number}" for number in range(12)], dtype=object)


def _records(columns: dict[str, Any], dtype: str) -> Any:
    made = np.empty(12, dtype=[(name, dtype) for name in columns])
    for name, values in columns.items():
        made[name] = values
    return made


def _ranked(groups: list[str]) -> AnnData:
    scores = np.linspace(1, -0.2, 12)
    adata = AnnData(np.zeros((1, 1), dtype=np.float32))
    adata.uns["scmpt_attributions"] = {
        "names": _records({group: np.roll(_GENES, row) for row, group in enumerate(groups)}, "O"),
        "scores": _records(dict.fromkeys(groups, scores), "f4"),
        "by_modality": {
            "text": _records(dict.fromkeys(groups, scores * 0.25), "f4"),
            "expression": _records(dict.fromkeys(groups, scores * 0.75), "f4"),
        },
    }
    return adata


def _yticks(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.get_yticklabels()]


def test_bars_of_labels_stack_modalities() -> None:
    axes = pl.attributions(_ranked(["B", "T"]), n_genes=3, show=False)
    assert [ax.get_title() for ax in axes] == ["B", "T"]
    assert _yticks(axes[1]) == ["GENE11", "GENE0", "GENE1"]
    text, expression = axes[0].containers
    np.testing.assert_allclose([bar.get_width() for bar in text], 0.25 * np.linspace(1, -0.2, 12)[:3], atol=1e-6)
    assert expression[0].get_x() == pytest.approx(0.25)


def test_dots_compare_the_top_genes_of_labels() -> None:
    (ax,) = pl.attributions(_ranked(["B", "T"]), kind="dots", n_genes=2, show=False)
    assert _yticks(ax) == ["B", "T"]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["GENE0", "GENE1", "GENE11"]
    scores = np.linspace(1, -0.2, 12)
    expected = [*scores[[0, 1, 11]], *scores[[1, 2, 0]]]
    np.testing.assert_allclose(np.asarray(ax.collections[0].get_array()), expected, atol=1e-6)


def test_each_kind_has_its_number_of_genes() -> None:
    ranked = _ranked(["B", "T"])
    assert len(_yticks(pl.attributions(ranked, show=False)[0])) == 10
    assert len(pl.attributions(ranked, kind="dots", show=False)[0].get_xticks()) == 4  # three of each, two in common
    with pytest.raises(ValueError, match="Unknown `kind='dot'`. .*Did you mean 'dots'"):
        pl.attributions(ranked, kind="dot")  # type: ignore[arg-type]


def test_thirty_labels_do_not_overlap() -> None:
    groups = [f"CD8+/CD45RA+ naive type {number:02}" for number in range(30)]
    (ax,) = pl.attributions(_ranked(groups), kind="dots", n_genes=2, show=False)
    ax.figure.draw_without_rendering()  # type: ignore[union-attr]
    boxes = [text.get_window_extent() for text in ax.get_yticklabels()]
    assert all(above.y0 >= below.y1 for above, below in pairwise(boxes))
    assert all(box.x0 >= ax.figure.bbox.x0 for box in boxes)
    assert len(pl.attributions(_ranked(groups), n_genes=3, show=False)) == 30


def test_one_cell_and_a_total_that_is_no_sum() -> None:
    table = pd.DataFrame({"total": [2.0, -1.0, 0.1], "text": [0.5, -1.0, 0.1], "value": 1.0}, index=["A", "B", "C"])
    ax = pl.cell_attributions(table, n_genes=2, show=False)
    assert _yticks(ax) == ["A", "B"]
    assert np.asarray(ax.lines[0].get_xdata()).tolist() == [2.0, -1.0]


def test_markers() -> None:
    table = pd.DataFrame({"auroc": [0.9, np.nan, 0.6], "auroc_lower": 0.5, "auroc_upper": 0.95}, index=["B", "T", "NK"])
    table = table.assign(auroc_pval_adj=[0.01, np.nan, 0.3], n_overlap=3, n_markers=20)
    ax = pl.marker_overlap(table, show=False)
    assert _yticks(ax) == ["NK (3/20)", "B (3/20)"]
    with pytest.raises(ValueError, match="at least one label with enough markers"):
        pl.marker_overlap(table.iloc[[1]], show=False)


def test_ablations_and_curves() -> None:
    means = {"intact": 0.6, "hash": 0.3}
    rows = [(name, i, "macro_f1", mean + i / 10) for name, mean in means.items() for i in (0, 1)]
    ax = pl.ablations(pd.DataFrame(rows, columns=["ablation", "replicate", "metric", "value"]), show=False)
    assert _yticks(ax) == ["intact", "hash"]
    curves = pd.DataFrame(
        [("random", "deletion", n, cell, 0.9 - n / 10) for n in (0, 5) for cell in "ab"],
        columns=["method", "kind", "n_genes", "cell", "probability"],
    )
    ax = pl.deletion_curves(curves, show=False)
    np.testing.assert_allclose(np.asarray(ax.lines[0].get_ydata()), [0.9, 0.4])
    with pytest.raises(ValueError, match="No curve of the kind 'insertion'; found 'deletion'"):
        pl.deletion_curves(curves, kind="insertion", show=False)


def test_missing_rankings_are_named() -> None:
    with pytest.raises(KeyError, match=r"No 'scmpt_attributions'.*Run `model.rank_attributions"):
        pl.attributions(AnnData(np.zeros((1, 1), dtype=np.float32)), show=False)
    with pytest.raises(KeyError, match="No 'NK'"):
        pl.attributions(_ranked(["B"]), kind="dots", groups=["NK"], show=False)
