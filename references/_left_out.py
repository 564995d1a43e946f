"""Train on some studies and judge on one that was left out; choose modalities, level and limits inside the training."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import torch
from _cells import GROUP, TERM, TYPE, joined, with_types
from _claims import OPEN, OUTSIDE, claimable_types, types_of
from _recipe import Level, Recipe
from sklearn.metrics import roc_auc_score

from scmpt_scverse import SCMPT, metrics
from scmpt_scverse.trust import Calibration

#: Share of the cells of left-out studies that each of both limits keeps.
KEPT = 0.95
#: Gives encoders in place of those of a candidate, for a model that knows nothing of some group.
Without = Callable[[Mapping[str, Any], str | None], Mapping[str, Any]]
_MARKS = "scmpt"


@dataclass(frozen=True)
class Design:
    """What is chosen: modalities and what is claimed."""

    candidate: str
    encoders: Mapping[str, Any]
    level: Level


@dataclass(frozen=True)
class Trained:
    """A model and how it was chosen.

    Attributes
    ----------
    model
        Calibrated, with limits, on studies that were left out of its training studies.
    design
        Of it.
    scores
        Macro F1 on the left-out studies, one row per candidate and level.
    """

    model: SCMPT
    design: Design
    scores: pd.DataFrame


@dataclass(frozen=True)
class Answers:
    """What a model says of the cells of a study: `probabilities` `(n_obs, n_labels)`, `novelty` and `truth`."""

    probabilities: pd.DataFrame
    logits: np.ndarray
    novelty: np.ndarray
    truth: np.ndarray

    @property
    def is_known(self) -> np.ndarray:
        """Which cells are of a type that the model claims."""
        return np.isin(self.truth, self.probabilities.columns)

    @property
    def confidence(self) -> np.ndarray:
        """Of the most probable label."""
        return self.probabilities.max(axis=1).to_numpy()

    @property
    def predicted(self) -> np.ndarray:
        """The most probable label, without limits."""
        return self.probabilities.columns.to_numpy(dtype=object)[self.probabilities.to_numpy().argmax(axis=1)]

    def macro_f1(self) -> float:
        """Over the types that the model claims and the study has; cells of other types are left out."""
        known = self.is_known
        return float(metrics.classification_metrics(self.truth[known], self.predicted[known])["macro_f1"])


def train(cells: ad.AnnData, design: Design, options: Mapping[str, Any], *, hidden: str | None = None) -> SCMPT:
    """A model of some cells at a level, without the type `hidden`."""
    known = with_types(cells, design.level.types, hidden=hidden)
    SCMPT.setup_anndata(known, TYPE, batch_key=GROUP)
    model = SCMPT(known, encoders=dict(design.encoders), fusion="stacked")
    model.train(**options, enable_progress_bar=False)
    return model


def answers(model: SCMPT, cells: ad.AnnData, types: Sequence[str]) -> Answers:
    """What a model says of some cells; cells of a wider type than is claimed are left out."""
    truth = types_of(cells.obs[TERM].to_numpy(dtype=object), types)
    asked, truth = cells[truth != OPEN].copy(), truth[truth != OPEN]
    model.embed(asked, progress=False)
    model.annotate(asked)
    soft = pd.DataFrame(asked.obsm[f"{_MARKS}_probabilities"].to_numpy(), columns=pd.Index(model.labels))
    logits = np.log(soft.to_numpy(dtype=np.float64).clip(1e-30)) * float(model.module.temperature)
    return Answers(soft, logits, asked.obs[f"{_MARKS}_novelty"].to_numpy(), truth)


def left_out(
    studies: Sequence[ad.AnnData],
    design: Design,
    options: Mapping[str, Any],
    without: Without,
    outer: str | None,
) -> dict[str, Answers]:
    """What models of all groups of studies but one say of that one, for each group.

    Where a group is left out of all of this, `outer`, the encoders know nothing of it; there is none that knows
    nothing of two.
    """
    found = {}
    for group in dict.fromkeys(str(each.obs[GROUP].iloc[0]) for each in studies):
        inside = [each for each in studies if each.obs[GROUP].iloc[0] != group]
        encoders = without(design.encoders, outer or group)
        model = train(joined(inside), replace(design, encoders=encoders), options)
        for number, each in enumerate(each for each in studies if each.obs[GROUP].iloc[0] == group):
            found[f"{group} {number}"] = answers(model, each, design.level.types)
    return found


def chosen(
    recipe: Recipe, studies: Sequence[ad.AnnData], without: Without, outer: str | None = None, log: Any = print
) -> Trained:
    """The best model of some studies, by nothing but these studies.

    Candidates are compared at the finest level, by mean macro F1 over the studies, each left out in turn. The finest
    level that reaches what the recipe asks for is taken, or else the last. Temperature and limits come from the same
    predictions of left-out studies.
    """
    levels = [_tested(recipe, level, studies) for level in recipe.levels]
    rows, found = [], {}

    def judge(name: str, level: Level) -> float:
        found[name, level.name] = said = left_out(
            studies, Design(name, recipe.candidates[name], level), recipe.training, without, outer
        )
        # The mean over studies, not over cells: a study counts as much as another.
        mean = float(np.mean([each.macro_f1() for each in said.values()]))
        rows.append({"candidate": name, "level": level.name, "macro_f1": mean})
        log(f"  without {outer or 'any'}: {name}, {level.name}: {mean:.3f}")
        return mean

    scores = {name: judge(name, levels[0]) for name in recipe.candidates}
    best = max(scores, key=lambda name: scores[name])
    level, mean = levels[0], scores[best]
    for other in levels[1:]:
        if mean >= recipe.least_macro_f1:
            break
        level, mean = other, judge(best, other)
    design = Design(best, recipe.candidates[best], level)
    encoders = without(design.encoders, outer)
    model = train(joined(studies), replace(design, encoders=encoders), recipe.training)
    calibrate(model, list(found[best, level.name].values()))
    return Trained(model, design, pd.DataFrame(rows))


def calibrate(model: SCMPT, said: Sequence[Answers]) -> None:
    """Temperature and limits of a model, from what models of fewer studies said of cells of studies left out."""
    labels = pd.Index(model.labels)
    logits, codes, novelty = [], [], []
    for each in said:
        known = each.is_known
        wide = np.full((known.sum(), len(labels)), -100.0, dtype=np.float32)  # labels that its model did not know
        wide[:, labels.get_indexer(each.probabilities.columns)] = each.logits[known]
        logits.append(wide)
        codes.append(labels.get_indexer(each.truth[known]))
        novelty.append(each.novelty[known])
    truth = torch.from_numpy(np.concatenate(codes))
    calibration = Calibration.fit(torch.from_numpy(np.concatenate(logits)), truth, np.zeros(len(truth), dtype=np.int64))
    model.calibration = calibration
    model.module.temperature.fill_(calibration.temperature)
    model.min_confidence = float(np.quantile(calibration.confidence, 1 - KEPT))
    model.max_novelty = float(np.quantile(np.concatenate(novelty), KEPT))


def outside_auroc(said: Answers, is_outside: np.ndarray) -> dict[str, float]:
    """How well doubt and novelty tell cells of other types from the others; NaN where there are none of either."""
    if is_outside.all() or not is_outside.any():
        return {"doubt": float("nan"), "novelty": float("nan")}
    marks = {"doubt": 1 - said.confidence, "novelty": said.novelty}
    return {name: float(roc_auc_score(is_outside, values)) for name, values in marks.items()}


def _tested(recipe: Recipe, level: Level, studies: Sequence[ad.AnnData]) -> Level:
    """A level with the types that enough groups of studies have; of fewer studies, with those that one has."""
    terms: dict[str, list[str]] = {}
    for each in studies:
        terms.setdefault(str(each.obs[GROUP].iloc[0]), []).extend(each.obs[TERM].unique())
    least = recipe.least_studies if set(terms) == set(recipe.groups) else 1
    return Level(level.name, claimable_types(terms, level.types, least))


__all__ = ["OUTSIDE", "Answers", "Design", "Trained", "answers", "calibrate", "chosen", "outside_auroc", "train"]
