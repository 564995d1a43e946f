"""Read the sets of labelled cells, and split them."""

from collections.abc import Iterator
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from _accuracy_sets import FEW_CELLS, N_FOLDS, N_PARTITIONS_OF_FEW, CellSet

from scmpt_scverse import datasets, evaluation, tl
from scmpt_scverse._labels import labels_or
from scmpt_scverse._types import IntArray

#: Column of `.obs` that every set has its labels in.
LABELS_KEY = "label"
#: Key of `.uns` with the folder of a text model that has not learned the labels of the set, where the usual one has.
TEXT_MODEL = "text_model"
#: Those of the paper's kind that need no download, by modality: they are compared alone and by every head.
ENCODERS = {"text": "minilm", "expression": "scgpt-mini"}


def read(cell_set: CellSet, folder: Path | None, *, is_embedded: bool) -> ad.AnnData | None:
    """Labelled cells, with embeddings where asked for, labels in `.obs[LABELS_KEY]`; `None` where a file is absent."""
    if not cell_set.files:
        cells = datasets.pbmc68k_reduced()
    else:
        paths = [folder / name for name in cell_set.files] if folder is not None else []
        if not paths or not all(path.is_file() for path in paths):
            return None
        cells = ad.concat([ad.read_h5ad(path) for path in paths], join="inner", index_unique="-")
    labels = pd.Series(labels_or(cells.obs[cell_set.labels_key], cell_set.unlabeled), index=cells.obs_names)
    is_kept = (labels != cell_set.unlabeled).to_numpy()
    if len(cell_set.files) > 1:
        studies = labels.groupby(labels_or(cells.obs[cell_set.group_key], ""))
        shared = set.intersection(*(set(of_study) for _, of_study in studies))
        is_kept &= labels.isin(shared).to_numpy()
    cells = cells[is_kept].copy()
    cells.obs[LABELS_KEY] = labels[is_kept].to_numpy(dtype=object)
    for encoder in ENCODERS.values() if is_embedded else ():
        tl.embed(cells, encoder, progress=False)
    return cells


def replicates_of(
    cell_set: CellSet, cells: ad.AnnData, n_partitions: int = N_PARTITIONS_OF_FEW
) -> Iterator[list[tuple[IntArray, IntArray]]]:
    """`(train, test)` rows of each replicate: one fold, or all folds of a partition where there are few cells.

    Metrics of such a replicate are those of all cells together, each predicted by the model that did not see it. The
    mean of the F1 scores of folds is biased where a label has few cells in each [Forman and Scholz, SIGKDD Explorations
    12, 49 (2010)], and so is the mean of their calibration errors.
    """
    labels = cells.obs[LABELS_KEY]
    if cell_set.group_key is None and cells.n_obs <= FEW_CELLS:
        for partition in range(n_partitions):
            yield list(evaluation.cell_splits(labels, n_splits=N_FOLDS, seed=partition))
        return
    groups, n_folds = None, N_FOLDS
    if cell_set.group_key is not None:
        groups = labels_or(cells.obs[cell_set.group_key], "")
        n_folds = min(N_FOLDS, len(np.unique(groups)))
    for split in evaluation.cell_splits(labels, groups, n_splits=n_folds, seed=0):
        yield [split]
