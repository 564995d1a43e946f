"""Bring the genes of a table of markers to those of a data set."""

from collections.abc import Iterable

import pandas as pd

from scmpt_scverse._checks import list_some
from scmpt_scverse.knowledge._gene_finder import GeneFinder
from scmpt_scverse.knowledge._marker_rows import organism_by_spelling


def match_genes(markers: pd.DataFrame, genes: Iterable[str]) -> pd.DataFrame:
    """The rows of a table of markers whose genes a data set has, under the names that it uses.

    Parameters
    ----------
    markers
        From :func:`read_markers`. Match tables before they are merged: then `CD20` and `MS4A1` count together.
    genes
        Gene symbols of one organism.

    Returns
    -------
    As `markers`, with the symbols of `genes`. Names of proteins stand for their genes, `CD3` for CD3D, CD3E and CD3G
    in a row each. Rows of another organism are left out: symbols that differ by case only need not be orthologs.

    Raises
    ------
    ValueError
        No gene is left.
    """
    names = GeneFinder(genes)
    organism = organism_by_spelling(pd.Series(list(names), dtype=object))
    same = markers[markers["organism"] == organism]
    symbols = {name: list(names.symbols(name)) for name in same["gene"].unique()}
    matched = same.assign(gene=same["gene"].map(symbols)).explode("gene").dropna(subset="gene")
    if matched.empty:
        raise ValueError(
            f"Expected markers of {organism} genes such as {list_some(sorted(names)[:3])}; found "
            f"{list_some(markers['gene'].unique(), limit=3)} of {list_some(markers['organism'].unique())}. "
            "Pass gene symbols, and a table of the same organism."
        )
    return matched.reset_index(drop=True)
