"""What is written of every cell: computed from the parts of a model, and put into AnnData."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from scmpt_scverse._checks import warn_user
from scmpt_scverse._labels import as_categorical
from scmpt_scverse._slots import PredictionKeys, Slot, TextLabelKeys, write_slots
from scmpt_scverse._storable import storable_names
from scmpt_scverse.module import in_batches
from scmpt_scverse.trust import contributions, logits_by_coalition
from scmpt_scverse.zero_shot import UNKNOWN

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import BoolArray, FloatArray, StrArray
    from scmpt_scverse.module import FusionClassifier, Rows
    from scmpt_scverse.trust import Calibration, Novelty
    from scmpt_scverse.zero_shot import Answers, Candidates


@dataclass(frozen=True)
class Predictions:
    """All that is written of every cell; see :meth:`scmpt_scverse.SCMPT.annotate`.

    Attributes
    ----------
    probabilities
        Shape `(n_obs, n_labels)`.
    novelty, disagreement
        Shape `(n_obs,)`.
    contributions
        Shape `(n_obs, n_modalities)`.
    modalities
        Those that were there.
    """

    probabilities: "FloatArray"
    novelty: "FloatArray"
    contributions: "FloatArray"
    disagreement: "FloatArray"
    modalities: tuple[str, ...]


def predictions_of(module: "FusionClassifier", novelty: "Novelty | None", inputs: "Mapping[str, Rows]") -> Predictions:
    """All that is written of every cell, from what was read of it."""
    names = tuple(inputs)

    def ask(tensors: "dict[str, torch.Tensor]") -> "tuple[torch.Tensor, ...]":
        standardised = module.standardised(tensors)
        logits = logits_by_coalition(module.logits_of_standardised, standardised)
        soft = logits[names].softmax(dim=-1)
        predicted = soft.argmax(dim=-1)
        alone = torch.stack([logits[(name,)].argmax(dim=-1) != predicted for name in names])
        scores = (
            np.full(len(soft), np.nan)
            if novelty is None
            else novelty.scores({name: values.float().cpu().numpy() for name, values in standardised.items()})
        )
        trust = [
            contributions(logits, names, predicted),
            alone.float().mean(dim=0)[:, None],
            torch.from_numpy(scores).to(soft.device)[:, None],
        ]
        # Nothing can be said of a cell that cannot be read; that is so for NaN everywhere but in the arg max.
        return soft, torch.where(soft.isnan().any(dim=-1, keepdim=True), torch.nan, torch.cat(trust, dim=-1))

    soft, trust = batched(module, ask, inputs)
    n = len(names)
    return Predictions(soft, trust[:, n + 1], trust[:, :n], trust[:, n], names)


def batched(
    module: "FusionClassifier",
    function: "Callable[[dict[str, torch.Tensor]], tuple[torch.Tensor, ...]]",
    inputs: "Mapping[str, Rows]",
    batch_size: int | None = None,
) -> "list[FloatArray]":
    """What a function of the classifier gives of cells, which are asked about in batches."""
    module.eval()
    return in_batches(function, inputs, module.temperature.device, batch_size)


def label_sets(
    module: "FusionClassifier",
    calibration: "Calibration",
    inputs: "Mapping[str, Rows]",
    names: pd.Index,
    alpha: float,
    *,
    allow_empty: bool | None,
) -> "BoolArray":
    """See :meth:`scmpt_scverse.SCMPT.predict_sets`; `names` are those of the cells."""
    states = list(calibration.fold_states)
    logits = batched(module, lambda tensors: (module.logits_by_fold(tensors, states),), inputs)[0]
    sets = calibration.label_sets(torch.from_numpy(logits), alpha, draws_of(names))
    if allow_empty is None:
        _warn_of_empty_sets(sets)
    elif not allow_empty:
        sets[np.arange(len(sets)), module.logits(inputs).argmax(axis=1)] = True
    return sets


def write_predictions(
    adata: "AnnData",
    keys: PredictionKeys,
    predictions: Predictions,
    predicted: "StrArray",
    labels: "StrArray",
    unlabeled_category: str,
) -> None:
    """Write the slots of :meth:`scmpt_scverse.SCMPT.annotate`, and remove those that are not written this time."""
    columns = storable_names(labels, reserved=adata.obs_names.name)
    names = storable_names(predictions.modalities, reserved=adata.obs_names.name)
    values = {
        Slot("obs", keys.prediction): as_categorical(predicted, [*labels, unlabeled_category]),
        Slot("obs", keys.confidence): predictions.probabilities.max(axis=1),  # NaN where the row is NaN
        Slot("obs", keys.novelty): predictions.novelty,
        Slot("obs", keys.disagreement): predictions.disagreement if len(names) > 1 else None,
        Slot("obsm", keys.probabilities): pd.DataFrame(predictions.probabilities, adata.obs_names, columns),
        Slot("obsm", keys.contributions): pd.DataFrame(predictions.contributions, adata.obs_names, names),
    }
    write_slots(adata, keys.slots, values)


def text_label_values(
    adata: "AnnData", keys: TextLabelKeys, answers: "Answers", candidates: "Candidates"
) -> dict[Slot, Any]:
    """Values of the slots of :meth:`scmpt_scverse.SCMMGPT.annotate`."""
    terms = dict(zip(candidates.names, candidates.terms, strict=True))
    columns = storable_names(candidates.names, reserved=adata.obs_names.name)
    level = answers.backed_off
    of_obs: dict[str, Any] = {
        keys.prediction: as_categorical(answers.predicted, [*candidates.names, UNKNOWN]),
        keys.confidence: answers.confidence,
        keys.ontology_id: pd.Categorical([terms.get(label) for label in answers.predicted]),
        keys.novelty: answers.novelty,
        keys.backed_off: pd.Categorical(level["ontology_term"].to_list()),
        keys.backed_off_id: pd.Categorical(level["ontology_id"].to_list()),
        keys.backed_off_confidence: level["probability"].to_numpy(),
    }
    scores = pd.DataFrame(answers.probabilities, index=adata.obs_names, columns=columns, copy=False)
    return {**{Slot("obs", key): value for key, value in of_obs.items()}, Slot("obsm", keys.scores): scores}


def draws_of(names: pd.Index) -> "FloatArray":
    """A number in [0, 1) for each name, the same for the same name, as good as random."""
    hashes = pd.util.hash_array(np.asarray(names, dtype=object), categorize=False)
    draws: FloatArray = (hashes >> np.uint64(11)) / 2.0**53  # as many bits as a double holds
    return draws


def _warn_of_empty_sets(sets: "BoolArray") -> None:
    n_empty = int((~sets.any(axis=1)).sum())
    if n_empty:
        warn_user(
            f"{n_empty} of {len(sets)} label sets ({n_empty / len(sets):.0%}) are empty: no label scores as high as "
            "true labels mostly do. Pass `allow_empty=False` for sets that hold at least the most probable label, or "
            "`allow_empty=True` to expect empty ones."
        )
