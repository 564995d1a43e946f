"""Write attributions into AnnData, in the form of `sc.tl.rank_genes_groups`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from scmpt_scverse._checks import check_key, list_some
from scmpt_scverse._keys import ATTRIBUTION_KEYS
from scmpt_scverse.attribution._ranking import group_statistics, t_test
from scmpt_scverse.pp._gene_names import gene_symbols_of
from scmpt_scverse.pp._normalisation import Normalisation

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import FloatArray, IntArray, StrArray
    from scmpt_scverse.pp._expression import GeneExpression


@dataclass(frozen=True)
class CellAttributions:
    """What the genes of some cells contribute to a label of each.

    Attributes
    ----------
    rows
        Row numbers of the cells, ascending, shape `(n_cells,)`.
    expression
        Their expression; its genes are the columns of all scores.
    labels
        The label that was explained, shape `(n_cells,)`.
    total
        Scores over all modalities, shape `(n_cells, n_genes)`.
    by_modality
        Scores in each modality, shape as `total`.
    difference
        What all genes together contribute, shape `(n_cells,)`.
    completeness_error
        How far the scores of a cell are from summing to that, as a share of it; NaN for methods that do not sum.
    """

    rows: "IntArray"
    expression: "GeneExpression"
    labels: "StrArray"
    total: sparse.csr_matrix
    by_modality: Mapping[str, sparse.csr_matrix]
    difference: "FloatArray"
    completeness_error: "FloatArray"


def write_ranking(
    adata: "AnnData",
    attributions: CellAttributions,
    groups: "Mapping[str, IntArray]",
    *,
    key_added: str,
    params: Mapping[str, Any],
    gene_symbols: str | None,
) -> None:
    """Write the ranking of genes per group.

    Parameters
    ----------
    adata
        Where to write: `.uns[key_added]`.
    attributions
        Of the explained cells.
    groups
        Group to the positions of its cells among the explained ones.
    key_added
        Key of `.uns`.
    params
        What to record beside what `rank_genes_groups` records.
    gene_symbols
        Column of `.var` with gene symbols; names are `var_names` in any case, as scanpy's plots want it.
    """
    names = _var_names(adata, attributions.expression.genes, gene_symbols)
    matrix = attributions.expression.matrix
    log_expression = Normalisation.of(matrix)(matrix)
    fields: dict[str, dict[str, Any]] = {
        field: {} for field in ("names", "scores", "logfoldchanges", "pvals", "pvals_adj")
    }
    by_modality: dict[str, dict[str, Any]] = {modality: {} for modality in attributions.by_modality}
    for group, cells in groups.items():
        is_in_group = np.zeros(len(attributions.rows), dtype=bool)
        is_in_group[cells] = True
        found = group_statistics(attributions.total, log_expression, is_in_group)
        order = np.argsort(-found.scores, kind="stable")
        fields["names"][group] = names[order].astype(str)
        fields["scores"][group] = found.scores[order].astype(np.float32)
        fields["logfoldchanges"][group] = found.logfoldchanges[order].astype(np.float32)
        fields["pvals"][group] = found.pvals[order]
        fields["pvals_adj"][group] = found.pvals_adj[order]
        for modality, scores in attributions.by_modality.items():
            by_modality[modality][group] = t_test(scores[cells])[0][order].astype(np.float32)
    error = attributions.completeness_error
    adata.uns[key_added] = {
        "params": {
            "reference": "rest",
            "use_raw": False,
            "layer": None,
            "corr_method": "benjamini-hochberg",
            **params,
            "n_cells": [len(cells) for cells in groups.values()],
            **({"completeness_error": float(np.median(error))} if np.isfinite(error).any() else {}),
        },
        **{field: _records(columns) for field, columns in fields.items()},
        ATTRIBUTION_KEYS.by_modality: {modality: _records(columns) for modality, columns in by_modality.items()},
    }


def write_layer(adata: "AnnData", attributions: CellAttributions, key_added: str, gene_symbols: str | None) -> None:
    """Write every explained cell's scores into `.layers[key_added]`; rows of other cells are empty."""
    columns = _columns(adata, attributions.expression.genes, gene_symbols)
    scores = attributions.total.tocoo()
    adata.layers[key_added] = sparse.csr_matrix(
        (scores.data.astype(np.float32), (attributions.rows[scores.row], columns[scores.col])), shape=adata.shape
    )


def ranking_of(adata: "AnnData", key: str) -> dict[str, pd.Series]:
    """Scores by gene, best first, for every group of `adata.uns[key]`; any `rank_genes_groups` will do."""
    check_key(key, adata.uns, "adata.uns", hint=" Run `model.rank_attributions(adata)` first.")
    record = adata.uns[key]
    if not isinstance(record, Mapping) or not {"names", "scores"} <= set(record):
        raise ValueError(
            f"Expected a ranking of genes in `adata.uns[{key!r}]`; found {list_some(record) if record else 'nothing'}. "
            "Run `model.rank_attributions(adata)`."
        )
    return {
        str(group): pd.Series(record["scores"][group], index=pd.Index(record["names"][group].astype(object)))
        for group in record["names"].dtype.names
    }


def _records(columns: Mapping[str, Any]) -> Any:
    # As scanpy writes it: text as objects, which HDF5 takes and plots look up.
    dtype = [(group, "O" if values.dtype.kind in "UO" else values.dtype) for group, values in columns.items()]
    records = np.empty(len(next(iter(columns.values()))), dtype=dtype)
    for group, values in columns.items():
        records[group] = values
    return records


def _columns(adata: "AnnData", genes: "StrArray", gene_symbols: str | None) -> "IntArray":
    """The first column of `adata` that carries each symbol."""
    symbols = pd.Series(np.arange(adata.n_vars), index=gene_symbols_of(adata, gene_symbols))
    return symbols[~symbols.index.duplicated()].loc[genes].to_numpy()


def _var_names(adata: "AnnData", genes: "StrArray", gene_symbols: str | None) -> "StrArray":
    return adata.var_names.to_numpy()[_columns(adata, genes, gene_symbols)].astype(object)
