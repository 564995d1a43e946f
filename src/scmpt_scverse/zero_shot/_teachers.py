"""Which cells teach a model that is trained on labels by text: the surest of each label."""

from typing import TYPE_CHECKING

import numpy as np

from scmpt_scverse._checks import check_share, list_some
from scmpt_scverse.zero_shot._refinement import surest

if TYPE_CHECKING:
    import pandas as pd

    from scmpt_scverse._types import StrArray


def check_teaching_share(share: float) -> None:
    """Raise `ValueError` unless a share of cells can teach: above 0 and at most 1."""
    check_share(share, "share")
    if share == 0:
        raise ValueError("Expected a `share` of cells to learn from; found 0. Pass a number above 0 and at most 1.")


def taught_labels(soft: "pd.DataFrame", share: float, unlabeled: str) -> "StrArray":
    """The label of each cell that teaches, and `unlabeled` for all others; shape `(n_obs,)`.

    Parameters
    ----------
    soft
        Probabilities of labels by text, `(n_obs, n_labels)`; NaN for a cell that cannot be read.
    share
        Of the cells of each predicted label, the share that teaches.
    unlabeled
        The label of the others.

    Raises
    ------
    ValueError
        All cells have the same label.
    """
    readable = np.flatnonzero(soft.notna().all(axis=1))
    probabilities = soft.to_numpy()[readable]
    codes = probabilities.argmax(axis=1)
    teachers = surest(codes, probabilities.max(axis=1), share=share)
    names = soft.columns.to_numpy(dtype=object)
    found = np.unique(codes[teachers])
    if len(found) < 2:
        raise ValueError(
            f"Expected cells of at least two of the labels {list_some(names)}; found {list_some(names[found])} alone. "
            "Name other types that the cells may be, or pass cells of several types."
        )
    taught = np.full(len(soft), unlabeled, dtype=object)
    taught[readable[teachers]] = names[codes[teachers]]
    return taught
