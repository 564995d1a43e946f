"""Compare gene rankings with known markers, and with each other."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from scmpt_scverse._checks import check_cells, check_key, check_positive, list_some, warn_user
from scmpt_scverse._labels import label_text
from scmpt_scverse._slots import DEFAULT_ATTRIBUTIONS_KEY, is_ranking
from scmpt_scverse.attribution import MIN_MARKERS, overlap
from scmpt_scverse.knowledge import marker_sets, normal_form
from scmpt_scverse.pp import NATIVE, Organism, gene_symbols_of, looks_like_mouse, read_gene_names

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
    organism: Organism = NATIVE,
) -> pd.DataFrame:
    """Test whether known marker genes rank highly.

    Parameters
    ----------
    adata
        Data with a ranking in `.uns[key]`, from :meth:`scmpt_scverse.SCMPT.rank_attributions` or
        `sc.tl.rank_genes_groups`.
    markers
        Markers as :func:`scmpt_scverse.knowledge.read_markers` takes them: a file, a DataFrame, or a mapping of cell
        type to genes; or `"panglaodb"` (fetched through decoupler).
    cell_types
        Group to its cell type in the table, or several. Other groups are matched by name, ignoring case and plural.
    key
        Key of `.uns` to read.
    n_top
        Number of top genes for the hypergeometric test.
    gene_symbols
        Column of `.var` with gene symbols; `None` uses the names in the ranking or, with another `organism` than
        `"native"`, `var_names`.
    organism
        Species of the genes in the ranking. By default they are compared unchanged; those of `"mouse"` or of
        :class:`scmpt_scverse.pp.Orthologs` are compared with human markers through their orthologs.

    Returns
    -------
    One row per group with a cell type, index `group`: `cell_types`, `n_genes` (with a score other than 0; only these
    are compared), `n_markers`, `n_top`, `n_overlap`, `overlap_pval` and `overlap_pval_adj` (hypergeometric,
    one-sided), `auroc`, `auroc_lower`, `auroc_upper` (95 %), `auroc_pval` and `auroc_pval_adj` (Mann-Whitney U test,
    one-sided). P-values are adjusted over groups (Benjamini-Hochberg). They and the AUROC are NaN with fewer than 3
    markers, or if all genes are markers.

    Raises
    ------
    TypeError
        `adata` is not an AnnData.
    KeyError
        The ranking or the column of gene symbols does not exist.
    ValueError
        No group has a cell type in the table, `cell_types` names one that is not in it, no gene of the ranking is in
        it, gene names are not unique, `.uns[key]` is not a ranking, or `n_top` is below 1.
    FileNotFoundError, ImportError
        The file of markers does not exist, or an extra that reading it needs is not installed.

    Warns
    -----
    UserWarning
        Groups have no cell type, or fewer than 3 markers among their genes.
    """
    check_positive(n_top, "n_top")
    rankings = _read_rankings(adata, key)
    table = _symbols_of_table(marker_sets(markers))
    given = {label_text(group): types for group, types in (cell_types or {}).items()}
    matched = {group: _types_of(group, given, table) for group in rankings}
    unknown = [group for group, types in matched.items() if not types]
    if len(unknown) == len(matched):
        raise ValueError(
            f"None of the groups {list_some(matched)} is a cell type of the table, such as "
            f"{list_some(table, limit=3)}. Pass `cell_types=`, group to cell type."
        )
    if gene_symbols is None and organism == NATIVE:
        names = pd.Index(dict.fromkeys(name for ranking in rankings.values() for name in ranking.index))
        symbols = pd.Series(read_gene_names(names).symbols, index=names)
    else:
        symbols = pd.Series(gene_symbols_of(adata, gene_symbols, organism), index=adata.var_names)
    _check_genes(pd.Index(symbols), table)
    rows: dict[str, dict[str, Any]] = {}
    for group, types in matched.items():
        if not types:
            continue
        scores = rankings[group][rankings[group] != 0]
        is_marker = np.isin(symbols[scores.index].to_numpy(), list(frozenset().union(*(table[name] for name in types))))
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
    """Agreement of rankings: of two methods, two seeds, or attributions and differential expression.

    Parameters
    ----------
    adata
        Data with rankings in `.uns`.
    keys
        Keys of `.uns`, at least two.
    n_top
        Number of top genes for the Jaccard index.

    Returns
    -------
    One row per group and pair of rankings that both have the group: `group`, `first`, `second`, `spearman`
    (correlation of scores over genes in both rankings with a score other than 0 in at least one) and `jaccard` (index
    of the top genes).

    Raises
    ------
    TypeError
        `adata` is not an AnnData.
    KeyError
        A ranking does not exist.
    ValueError
        Fewer than two keys, an entry that is not a ranking, gene names that are not unique, or `n_top` below 1.
    """
    check_positive(n_top, "n_top")
    if isinstance(keys, str) or len(keys) < 2:
        found = repr(keys) if isinstance(keys, str) else list_some(keys)
        raise ValueError(f"Expected at least two keys of `adata.uns` to compare; found {found}. Pass a list of them.")
    rankings = {key: _read_rankings(adata, key) for key in keys}
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


def _read_rankings(adata: "AnnData", key: str) -> dict[str, pd.Series]:
    """Scores by gene, best first, for every group of `adata.uns[key]`, in the form of `sc.tl.rank_genes_groups`."""
    check_cells(adata)
    check_key(key, adata.uns, "adata.uns", hint=" Run `model.rank_attributions(adata)` first.")
    record = adata.uns[key]
    if not is_ranking(record):
        raise ValueError(
            f"Expected a ranking of genes in `adata.uns[{key!r}]`; found {list_some(record) if record else 'nothing'}. "
            "Run `model.rank_attributions(adata)`."
        )
    names, scores = record["names"], record["scores"]
    rankings = {
        group: pd.Series(scores[group], index=pd.Index(names[group].astype(object))) for group in names.dtype.names
    }
    for group, ranking in rankings.items():
        repeated = ranking.index[ranking.index.duplicated()]
        if len(repeated):
            raise ValueError(
                f"Expected unique gene names in the ranking `adata.uns[{key!r}]`; found {list_some(repeated)} more "
                f"than once in the group {group!r}. Call `adata.var_names_make_unique()` and rank again."
            )
    return rankings


def _types_of(
    group: str, cell_types: Mapping[str, str | Sequence[str]], table: Mapping[str, frozenset[str]]
) -> list[str]:
    if group in cell_types:
        given = cell_types[group]
        types = [label_text(name) for name in ([given] if isinstance(given, str) else given)]
        missing = [name for name in types if name not in table]
        if missing:
            raise ValueError(
                f"Expected cell types of the table for {group!r}; found {list_some(missing)}. Choose from "
                f"{list_some(table)}."
            )
        return types
    return [name for name in table if _core_name(name) == _core_name(group)]


def _core_name(name: str) -> str:
    """`b` for `B cells`, `B cell` and `b`."""
    return " ".join(word for word in normal_form(name).split() if word != "cell") or name


def _symbols_of_table(table: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    """The gene symbols of each cell type, parsed like those of data."""
    genes = sorted(frozenset().union(*table.values()))
    symbol_of = dict(zip(genes, read_gene_names(genes, are_unique=False).symbols, strict=True))
    return {name: frozenset(symbol_of[gene] for gene in of_type) - {""} for name, of_type in table.items()}


def _check_genes(names: "pd.Index[str]", table: Mapping[str, frozenset[str]]) -> None:
    known = frozenset().union(*table.values())
    if not names.isin(list(known)).any():
        cause = (
            " They look like mouse symbols; the table has human ones."
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
        reasons.append(f"{list_some(unknown)} are not in the table (pass `cell_types=`)")
    if few:
        reasons.append(f"{list_some(few)} have fewer than {MIN_MARKERS} markers among their genes")
    if reasons:
        warn_user(f"Groups without a result: {'; '.join(reasons)}.")
