"""How right labels from texts are, where truth is in other words: beside the majority and plain marker scoring."""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scmpt_scverse._checks import list_some, warn_user
from scmpt_scverse.evaluation import results_of
from scmpt_scverse.metrics import calibration_metrics, classification_metrics
from scmpt_scverse.module import Scale
from scmpt_scverse.zero_shot._annotate import label_probabilities
from scmpt_scverse.zero_shot._matching import matching_candidates

if TYPE_CHECKING:
    from scmpt_scverse._types import FloatArray, StrArray
    from scmpt_scverse.zero_shot._annotate import Refine
    from scmpt_scverse.zero_shot._candidates import Candidates
    from scmpt_scverse.zero_shot._neighbourhood import Neighbourhood
    from scmpt_scverse.zero_shot._query import Query

#: Markers of each label that plain scoring takes, the heaviest first.
_N_MARKERS = 50
#: Temperatures of scores at unit variance.
_UNIT_SCALE = Scale(raw=1 / 3, smoothed=1 / 3, refined=1.0)
_CALIBRATION = ["ece", "brier", "nll"]


def evaluated(
    truth: "StrArray", predictions: Mapping[str, "FloatArray"], candidates: "Candidates", unlabeled: str
) -> pd.DataFrame:
    """Metrics of predictors that choose among the same candidates, and of the majority.

    Parameters
    ----------
    truth
        True label of each cell, in any words, shape `(n_cells,)`.
    predictions
        Predictor to probabilities of the candidates, shape `(n_cells, n_labels)`; NaN for a cell that cannot be read.
    candidates
        What is chosen from.
    unlabeled
        The prediction that stands for no label.

    Returns
    -------
    One row per predictor, then `"majority"`; columns of :func:`scmpt_scverse.metrics.classification_metrics`, then
    `ece`, `brier` and `nll`.

    Warns
    -----
    UserWarning
        True labels match no candidate.
    """
    names = list(dict.fromkeys(truth))
    right = matching_candidates(names, candidates)
    _warn_of_unmatched(truth, [name for name in names if not right[name]])
    # A candidate that is right for one name only is called by it.
    single = {name: right[name][0] for name in names if len(right[name]) == 1}
    claims = Counter(single.values())
    owner = {code: name for name, code in single.items() if claims[code] == 1}
    rows: dict[str, pd.Series] = {}
    for predictor, probabilities in predictions.items():
        best = np.where(np.isfinite(probabilities).all(axis=1), np.nan_to_num(probabilities).argmax(axis=1), -1)
        # The true label as a candidate: the one that was predicted, where it is right, else the likeliest right one.
        nearest = [_nearest(right[name], code, row) for name, code, row in zip(truth, best, probabilities, strict=True)]
        hits = [code >= 0 and code == other for code, other in zip(best, nearest, strict=True)]
        predicted = [
            name if hit else unlabeled if code < 0 else owner.get(code, candidates.names[code])
            for name, hit, code in zip(truth, hits, best, strict=True)
        ]
        rows[predictor] = classification_metrics(truth, predicted)
        if (best >= 0).any():
            columns = [str(number) for number in range(probabilities.shape[1])]
            as_candidates = [str(code) if code >= 0 else "none" for code in nearest]
            soft = pd.DataFrame(probabilities, columns=columns)
            rows[predictor] = pd.concat([rows[predictor], calibration_metrics(as_candidates, soft)[_CALIBRATION]])
    shares = pd.Series(truth, dtype=object).value_counts(normalize=True)
    same = pd.DataFrame(np.tile(shares.to_numpy(), (len(truth), 1)), columns=shares.index)
    rows["majority"] = results_of(truth, same, unlabeled)
    return pd.DataFrame(rows).T


def marker_probabilities(
    query: "Query", candidates: "Candidates", refine: "Refine", near: "Neighbourhood | None"
) -> "FloatArray":
    """Plain marker scoring: mean standardised expression of the known markers of each candidate, as probabilities.

    Cells have length 1, as for the model. Probabilities are refined as those of a model, but of no calibrated
    sharpness; shape `(n_obs, n_labels)`.
    """
    weights = np.where(query.is_used, np.maximum(candidates.markers, 0), 0)
    kept = np.argsort(-weights, axis=1, kind="stable")[:, :_N_MARKERS]
    sets = np.zeros_like(weights)
    np.put_along_axis(sets, kept, (np.take_along_axis(weights, kept, axis=1) > 0).astype(np.float64), axis=1)
    scores = query.scores(sets / np.maximum(sets.sum(axis=1, keepdims=True), 1))
    scores /= max(float(np.nanstd(scores, dtype=np.float64)), float(np.finfo(np.float32).tiny))
    return label_probabilities(scores, _UNIT_SCALE, refine, near, out=scores)


def _nearest(right: tuple[int, ...], predicted: int, probabilities: "FloatArray") -> int:
    if predicted in right:
        return predicted
    return max(right, key=lambda number: float(probabilities[number])) if right else -1


def _warn_of_unmatched(truth: "StrArray", names: list[str]) -> None:
    if names:
        n_cells = int(np.isin(truth, names).sum())
        warn_user(
            f"Labels that match no candidate, by name or in the Cell Ontology: {list_some(names)}. Their {n_cells} of "
            f"{len(truth)} cells count as wrong. Add them to `labels=`, or leave these cells out."
        )
