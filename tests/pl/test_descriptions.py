"""Cards, profiles and search: what is drawn, and that with 3 and with 30 groups nothing is cut off."""

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from scmpt_scverse import pl


def described(n_groups: int) -> AnnData:
    """As `SCMMGPT.describe` writes it, some texts long."""
    names = [
        f"cluster {number}" if number % 4 else f"a cluster of a very long name, number {number}"
        for number in range(n_groups)
    ]
    rows = [
        {
            "n_cells": 10 * number + 1,
            "term": "T cell" if number % 3 else "mature alpha-beta T cell",
            "probability": 0.81,
            "path": "leukocyte > mononuclear leukocyte > T cell > mature T cell > mature alpha-beta T cell",
            "label": "T cell" if number % 3 else "naive thymus-derived CD8-positive, alpha-beta T cell",
            "label_probability": 0.6,
            "definition": "a lymphocyte",
            "genes_for": "CD3D, CD3E, CD3G, IL7R, LTB",
            "genes_against": "CD4 (lower)" if number % 2 else "",
            "states": "interferon response (51 %: ISG15, IFI6); cell cycle G2/M phase (12 %: MKI67, TOP2A)",
            "unusual": "types that are no candidates fit as well or better (novelty 0.76); only 6 cells" * (number % 2),
        }
        for number in range(n_groups)
    ]
    adata = AnnData(np.zeros((4, 1), dtype=np.float32))
    adata.uns["scmmgpt_descriptions"] = pd.DataFrame(rows, index=pd.Index(names, name="leiden"))
    genes = [f"HLA-GENE{number}" for number in range(10)]
    evidence = [
        pd.DataFrame(
            {"group": name, "gene": genes, "profile": np.arange(10, 0, -1.0), "observed": np.linspace(2, -1, 10)}
        )
        for name in names
    ]
    adata.uns["scmmgpt_evidence"] = pd.concat(evidence, ignore_index=True)
    return adata


@pytest.mark.parametrize("n_groups", [1, 3, 30])
def test_cards_hold_their_texts(n_groups: int) -> None:
    adata = described(n_groups)
    axes = pl.descriptions(adata, show=False)
    assert len(axes) == n_groups
    figure: Any = axes[0].figure
    figure.draw_without_rendering()
    for ax, name in zip(axes, adata.uns["scmmgpt_descriptions"].index, strict=True):
        texts = [text for text in ax.texts if text.get_text()]
        card, boxes = ax.get_window_extent(), [text.get_window_extent() for text in texts]
        assert all(box.x1 <= card.x1 and box.y0 >= card.y0 - 1 and box.y1 <= card.y1 + 1 for box in boxes)
        tops = [box.y1 for box in boxes]
        assert tops == sorted(tops, reverse=True)
        assert all(upper.y0 >= lower.y1 - 2 for upper, lower in itertools.pairwise(boxes))
        shown = " ".join(text.get_text() for text in texts)
        assert name[:10] in shown
        for part in ("CD3D", "ISG15", "T cell"):
            assert part in shown
        assert min(float(text.get_fontsize()) for text in texts) >= 8
        whole, filled = (bar.get_bbox().width for bar in ax.patches)  # type: ignore[attr-defined]
        assert filled == pytest.approx(0.81 * whole)


def test_some_groups_in_the_order_asked_for() -> None:
    axes = pl.descriptions(described(6), ["cluster 5", "cluster 2"], show=False)
    assert [ax.texts[0].get_text().split("  ")[0] for ax in axes] == ["cluster 5", "cluster 2"]


def test_a_kind_and_what_is_not_known() -> None:
    adata = described(3)
    table = adata.uns["scmmgpt_descriptions"]
    table.loc["cluster 1", ["term", "label", "path"]] = "", "", ""
    table.loc["cluster 2", ["term", "path"]] = "cell", ""
    texts = [" ".join(text.get_text() for text in ax.texts) for ax in pl.descriptions(adata, show=False)]
    assert "a kind of mature alpha-beta T cell, 0.81" in texts[0]
    assert texts[1].endswith("no cell can be read")
    assert "T cell, 0.60; no type is sure" in texts[2]


@pytest.mark.parametrize("n_groups", [1, 30])
def test_profiles_stand_beside_what_was_observed(n_groups: int) -> None:
    axes = pl.profiles(described(n_groups), n_genes=5, show=False)
    assert len(axes) == n_groups
    profile, observed = axes[0].containers
    np.testing.assert_allclose([bar.get_width() for bar in profile], np.arange(10, 5, -1) / 10)
    values = np.linspace(2, -1, 10)[:5]
    np.testing.assert_allclose([bar.get_width() for bar in observed], values / values.max())
    assert [label.get_text() for label in axes[0].get_yticklabels()] == [f"HLA-GENE{number}" for number in range(5)]
    figure: Any = axes[0].figure
    figure.draw_without_rendering()
    for one, other in itertools.pairwise(axes):
        first, second = one.title.get_window_extent(), other.title.get_window_extent()
        assert first.x1 <= second.x0 or first.y0 >= second.y1 or second.y0 >= first.y1


def searched() -> AnnData:
    adata = AnnData(np.zeros((100, 1), dtype=np.float32))
    adata.obs["scmmgpt_search"] = np.r_[np.nan, np.linspace(0, 1, 99)]
    adata.obsm["X_umap"] = np.random.default_rng(0).normal(size=(100, 2))
    return adata


def test_search_beside_random_texts() -> None:
    axes: Any = pl.search(searched(), "cells that secrete insulin", show=False)
    left, right = axes
    assert sum(bar.get_height() for bar in right.patches) == 99
    assert right.lines[0].get_ydata()[0] == pytest.approx(99 / 20)
    assert right.get_title() == "5 of 99 cells above 0.95"
    offsets = [len(dots.get_offsets()) for dots in left.collections]
    assert offsets == [1, 99]
    shown = left.collections[1].get_array()
    assert (np.diff(shown) >= 0).all(), "the best cells are on top"
    assert left.figure._suptitle.get_text() == "“cells that secrete insulin”"
    assert left.get_xlabel() == "UMAP 1"


@pytest.mark.parametrize(
    ("plot", "change", "error", "message"),
    [
        (pl.descriptions, {"key": "other"}, KeyError, "No 'other_descriptions' in `adata.uns`.*Run `model.describe"),
        (pl.descriptions, {"groups": ["cluster 9"]}, KeyError, "No 'cluster 9' in `the described groups`"),
        (pl.profiles, {"key": "other"}, KeyError, "No 'other_evidence' in `adata.uns`"),
        (pl.profiles, {"n_genes": 0}, ValueError, "`n_genes` must be a whole number of at least 1"),
    ],
)
def test_missing_descriptions(plot: Any, change: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        plot(described(3), show=False, **change)


def test_missing_search() -> None:
    adata = searched()
    with pytest.raises(KeyError, match="Run `model.search"):
        pl.search(adata, key="other", show=False)
    with pytest.raises(KeyError, match="Run `scanpy.tl.umap"):
        pl.search(adata, basis="tsne", show=False)
    adata.obs["scmmgpt_search"] = np.nan
    with pytest.raises(ValueError, match="found 2 column.* and 0 scores"):
        pl.search(adata, show=False)
