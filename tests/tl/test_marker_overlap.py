from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from anndata import AnnData

from scmpt_scverse import tl
from scmpt_scverse.attribution._marker_overlap import overlap
from scmpt_scverse.tl._marker_overlap import _types_of

_MARKERS = {"B cells": ["CD79A", "CD79B", "MS4A1", "CD74", "HLA-DRA"], "NK cells": ["NKG7", "GNLY", "PRF1", "CTSW"]}


@pytest.fixture
def ranked(pbmc: AnnData) -> AnnData:
    pbmc.obs["type"] = pbmc.obs["bulk_labels"].astype(str).replace({"CD19+ B": "B cell", "CD56+ NK": "NK cells"})
    sc.tl.rank_genes_groups(pbmc, "type", groups=["B cell", "NK cells", "Dendritic"], use_raw=False)
    return pbmc


@pytest.mark.filterwarnings("ignore::pandas.errors.PerformanceWarning")
def test_markers_of_any_ranking(ranked: AnnData, tmp_path: Path) -> None:
    table = pd.DataFrame(
        [(name, gene) for name, genes in _MARKERS.items() for gene in genes], columns=["cell_type", "gene"]
    )
    path = tmp_path / "markers.tsv"
    table.assign(species="Mm Hs").to_csv(path, sep="\t", index=False)
    for markers in (_MARKERS, table, path):
        with pytest.warns(UserWarning, match="'Dendritic' are not in the table"):
            found = tl.marker_overlap(ranked, markers, key="rank_genes_groups", n_top=30)
        assert list(found.index) == ["B cell", "NK cells"]
        assert (found["auroc"] > 0.9).all()
        assert (found["auroc_lower"] < found["auroc"]).all()
        assert (found["overlap_pval_adj"] < 0.05).all()
        assert (found["auroc_pval_adj"] >= found["auroc_pval"]).all()
    shuffled = tl.marker_overlap(
        ranked,
        _MARKERS,
        key="rank_genes_groups",
        cell_types={"B cell": "NK cells", "NK cells": "B cells", "Dendritic": "B cells"},
    )
    assert shuffled.loc["NK cells", "auroc"] < 0.7


@pytest.mark.filterwarnings("ignore::pandas.errors.PerformanceWarning")
def test_symbols_of_rankings_and_tables_are_read_as_those_of_data(ranked: AnnData) -> None:
    plain = ranked.uns["rank_genes_groups"]
    types = {"B cell": "B cells", "NK cells": "NK cells", "Dendritic": "B cells"}
    expected = tl.marker_overlap(ranked, _MARKERS, key="rank_genes_groups", cell_types=types)
    names = plain["names"].copy()
    for group in names.dtype.names:
        names[group] = [f"GRCh38_{gene}" for gene in names[group]]
    ranked.uns["prefixed"] = {**plain, "names": names}
    table = {name: [f"{gene}_ENSG00000167286" for gene in genes] for name, genes in _MARKERS.items()}
    found = tl.marker_overlap(ranked, table, key="prefixed", cell_types=types)
    pd.testing.assert_frame_equal(found, expected)

    # Groups need not rank the same genes, and what has no symbol is no marker.
    for group, genes in {"B cell": ["CD79A", "NKG7", "915"], "NK cells": ["GNLY", "920", "LYZ"]}.items():
        names[group][-3:] = genes
    ranked.uns["few"] = {**plain, "names": names[-3:], "scores": plain["scores"][-3:]}
    few = {"B cells": ["CD79A", "1"], "NK cells": ["GNLY", "2"]}
    with pytest.warns(UserWarning, match="fewer than"):
        found = tl.marker_overlap(ranked, few, key="few", cell_types=types)
    assert found.loc[["B cell", "NK cells"], "n_markers"].tolist() == [1, 1]


def test_overlap_by_hand() -> None:
    scores = np.array([5.0, 4.0, 3.0, 2.0, 1.0, 0.5])
    found = overlap(scores, np.array([True, True, False, True, False, False]), 2)
    assert found["n_overlap"] == 2
    assert found["auroc"] == pytest.approx(8 / 9)
    assert found["overlap_pval"] == pytest.approx(3 / 15)  # both of two drawn from three of six
    assert np.isnan(overlap(scores, scores > 4, 2)["auroc"])


def test_agreement(ranked: AnnData) -> None:
    ranked.uns["again"] = ranked.uns["rank_genes_groups"]
    found = tl.compare_attributions(ranked, ["rank_genes_groups", "again"])
    assert len(found) == 3
    assert np.allclose(found[["spearman", "jaccard"]], 1)
    with pytest.raises(ValueError, match="at least two keys"):
        tl.compare_attributions(ranked, ["again"])
    with pytest.raises(ValueError, match="at least two keys of `adata.uns` to compare; found 'again'. Pass a list"):
        tl.compare_attributions(ranked, "again")


def test_refusals(ranked: AnnData) -> None:
    with pytest.raises(KeyError, match=r"No 'scmpt_attributions'.*Run `model.rank_attributions"):
        tl.marker_overlap(ranked, _MARKERS)
    with pytest.raises(ValueError, match="None of the groups"):
        tl.marker_overlap(ranked, {"Neuron": ["CD74"]}, key="rank_genes_groups")
    with pytest.raises(ValueError, match="Expected cell types of the table for 'B cell'; found 'B'"):
        tl.marker_overlap(ranked, _MARKERS, key="rank_genes_groups", cell_types={"B cell": "B"})
    with pytest.raises(ValueError, match="Expected a column called one of"):
        tl.marker_overlap(ranked, pd.DataFrame({"a": [1]}), key="rank_genes_groups")
    with pytest.raises(FileNotFoundError, match="No table of markers at nowhere"):
        tl.marker_overlap(ranked, "nowhere.tsv", key="rank_genes_groups")
    names = ranked.uns["rank_genes_groups"]["names"]
    for group in names.dtype.names:
        names[group] = [name.capitalize() for name in names[group]]
    with pytest.raises(ValueError, match="look like mouse symbols"):
        tl.marker_overlap(ranked, _MARKERS, key="rank_genes_groups")


@pytest.mark.parametrize(
    ("group", "found"),
    [
        ("B", ["B cells"]),
        ("b_cell", ["B cells"]),
        ("B-cells", ["B cells"]),
        ("natural killer cell", ["NK cells"]),
        ("CD14+ CD16- monocytes", ["CD14+ CD16- monocyte"]),
        ("?", []),
        ("T", []),
    ],
)
def test_groups_find_their_type_however_it_is_spelled(group: str, found: list[str]) -> None:
    table = dict.fromkeys(
        ["B cells", "NK cells", "CD14+ CD16- monocyte", "CD14- CD16+ monocyte", "-"], frozenset({"A"})
    )
    assert _types_of(group, {}, table) == found
