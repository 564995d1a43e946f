"""Pseudo-cells beside real cells, by what is on the axes."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from scmpt_scverse import pl

NAMES = [f"type {number}" for number in range(5)]


def cells(seed: int, names: list[str] | None = None) -> AnnData:
    """Thirty cells of each label, with one gene of its own each."""
    names = names or NAMES
    rng = np.random.default_rng(seed)
    labels = np.repeat(names, 30)
    counts = rng.poisson(2.0, size=(len(labels), 40))
    for number, name in enumerate(names):
        counts[labels == name, number] += 20 + number
    var = pd.DataFrame(index=[f"GENE{number}" for number in range(40)])
    index = [f"cell{number}" for number in range(len(labels))]
    return AnnData(counts.astype(np.float32), obs=pd.DataFrame({"label": labels}, index, dtype="category"), var=var)


def test_both_are_in_the_projection_and_in_the_violins() -> None:
    axes = pl.generation(cells(0), cells(1), labels_key="label", show=False)
    assert len(axes) == 5
    drawn = [np.shape(each.get_offsets())[0] for each in axes[0].collections]
    assert drawn == [30] * 10 + [0, 0]  # a label each of real and of pseudo-cells, and two for the legend
    legend = axes[0].get_legend()
    assert legend is not None
    assert [each.get_text() for each in legend.get_texts()] == [*NAMES, "real", "generated"]
    genes = {ax.get_ylabel() for ax in axes[1:]}
    assert genes == {"GENE1", "GENE2", "GENE3", "GENE4"}  # one of each label, largest differences first
    assert [each.get_text() for each in axes[-1].get_xticklabels()] == NAMES
    plt.close("all")


@pytest.mark.parametrize("target_sum", [1e4, 1e3])
@pytest.mark.parametrize("is_logarithmic", [True, False])
def test_real_cells_may_hold_logarithms_or_linear_values(target_sum: float, is_logarithmic: bool) -> None:
    counted, other = cells(0), cells(0)
    other.X = other.X / other.X.sum(axis=1, keepdims=True) * target_sum
    if is_logarithmic:
        other.X = np.log1p(other.X)
    pseudo = cells(1)
    drawn = [pl.generation(real, pseudo, labels_key="label", show=False)[0] for real in (counted, other)]
    places = [np.vstack([each.get_offsets() for each in ax.collections]) for ax in drawn]
    np.testing.assert_allclose(np.abs(places[0]), np.abs(places[1]), atol=1e-3)  # an axis may be mirrored
    plt.close("all")


def test_genes_of_the_user_in_their_order() -> None:
    some = cells(1)[:60].copy()
    axes = pl.generation(cells(0), some, ["GENE7", "GENE0"], labels_key="label", show=False)
    assert [ax.get_ylabel() for ax in axes[1:]] == ["GENE7", "GENE0"]
    assert [each.get_text() for each in axes[-1].get_xticklabels()] == NAMES[:2]
    one = pl.generation(cells(0), cells(1, NAMES[:1]), labels_key="label", n_genes=1, show=False)
    assert len(one) == 2
    plt.close("all")


def test_what_cannot_be_drawn_is_named() -> None:
    with pytest.raises(ValueError, match="Expected labels that `real` and `generated` share"):
        pl.generation(cells(0), cells(1, ["other"]), labels_key="label", show=False)
    renamed = cells(1)
    renamed.var_names = [f"OTHER{number}" for number in range(40)]
    with pytest.raises(ValueError, match="Expected genes that `real` and `generated` share"):
        pl.generation(cells(0), renamed, labels_key="label", show=False)
    with pytest.raises(KeyError, match="No 'celltype' in `real.obs`"):
        pl.generation(cells(0), cells(1), labels_key="celltype", show=False)
    with pytest.raises(KeyError, match="No 'GENE99' in `genes of both`"):
        pl.generation(cells(0), cells(1), ["GENE99"], labels_key="label", show=False)
    with pytest.raises(TypeError, match="Expected an AnnData"):
        pl.generation(cells(0), "cells.h5ad", labels_key="label", show=False)
