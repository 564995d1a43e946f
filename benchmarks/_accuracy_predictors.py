"""What is compared: each a function from training cells, test cells and a seed to a prediction."""

from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from io import StringIO
from typing import Any, TypeAlias

import pandas as pd
import scvi
from _accuracy_sets import ENCODERS, LABELS_KEY
from anndata import AnnData
from scipy import sparse

from scmpt_scverse import SCMPT, metrics
from scmpt_scverse._types import FloatArray
from scmpt_scverse.pp._normalisation import Normalisation


@dataclass(frozen=True)
class Prediction:
    """Of the test cells.

    Attributes
    ----------
    probabilities
        `(n_test, n_labels)`, columns are labels.
    novelty
        Scores by name, each `(n_test,)`, higher for a cell of no known label.
    figures
        What else is to be tabulated.
    """

    probabilities: pd.DataFrame
    novelty: Mapping[str, FloatArray] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)


Predictor: TypeAlias = Callable[[AnnData, AnnData, int], Prediction]


def baseline(train: AnnData, test: AnnData, seed: int, *, name: str) -> Prediction:
    """A baseline on log-normalised expression, or on counts where it reads those."""
    matrices = [sparse.csr_matrix(cells.X) for cells in (train, test)]
    if name != "scanvi":
        normalise = Normalisation.of(matrices[0])
        matrices = [normalise(matrix) for matrix in matrices]
    return Prediction(metrics.baseline_probabilities(name, matrices[0], train.obs[LABELS_KEY], matrices[1], seed=seed))


def head(train: AnnData, test: AnnData, seed: int, *, encoders: Mapping[str, str], **options: Any) -> Prediction:
    """A model of the package with its defaults."""
    train = train.copy()
    scvi.settings.seed = seed
    SCMPT.setup_anndata(train, LABELS_KEY)
    model = SCMPT(train, encoders=encoders, **options)
    with redirect_stdout(StringIO()):  # scvi-tools prints why training stopped
        model.train(enable_progress_bar=False, accelerator="cpu")
    soft = model.predict(test, soft=True)
    assert isinstance(soft, pd.DataFrame)
    return Prediction(soft.reset_index(drop=True))


#: Those that the others are compared with.
BASELINES: dict[str, Predictor] = {
    "majority": partial(baseline, name="majority"),
    "LR expression": partial(baseline, name="logistic_regression"),
    "LR HVG + PCA": partial(baseline, name="pca_logistic_regression"),
    "kNN PCA": partial(baseline, name="pca_knn"),
    "CellTypist": partial(baseline, name="celltypist"),
}
#: One modality alone.
SINGLE: dict[str, Predictor] = {
    f"{modality} alone": partial(head, encoders={modality: encoder}) for modality, encoder in ENCODERS.items()
}
#: Both.
FUSED: dict[str, Predictor] = {"concat": partial(head, encoders=ENCODERS)}
PREDICTORS = BASELINES | SINGLE | FUSED
#: Slow; run when asked for by name.
OPTIONAL: dict[str, Predictor] = {"scANVI": partial(baseline, name="scanvi")}
#: Those that are trained once more for each hidden label.
WITH_HIDDEN_LABELS = ("LR expression", "concat")
