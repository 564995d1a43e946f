"""Compare rankings of genes with what is known, and with one another."""

import warnings
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from scmpt_scverse._checks import check_positive, list_some
from scmpt_scverse._keys import DEFAULT_ATTRIBUTIONS_KEY
from scmpt_scverse.attribution._marker_overlap import MIN_MARKERS, overlap
from scmpt_scverse.pp._gene_names import looks_like_mouse
from scmpt_scverse.tl._markers import marker_sets
from scmpt_scverse.tl._rank_attributions import ranking_of

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import StrPath


def marker_overlap(
    adata: "AnnData",
    markers: "StrPath | pd.DataFrame | Mapping[str, Sequence[str]]",
    *,
    cell_types: Mapping[str, str | Sequence[str]] | None = None,
    key: str = DEFAULT_ATTRIBUTIONS_KEY,
    n_top: int = 50,
    gene_symbols: str | None = None,
) -> pd.DataFrame:
    """Whether known marker genes stand high in a ranking of genes.

    Parameters
    ----------
    adata
        With a ranking in `.uns[key]`, by :meth:`scmpt_scverse.SCMPT.rank_attributions` or `sc.tl.rank_genes_groups`.
    markers
        A file, a DataFrame, cell type to genes, or `"panglaodb"` (fetched through decoupler).
    cell_types
        Group to the cell type, or several, of the table. Groups that it does not name are matched by name, letter case
        and plural aside.
    key
        Key of `.uns`.
    n_top
        How many genes the hypergeometric test takes from the top.
    gene_symbols
        Column of `.var` with gene symbols; `None` takes the names in the ranking.

    Returns
    -------
    One row a group, index `group`: `cell_types`, `n_genes` (those with a score other than 0, among which the rest is
    counted), `n_markers`, `n_top`, `n_overlap`, `overlap_pval` and `overlap_pval_adj` (hypergeometric), `auroc`,
    `auroc_low`, `auroc_high` (95 %), `auroc_pval` and `auroc_pval_adj` (Mann and Whitney, one-sided). Adjusted by
    Benjamini and Hochberg over groups.

    Raises
    ------
    KeyError
        No such ranking.
    ValueError
        No group has a cell type in the table, or no gene of the ranking is in it.

    Warns
    -----
    UserWarning
        Groups without a cell type or with fewer than 3 markers among their genes are named.
    """
    check_positive(n_top, "n_top")
    rankings, table = ranking_of(adata, key), marker_sets(markers)
    matched = {group: _types_of(group, cell_types or {}, table) for group in rankings}
    unknown = [group for group, types in matched.items() if not types]
    if len(unknown) == len(matched):
        raise ValueError(
            f"None of the groups {list_some(matched)} is a cell type of the table, such as "
            f"{list_some(table, limit=3)}. Pass `cell_types=`, group to cell type."
        )
    symbols = None if gene_symbols is None else adata.var[gene_symbols].astype(object)
    _check_genes(next(iter(rankings.values())).index if symbols is None else pd.Index(symbols), table)
    rows: dict[str, dict[str, Any]] = {}
    for group, types in matched.items():
        if not types:
            continue
        scores = rankings[group][rankings[group] != 0]
        names = scores.index if symbols is None else symbols[scores.index]
        is_marker = np.isin(np.asarray(names, dtype=object), list(frozenset().union(*(table[name] for name in types))))
        rows[group] = {"cell_types": ", ".join(types), **overlap(scores.to_numpy(), is_marker, n_top)}
    found = pd.DataFrame.from_dict(rows, orient="index").rename_axis("group")
    few = found.index[found["n_markers"] < MIN_MARKERS]
    _warn_of_skipped(unknown, list(few))
    for pvals in ("overlap_pval", "auroc_pval"):
        adjusted = found[pvals].copy()
        tested = adjusted.notna()
        adjusted[tested] = stats.false_discovery_control(adjusted[tested])
        found.insert(found.columns.get_loc(pvals) + 1, f"{pvals}_adj", adjusted)
    return found


def compare_attributions(adata: "AnnData", keys: Sequence[str], *, n_top: int = 20) -> pd.DataFrame:
    """How far rankings agree: of two methods, two seeds, or attributions and differential expression.

    Parameters
    ----------
    adata
        With rankings in `.uns`.
    keys
        Keys of `.uns`, at least two.
    n_top
        How many genes of the top are compared.

    Returns
    -------
    One row a group and pair: `group`, `first`, `second`, `spearman` over all genes that either scores, and `jaccard`,
    the share of genes in both tops among those in either.
    """
    check_positive(n_top, "n_top")
    if len(keys) < 2:
        raise ValueError(f"Expected at least two keys of `adata.uns` to compare; found {list_some(keys)}.")
    rankings = {key: ranking_of(adata, key) for key in keys}
    rows = []
    for first, second in combinations(keys, 2):
        for group in rankings[first]:
            if group not in rankings[second]:
                continue
            one, other = rankings[first][group], rankings[second][group]
            both = pd.concat([one, other], axis=1, join="inner", keys=["one", "other"])
            both = both[(both != 0).any(axis=1)]
            tops = [set(scores.index[:n_top]) for scores in (one, other)]
            rows.append(
                {
                    "group": group,
                    "first": first,
                    "second": second,
                    "spearman": float(both["one"].corr(both["other"], method="spearman")),
                    "jaccard": len(tops[0] & tops[1]) / len(tops[0] | tops[1]),
                }
            )
    return pd.DataFrame(rows, columns=["group", "first", "second", "spearman", "jaccard"])


def _types_of(
    group: str, cell_types: Mapping[str, str | Sequence[str]], table: Mapping[str, frozenset[str]]
) -> list[str]:
    if group in cell_types:
        given = cell_types[group]
        types = [given] if isinstance(given, str) else list(given)
        missing = [name for name in types if name not in table]
        if missing:
            raise ValueError(f"{list_some(missing)} is no cell type of the table, such as {list_some(table)}.")
        return types
    return [name for name in table if _bare(name) == _bare(group)]


def _bare(name: str) -> str:
    """`B cells`, `B cell` and `b` are one name."""
    bare = name.casefold().replace("_", " ").strip().removesuffix("s")
    return bare.removesuffix(" cell").strip().removesuffix("s")


def _check_genes(names: "pd.Index[str]", table: Mapping[str, frozenset[str]]) -> None:
    known = frozenset().union(*table.values())
    if not names.isin(list(known)).any():
        cause = (
            " They look like symbols of mouse, and the table has those of human."
            if looks_like_mouse(names.to_numpy(dtype=object))
            else ""
        )
        raise ValueError(
            f"None of the genes in the ranking, such as {list_some(names[:3])}, is in the table of markers, which has "
            f"{list_some(sorted(known)[:3])}.{cause} Pass `gene_symbols=` with the column of symbols."
        )


def _warn_of_skipped(unknown: list[str], few: list[str]) -> None:
    reasons = []
    if unknown:
        reasons.append(f"{list_some(unknown)} are no cell types of the table (pass `cell_types=`)")
    if few:
        reasons.append(f"{list_some(few)} have fewer than {MIN_MARKERS} markers among their genes")
    if reasons:
        warnings.warn(f"Groups without a figure: {'; '.join(reasons)}.", UserWarning, stacklevel=3)
