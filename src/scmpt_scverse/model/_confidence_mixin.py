"""How far predictions can be trusted: calibration, novelty, shares of the modalities, and when to say nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch.func import functional_call

from scmpt_scverse._checks import check_choice
from scmpt_scverse.model._head_mixin import HeadMixin
from scmpt_scverse.module._contributions import contributions, logits_by_coalition
from scmpt_scverse.module._log_odds import log_odds
from scmpt_scverse.module._novelty import N_REFERENCES, fit_novelty, novelty
from scmpt_scverse.module._temperature import fit_temperature

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import FloatArray, IntArray
    from scmpt_scverse.model._embedding_mixin import Rows
    from scmpt_scverse.module._fusion_stacked import OutOfFold

    Reject: TypeAlias = float | Mapping[str, float]

_REJECT_BY = ("error", "coverage")


@dataclass(frozen=True)
class Opinions:
    """What a model says of cells; see :meth:`scmpt_scverse.SCMPT.annotate`.

    Attributes
    ----------
    probabilities
        Shape `(n_obs, n_labels)`.
    novelty
        Shape `(n_obs,)`.
    contributions
        Shape `(n_obs, n_modalities)`.
    disagreement
        Shape `(n_obs,)`.
    modalities
        Those that were there.
    """

    probabilities: "FloatArray"
    novelty: "FloatArray"
    contributions: "FloatArray"
    disagreement: "FloatArray"
    modalities: tuple[str, ...]


class ConfidenceMixin(HeadMixin):
    """What a model knows of its own errors, from cells that it was not trained on.

    Attributes
    ----------
    calibration_cells_
        Of each such cell: calibrated `confidence` in the predicted label, whether that label `is_correct`, and the
        calibrated log-odds of its true label, `log_odds_of_truth`; each of shape `(n_cells,)`. Also the `fold` that it
        belongs to, which is 0 where there are no fold heads.
    fold_heads_
        Where the training cells themselves are those cells: parameters of the heads that each left one fold out.
    novelty_reference_
        Training cells to compare with.
    """

    calibration_cells_: dict[str, Any]
    fold_heads_: "list[dict[str, torch.Tensor]]"
    novelty_reference_: dict[str, Any]

    def _calibrate(
        self, logits: "torch.Tensor", labels: "torch.Tensor", out_of_fold: "OutOfFold | None" = None
    ) -> None:
        """Fit the temperature on cells that the head did not see, and keep what it gives there."""
        self.calibration_cells_, self.fold_heads_ = {}, []
        if not len(labels):
            return
        temperature = fit_temperature(logits, labels)
        self.module.temperature.fill_(temperature)
        soft = (logits.double() / temperature).softmax(dim=-1)
        confidence, predicted = soft.max(dim=-1)
        self.calibration_cells_ = {
            "confidence": confidence.numpy(),
            "is_correct": (predicted == labels).numpy(),
            "log_odds_of_truth": log_odds(logits / temperature).gather(1, labels[:, None])[:, 0].numpy(),
            "fold": np.zeros(len(labels), dtype=np.int64) if out_of_fold is None else out_of_fold.folds,
        }
        if out_of_fold is not None:
            self.fold_heads_ = [{name: values.cpu() for name, values in state.items()} for state in out_of_fold.states]

    def _log_odds_by_fold(self, inputs: "dict[str, torch.Tensor]") -> "torch.Tensor":
        """What each head that left out a fold says of new cells, shape `(n_obs, n_folds, n_labels)`."""
        standardised = self.module.standardised(inputs)
        device = self.module.temperature.device
        states = [{name: values.to(device) for name, values in state.items()} for state in self.fold_heads_]
        # Without folds, the calibration cells were kept from the head itself, and it compares them with new ones.
        logits = [functional_call(self.module.head, state, (standardised,)) for state in states or [{}]]
        return log_odds(torch.stack(logits, dim=1) / self.module.temperature)

    def _calibration(self, name: str) -> Any:
        if not self.calibration_cells_:
            raise ValueError(
                "Expected cells to calibrate on; the model was trained without validation cells. Train it with "
                "`train_size` below 1, or with `fusion='stacked'`, which learns out of fold."
            )
        return self.calibration_cells_[name]

    def _least_confidence(self, reject: "Reject") -> float:
        """The confidence below which cells are rejected."""
        by, share = check_reject(reject)
        confidence, is_correct = self._calibration("confidence"), self._calibration("is_correct")
        order = np.argsort(-confidence, kind="stable")
        n = len(order)
        if by == "coverage":
            return float(confidence[order[min(n, int(np.ceil(share * n))) - 1]]) if share > 0 else float("inf")
        # One error more than was seen, so that few cells do not promise too much.
        errors = (np.cumsum(is_correct[order] == 0) + 1) / (np.arange(n) + 2)
        kept = np.flatnonzero(errors <= share)
        return float(confidence[order[kept[-1]]]) if kept.size else float("inf")

    def _fit_novelty(self, inputs: "Mapping[str, Rows]", rows: "IntArray", labels: "IntArray", seed: int) -> None:
        """Choose training cells to compare with."""
        rows = np.sort(np.random.default_rng(seed).permutation(rows)[:N_REFERENCES])
        device = self.module.temperature.device
        tensors = {name: torch.from_numpy(values[rows]).to(device) for name, values in inputs.items()}
        self.novelty_reference_ = fit_novelty(self.module.standardised(tensors), labels[rows])

    def _novelty(self, inputs: "Mapping[str, torch.Tensor]") -> "torch.Tensor":
        """Shape `(n_obs,)`; NaN where a modality lacks, since distances would not compare."""
        if set(inputs) != set(self._modalities):
            return torch.full((len(next(iter(inputs.values()))),), float("nan"))
        return novelty(self.novelty_reference_, self.module.standardised(inputs))

    def _shares(self, inputs: "Mapping[str, torch.Tensor]") -> "tuple[torch.Tensor, torch.Tensor, torch.Tensor]":
        """Logits, contribution of each modality to the predicted label, and share of those that alone say another."""
        names = tuple(inputs)
        logits = logits_by_coalition(self.module, inputs)
        predicted = logits[names].argmax(dim=-1)
        alone = torch.stack([logits[(name,)].argmax(dim=-1) != predicted for name in names])
        return logits[names], contributions(logits, names, predicted), alone.float().mean(dim=0)

    def _opinions(self, adata: "AnnData") -> Opinions:
        """All that is written of every cell."""
        self._check_if_trained(warn=False)
        inputs = self._inputs(adata, missing_ok=True)

        def ask(tensors: "dict[str, torch.Tensor]") -> "tuple[torch.Tensor, ...]":
            logits, shares, disagreement = self._shares(tensors)
            soft = logits.softmax(dim=-1)
            columns = [shares, disagreement[:, None], self._novelty(tensors)[:, None]]
            trust = torch.cat([column.to(soft.device) for column in columns], dim=-1)
            # Nothing can be said of a cell that cannot be read; that is so for NaN everywhere but in the arg max.
            return soft, torch.where(soft.isnan().any(dim=-1, keepdim=True), torch.nan, trust)

        soft, trust = self._batches(ask, inputs, np.arange(adata.n_obs), None)
        n = len(inputs)
        return Opinions(soft, trust[:, n + 1], trust[:, :n], trust[:, n], tuple(inputs))


def check_reject(reject: "Reject") -> tuple[str, float]:
    """What is asked for and how much of it; `ValueError` otherwise."""
    given = dict(reject) if isinstance(reject, Mapping) else {"error": reject}
    if len(given) != 1:
        raise ValueError(f"`reject` must be a share of errors, or one of {_REJECT_BY} with a share; found {reject!r}.")
    ((by, share),) = given.items()
    check_choice(by, _REJECT_BY, "reject")
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise ValueError(f"`reject` must be a share from 0 to 1; found {share!r}.")
    return by, float(share)
