"""What is described: groups of cells, or each cell; and means over them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scmpt_scverse.llm import group_means

if TYPE_CHECKING:
    from scmpt_scverse._types import FloatArray, IntArray, StrArray


@dataclass(frozen=True)
class Subjects:
    """What is described.

    Attributes
    ----------
    names
        Of the groups, or of all cells in order, shape `(n_subjects,)`.
    codes
        Which of them each cell belongs to, shape `(n_obs,)`; -1 for none.
    are_cells
        Whether each cell is one.
    """

    names: "StrArray"
    codes: "IntArray"
    are_cells: bool

    def means(self, values: "FloatArray") -> "FloatArray":
        """Mean row of each, over the cells whose rows are finite; shape `(n_subjects, n_columns)`."""
        if self.are_cells:
            return values
        codes = np.where(np.isfinite(values).all(axis=1), self.codes, -1)
        return group_means(values, codes, len(self.names))

    def beside_rest(self, values: "FloatArray") -> "tuple[FloatArray, FloatArray]":
        """Mean row of each, and of all other cells; each of shape `(n_subjects, n_columns)`.

        Rows that are not finite are left out; 0 where no row is left of the group, NaN where none is of the others.
        """
        is_finite = np.asarray(np.isfinite(values).all(axis=1))
        totals, n_total = np.nansum(values, axis=0), int(is_finite.sum())
        own = np.nan_to_num(self.means(values))
        if self.are_cells:
            sizes = np.asarray(is_finite, dtype=np.int64)
        else:
            sizes = np.bincount(self.codes[is_finite & (self.codes >= 0)], minlength=len(self.names))
        n_rest = np.asarray(n_total - sizes)[:, None]
        rest = np.where(n_rest > 0, (totals - own * sizes[:, None]) / np.maximum(n_rest, 1), np.nan)
        return own, rest
