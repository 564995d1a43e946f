"""What is compared: each a function from training cells, test cells and a seed to a prediction."""

from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from io import StringIO
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import scvi
import torch
from _accuracy_cells import ENCODERS, LABELS_KEY, TEXT_MODEL
from anndata import AnnData
from scipy import sparse
from scipy.special import logsumexp
from sklearn.neighbors import NearestNeighbors

from scmpt_scverse import SCMPT, evaluation
from scmpt_scverse._types import FloatArray, StrArray
from scmpt_scverse.modalities import DEFAULT_PRESET, preset_of
from scmpt_scverse.module import FUSIONS
from scmpt_scverse.pp import Normalisation
from scmpt_scverse.trust import cross_conformal_sets

#: Nominal miss rate of the conformal sets.
ALPHA = 0.1


@dataclass(frozen=True)
class Prediction:
    """Of the test cells.

    Attributes
    ----------
    probabilities
        `(n_test, n_labels)`, columns are labels.
    novelty
        Called for scores by name, each `(n_test,)`, higher for a cell of no known label.
    uncalibrated
        Probabilities as they were before calibration.
    sets
        Conformal sets, a boolean as to each label.
    """

    probabilities: pd.DataFrame
    novelty: Callable[[], Mapping[str, FloatArray]] = dict
    uncalibrated: pd.DataFrame | None = None
    sets: pd.DataFrame | None = None

    @classmethod
    def joined(cls, parts: "list[Prediction]") -> "Prediction":
        """Of the cells of all parts, one after another; a label that a part does not know has probability 0 there."""
        tables = {}
        for name, nothing in {"probabilities": 0.0, "uncalibrated": 0.0, "sets": False}.items():
            of_parts = [getattr(part, name) for part in parts]
            if all(table is not None for table in of_parts):
                labels = sorted({label for table in of_parts for label in table})
                tables[name] = pd.concat(
                    [table.reindex(columns=labels, fill_value=nothing) for table in of_parts], ignore_index=True
                )
        return cls(**tables)


Predictor: TypeAlias = Callable[[AnnData, AnnData, int], Prediction]


def baseline(train: AnnData, test: AnnData, seed: int, *, name: str) -> Prediction:
    """A baseline on log-normalised expression, or on counts where it reads those."""
    matrices = [sparse.csr_matrix(cells.X) for cells in (train, test)]
    if name != "scanvi":
        normalise = Normalisation.of(matrices[0])
        matrices = [normalise(matrix) for matrix in matrices]
    return Prediction(
        evaluation.baseline_probabilities(name, matrices[0], train.obs[LABELS_KEY], matrices[1], seed=seed)
    )


def head(train: AnnData, test: AnnData, seed: int, *, encoders: Mapping[str, Any], **options: Any) -> Prediction:
    """A model of the package with its defaults."""
    train = train.copy()
    scvi.settings.seed = seed
    SCMPT.setup_anndata(train, LABELS_KEY)
    model = SCMPT(train, encoders=encoders, **options)
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):  # progress bars, and why training stopped
        model.train()
    soft = model.predict(test, soft=True).reset_index(drop=True)
    powers = soft.astype(float) ** float(model.module.temperature)
    before = powers.div(powers.sum(axis=1), axis=0)
    return Prediction(soft, partial(novelty, model, test), before, model.predict_sets(test, ALPHA, allow_empty=True))


def default(train: AnnData, test: AnnData, seed: int) -> Prediction:
    """What `SCMPT` is without options, but for a text model that has not learned the labels of these cells."""
    encoders = dict(preset_of(DEFAULT_PRESET).encoders)
    if TEXT_MODEL in train.uns:
        encoders["knowledge"] = {"encoder": "knowledge", "model": train.uns[TEXT_MODEL]}
    return head(train, test, seed, encoders=encoders)


def split_conformal_sets(calibration: pd.DataFrame, truth: StrArray, fresh: pd.DataFrame) -> pd.DataFrame:
    """Label sets of fresh cells from the probabilities of calibration cells, both `(n_cells, n_labels)`."""
    codes = calibration.columns.get_indexer(truth)
    values = calibration.to_numpy()
    true_scores = np.where(codes >= 0, values[np.arange(len(values)), codes], -np.inf)
    folds, draws = np.zeros(len(values), dtype=np.int64), np.zeros(len(fresh))
    sets = cross_conformal_sets(fresh.to_numpy()[:, None], true_scores, folds, ALPHA, draws=draws)
    return pd.DataFrame(sets, index=fresh.index, columns=fresh.columns)


def novelty(model: SCMPT, test: AnnData) -> dict[str, FloatArray]:
    """The score of the model, and what it could use in its place: distance to neighbours in the same space, energy."""
    model.annotate(test)
    assert model.novelty is not None
    references, tested = (
        model.novelty.coordinates(_standardised(model, model.modalities.read(cells))) for cells in (model.adata, test)
    )
    neighbours = NearestNeighbors(n_neighbors=min(10, len(references))).fit(references).kneighbors(tested)[0]
    logits = model.module.logits(model.modalities.read(test))
    return {
        "novelty": test.obs["scmpt_novelty"].to_numpy(),
        "neighbours": neighbours.mean(axis=1),
        "energy": -logsumexp(logits, axis=1),
    }


def _standardised(model: SCMPT, inputs: Mapping[str, Any]) -> dict[str, FloatArray]:
    tensors = {name: torch.from_numpy(values[np.arange(len(values))]) for name, values in inputs.items()}
    with torch.no_grad():
        return {name: values.numpy() for name, values in model.module.standardised(tensors).items()}


#: Those that the others are compared with.
BASELINES: dict[str, Predictor] = {
    "majority": partial(baseline, name="majority"),
    "LR expression": partial(baseline, name="logistic_regression"),
    "LR HVG + PCA": partial(baseline, name="pca_logistic_regression"),
    "kNN PCA": partial(baseline, name="pca_knn"),
    "CellTypist": partial(baseline, name="celltypist"),
}
#: One modality alone, by the head that is best at that.
SINGLE: dict[str, Predictor] = {
    f"{modality} alone": partial(head, encoders={modality: encoder}, fusion="stacked")
    for modality, encoder in {**ENCODERS, "counts": "counts"}.items()
}
#: Both, by every head that there is; with expression itself as a third modality where the best of them takes it.
FUSED: dict[str, Predictor] = {name: partial(head, encoders=ENCODERS, fusion=name) for name in FUSIONS.names()}
FUSED["stacked + counts"] = partial(head, encoders={**ENCODERS, "counts": "counts"}, fusion="stacked")
FUSED["mini"] = default
PREDICTORS = BASELINES | SINGLE | FUSED
#: Slow; run when asked for by name.
OPTIONAL: dict[str, Predictor] = {"scANVI": partial(baseline, name="scanvi")}
#: Those that are trained once more for each hidden label.
WITH_HIDDEN_LABELS = ("LR expression", *list(FUSED)[-1:])
