"""Match the genes of a marker table to those of a data set."""

from collections.abc import Iterable

import pandas as pd

from scmpt_scverse._checks import list_some
from scmpt_scverse.knowledge._gene_finder import GeneFinder
from scmpt_scverse.knowledge._marker_rows import organism_by_spelling


def match_genes(markers: pd.DataFrame, genes: Iterable[str]) -> pd.DataFrame:
    """The rows of a marker table whose genes occur in a data set, under the names used there.

    Parameters
    ----------
    markers
        From :func:`read_markers`. Match tables before merging them, so that `CD20` and `MS4A1` count together.
    genes
        Gene symbols of one organism.

    Returns
    -------
    As `markers`, with the symbols of `genes`. Proteins stand for their genes: `CD3` becomes CD3D, CD3E and CD3G, in one
    row each. Rows of another organism are left out: symbols that differ only in case need not be orthologs.

    Raises
    ------
    ValueError
        No marker is among `genes`.
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
