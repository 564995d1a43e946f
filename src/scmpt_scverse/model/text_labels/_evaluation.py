"""How right labels from texts are: the method `evaluate` of `SCMMGPT`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scmpt_scverse._checks import check_choice, check_key, warn_user
from scmpt_scverse._labels import checked_unlabeled, distinct_labels, labels_or, warn_of_doubtful_labels
from scmpt_scverse._slots import DEFAULT_TEXT_KEY_ADDED
from scmpt_scverse.zero_shot import (
    REFINEMENTS,
    UNKNOWN,
    Labels,
    Neighbourhood,
    Refine,
    evaluated,
    marker_probabilities,
)

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse.model.text_labels._annotates import AnnotatesByTextMixin
    from scmpt_scverse.pp import Organism


def evaluate_text_labels(
    self: "AnnotatesByTextMixin",
    adata: "AnnData | None" = None,
    labels_key: str | None = None,
    *,
    labels: "Labels | None" = None,
    tissue: str | None = None,
    refine: Refine = "self-train",
    unlabeled_category: "str | Sequence[str] | None" = None,
    layer: str | None = None,
    gene_symbols: str | None = None,
    organism: "Organism | None" = None,
) -> pd.DataFrame:
    """Compare the model with the majority label and plain marker scoring, on cells with known labels.

    Parameters
    ----------
    adata
        Labelled cells, which the model was not trained on.
    labels_key
        Column of `.obs` with the true labels, in any words; `None` takes that of :meth:`setup_anndata`.
    labels, tissue
        The candidates, as for :meth:`predict`. Without both, the true labels are the candidates, so the model is
        told which types there are.
    refine, layer, gene_symbols, organism
        As for :meth:`predict`; the scores of the markers are refined alike.
    unlabeled_category
        The label that stands for "no label", or several; `None` takes that of :meth:`setup_anndata`.

    Returns
    -------
    One row per predictor: `"scmmgpt"`; `"marker scoring"`, the mean standardised expression of the markers that
    the model knows of each candidate; and `"majority"`, the most frequent true label. Columns as in
    :func:`scmpt_scverse.metrics.classification_metrics`, then `ece`, `brier` and `nll` as in
    :func:`scmpt_scverse.metrics.calibration_metrics`, missing for marker scoring, whose scores are no
    probabilities.

    A prediction is right if it is the true label in other words: the same name in any spelling or the same term of
    the Cell Ontology; where no candidate is, the nearest of which the true label is a kind; else a kind of it.
    Cells whose label matches no candidate count as wrong, and a warning says which labels these are. Cells without
    a label are left out.

    Raises
    ------
    RuntimeError, ValueError
        As :meth:`predict`; also where no cell has a label.
    KeyError
        The column is missing.
    """
    check_choice(refine, REFINEMENTS, "refine")
    cells, trained = self._cells(adata), self._trained()
    labels_key = self._setup_args["labels_key"] if labels_key is None else labels_key
    check_key(labels_key, cells.obs.columns, "adata.obs", hint=" Pass `labels_key=`.")
    given = self._unlabeled_names if unlabeled_category is None else unlabeled_category
    unlabeled = checked_unlabeled(given)
    truth = labels_or(cells.obs[labels_key], unlabeled)
    warn_of_doubtful_labels(truth, f"adata.obs[{labels_key!r}]", unlabeled=unlabeled)
    rows = np.flatnonzero(truth != unlabeled[0])
    if not rows.size:
        raise ValueError(f"Expected labels in `adata.obs[{labels_key!r}]` to compare with; found none.")
    if cells is self._own_data():
        warn_user("The model was made with these cells; metrics on them say little about other cells.")
    if labels is None and tissue is None:
        labels = [name for name in distinct_labels(cells.obs[labels_key]) if name not in unlabeled]
    candidates = trained.candidates(labels, tissue)
    query = self._query(adata, layer, gene_symbols, organism)
    near = None if refine == "none" else Neighbourhood.of(query)
    predictions = {
        DEFAULT_TEXT_KEY_ADDED: trained.probabilities(query, candidates, refine, near),
        "marker scoring": marker_probabilities(query, candidates, refine, near),
    }
    table = evaluated(truth[rows], {name: each[rows] for name, each in predictions.items()}, candidates, UNKNOWN)
    table.loc["marker scoring", ["ece", "brier", "nll"]] = np.nan
    return table
