"""How much of a data set an encoder can read, and why not more."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scmpt_scverse._checks import list_some

if TYPE_CHECKING:
    from scmpt_scverse._types import BoolArray, StrArray


@dataclass(frozen=True)
class GeneOverlap:
    """How much of a data set an encoder can read.

    Attributes
    ----------
    n_genes
        Distinct gene symbols in the data.
    n_matched
        Those that the encoder knows.
    expression_fraction
        Share of a cell's expression in matched genes, in [0, 1]: the median over cells with any expression. Columns
        without a symbol count as unmatched.
    n_without_symbol
        Columns named by an identifier of another system, or without a name; encoders cannot read them.
    n_renamed
        Columns whose name is longer than the symbol, such as `GRCh38_CD3D`.
    n_merged
        Columns summed into another column with the same symbol.
    n_empty_cells
        Cells without expression in any matched gene; their embedding is NaN.
    n_expressed
        Matched genes that a cell expresses: the median over cells with any expression.
    """

    n_genes: int
    n_matched: int
    expression_fraction: float
    n_without_symbol: int
    n_renamed: int
    n_merged: int
    n_empty_cells: int
    n_expressed: float


def nearest_cause(
    symbols: "StrArray", known: "BoolArray", vocabulary: frozenset[str], *, where: str = "the encoder's vocabulary"
) -> str:
    """Why symbols are not in the vocabulary, in words: letter case, version suffixes, or simply other genes."""
    unmatched = symbols[~known]
    in_upper_case = sum(name.upper() in vocabulary for name in unmatched)
    if unmatched.size and in_upper_case > 0.5 * unmatched.size:
        return (
            f"{in_upper_case} of the {unmatched.size} unmatched names match in upper case "
            f"(for instance {list_some(unmatched, limit=3)}): another species, or symbols in lower case"
        )
    without_suffix = sum(name.rsplit(".", 1)[0] in vocabulary for name in unmatched)
    if unmatched.size and without_suffix > 0.5 * unmatched.size:
        return f"{without_suffix} of the {unmatched.size} unmatched names match without their `.N` suffix"
    return f"names such as {list_some(unmatched, limit=5)} are not in {where}"
