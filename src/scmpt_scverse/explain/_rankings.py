"""Attributions as tables: into AnnData in the form of `sc.tl.rank_genes_groups`, of one cell, of curves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from scmpt_scverse._slots import BY_MODALITY, AttributionKeys, Slot, write_slots
from scmpt_scverse._storable import storable
from scmpt_scverse.attribution import group_statistics, t_test
from scmpt_scverse.pp import Normalisation

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import FloatArray, IntArray, StrArray
    from scmpt_scverse.pp import GeneExpression


@dataclass(frozen=True)
class CellAttributions:
    """Contributions of genes to one label per cell.

    Attributes
    ----------
    rows
        Row numbers of the cells, ascending, shape `(n_cells,)`.
    expression
        Expression of the cells; its genes are the columns of all scores.
    labels
        The label that was explained, shape `(n_cells,)`.
    total
        Scores over all modalities, shape `(n_cells, n_genes)`.
    by_modality
        Scores in each modality, shape as `total`.
    difference
        What all genes together add to the logit, shape `(n_cells,)`.
    completeness_error
        Deviation of the sum of scores from `difference`, as a share of it; NaN for methods that are not complete.
    """

    rows: "IntArray"
    expression: "GeneExpression"
    labels: "StrArray"
    total: sparse.csr_matrix
    by_modality: Mapping[str, sparse.csr_matrix]
    difference: "FloatArray"
    completeness_error: "FloatArray"


def write_attributions(
    adata: "AnnData",
    attributions: CellAttributions,
    *,
    groups: "Mapping[str, IntArray]",
    keys: AttributionKeys,
    params: Mapping[str, Any],
    symbols: "StrArray",
    per_cell: bool,
) -> None:
    """Write the ranking of genes per group, and every explained cell's scores; what an earlier call wrote is removed.

    Parameters
    ----------
    adata
        Written to.
    attributions
        Scores of the explained cells.
    groups
        Group to the positions of its cells among the explained ones.
    keys
        Where to write.
    params
        Parameters to record in addition to those that `rank_genes_groups` records.
    symbols
        Gene symbol of each column; `names` holds `var_names` in any case, which scanpy's plots require.
    per_cell
        Write the scores of cells; rows of other cells are empty.
    """
    columns = _columns(symbols, attributions.expression.genes)
    names = adata.var_names.to_numpy()[columns].astype(object)
    values = {
        Slot("uns", keys.ranking): _ranking(attributions, groups, names, params),
        Slot("layers", keys.layer): _layer(attributions, columns, adata.shape) if per_cell else None,
    }
    write_slots(adata, keys.slots, values)


def _ranking(
    attributions: CellAttributions, groups: "Mapping[str, IntArray]", names: "StrArray", params: Mapping[str, Any]
) -> dict[str, Any]:
    """The form of `sc.tl.rank_genes_groups`, with the scores in each modality."""
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
        fields["names"][group] = names[order]
        fields["scores"][group] = found.scores[order].astype(np.float32)
        fields["logfoldchanges"][group] = found.logfoldchanges[order].astype(np.float32)
        fields["pvals"][group] = found.pvals[order]
        fields["pvals_adj"][group] = found.pvals_adj[order]
        for modality, scores in attributions.by_modality.items():
            by_modality[modality][group] = t_test(scores[cells])[0][order].astype(np.float32)
    error = attributions.completeness_error
    return {
        "params": {
            "reference": "rest",
            "use_raw": False,
            "layer": None,
            "corr_method": "benjamini-hochberg",
            **storable(params),
            "n_cells": [len(cells) for cells in groups.values()],
            **({"completeness_error": float(np.median(error))} if np.isfinite(error).any() else {}),
        },
        **{field: _records(columns) for field, columns in fields.items()},
        BY_MODALITY: {modality: _records(columns) for modality, columns in by_modality.items()},
    }


def _layer(attributions: CellAttributions, columns: "IntArray", shape: tuple[int, int]) -> sparse.csr_matrix:
    """Scores of the explained cells in the columns of all genes, shape `(n_obs, n_vars)`."""
    scores = attributions.total.tocoo()
    places = (attributions.rows[scores.row], columns[scores.col])
    return sparse.csr_matrix((scores.data.astype(np.float32), places), shape=shape)


def _records(columns: Mapping[str, Any]) -> Any:
    # As scanpy writes it: text as objects, which HDF5 can store.
    dtype = [(group, "O" if values.dtype.kind in "UO" else values.dtype) for group, values in columns.items()]
    records = np.empty(len(next(iter(columns.values()))), dtype=dtype)
    for group, values in columns.items():
        records[group] = values
    return records


def _columns(symbols: "StrArray", genes: "StrArray") -> "IntArray":
    """The first column that carries each symbol."""
    columns = pd.Series(np.arange(len(symbols)), index=symbols)
    return columns[~columns.index.duplicated()].loc[genes].to_numpy()


def contribution_table(found: CellAttributions) -> pd.DataFrame:
    """What each gene adds to the label of the first cell; see :meth:`scmpt_scverse.SCMPT.explain_cell`."""
    columns = {"total": found.total, **found.by_modality, "value": found.expression.matrix}
    table = pd.DataFrame(
        {name: np.asarray(values[0].todense()).ravel() for name, values in columns.items()},
        index=pd.Index(found.expression.genes.astype(object), name="gene"),
    )
    table = table[table["value"] > 0].sort_values("total", ascending=False, kind="stable")
    table.attrs.update(
        label=str(found.labels[0]),
        difference=float(found.difference[0]),
        completeness_error=float(found.completeness_error[0]),
    )
    return table


def curve_table(
    found: CellAttributions, curves: "Mapping[str, FloatArray]", counts: Sequence[int], names: pd.Index
) -> pd.DataFrame:
    """Points of :meth:`Explainer.curves` one by one; see :meth:`scmpt_scverse.SCMPT.deletion_curves`.

    Parameters
    ----------
    found
        The explained cells.
    curves
        Kind to probabilities of their labels, `(n_cells, n_counts)`.
    counts
        Numbers of genes.
    names
        Of all cells of the data.
    """
    places = np.repeat(np.arange(len(found.rows)), len(counts))
    tables = []
    for kind, points in curves.items():
        wide = pd.DataFrame(points, pd.Index(found.rows, name="row"), pd.Index(counts, name="n_genes"))
        table = wide.stack().rename("probability").reset_index()
        cells = names[found.rows].to_numpy()[places]
        tables.append(table.assign(kind=kind, cell=cells, label=found.labels[places]))
    return pd.concat(tables, ignore_index=True)
