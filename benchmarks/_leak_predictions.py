"""Predictions of held-out cells with one or the other expression encoder, on the splits of the accuracy benchmark."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from _accuracy_cells import ENCODERS, LABELS_KEY, read, replicates_of
from _accuracy_predictors import head
from _accuracy_sets import CellSet

from scmpt_scverse import encoders, tl
from scmpt_scverse._types import IntArray, StrArray

#: The predictors of the accuracy benchmark that are compared, and what each reads besides the encoder.
PREDICTORS = {"expression alone": {}, "stacked + counts": {"text": ENCODERS["text"], "counts": "counts"}}


class Predictions(NamedTuple):
    """Of one set.

    Attributes
    ----------
    labels
        True label of each cell.
    replicates
        Rows that were held out, and their predicted labels.
    """

    labels: StrArray
    replicates: list[tuple[IntArray, StrArray]]


def predictions(cell_set: CellSet, predictor: str, fingerprint: str, folder: str, data: Path) -> Predictions:
    """What a predictor says of every held-out cell; `fingerprint` is that of the encoder in the folder."""
    encoder = encoders.get(folder)
    cells = read(cell_set, data, is_embedded=False)
    if cells is None or encoder.fingerprint != fingerprint:
        raise ValueError(f"Expected the files of {cell_set.name}, and the encoder {fingerprint} in {folder}.")
    for each in (encoder, *(name for name in PREDICTORS[predictor].values() if name != "counts")):
        tl.embed(cells, each, progress=False)
    found = []
    for replicate, folds in enumerate(replicates_of(cell_set, cells)):
        modalities = {**PREDICTORS[predictor], "expression": encoder}
        predicted = [
            head(cells[train].copy(), cells[test].copy(), replicate, encoders=modalities, fusion="stacked")
            for train, test in folds
        ]
        labels = [each.probabilities.idxmax(axis=1).to_numpy(dtype=object) for each in predicted]
        found.append((np.concatenate([test for _, test in folds]), np.concatenate(labels)))
    return Predictions(cells.obs[LABELS_KEY].to_numpy(dtype=object), found)
