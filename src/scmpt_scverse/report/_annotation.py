"""What a model wrote about the cells: labels, confidence, novelty, and the second-best label."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scmpt_scverse._checks import check_key, list_some
from scmpt_scverse._labels import label_text
from scmpt_scverse._slots import DEFAULT_KEY_ADDED, DEFAULT_TEXT_KEY_ADDED, NOVEL_ABOVE, PredictionKeys, TextLabelKeys
from scmpt_scverse._storable import labels_of_names
from scmpt_scverse.report._labelling import Labelling

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import FloatArray, IntArray

#: Prefixes that are looked for where the user names none: of reference models, and of text models.
KEYS = (DEFAULT_KEY_ADDED, DEFAULT_TEXT_KEY_ADDED)
#: Below this confidence a label is more likely wrong than right.
UNSURE_BELOW = 0.5
#: The novelty of text models: above this, types that were not named fit better than the label.
NOT_NAMED_ABOVE = 0.5
_BLOCK_SIZE = 50_000


@dataclass(frozen=True)
class Score:
    """A number in [0, 1] of every cell.

    Attributes
    ----------
    name
        What it is called on the page.
    column
        Of `.obs`.
    values
        Shape `(n_obs,)`, NaN where there is none.
    """

    name: str
    column: str
    values: "FloatArray"


@dataclass(frozen=True)
class SecondBest:
    """The most probable label of each cell other than the predicted one.

    Attributes
    ----------
    labels
        All labels that have a probability.
    codes, probabilities
        Which one, -1 where there is none, and its probability, NaN there; shape `(n_obs,)`.
    """

    labels: list[str]
    codes: "IntArray"
    probabilities: "FloatArray"


@dataclass(frozen=True)
class Annotation:
    """What a model wrote about all cells under one prefix.

    Attributes
    ----------
    key
        The prefix.
    predicted
        The predicted labels; `None` where there is no such column.
    scores
        By `confidence`, `novelty`, `disagreement` and `search`; those that are there.
    second
        `None` without probabilities.
    is_of_text
        Whether a text model wrote it.
    """

    key: str
    predicted: Labelling | None
    scores: Mapping[str, Score]
    second: SecondBest | None
    is_of_text: bool

    @property
    def novel_above(self) -> float:
        """The novelty above which a cell counts as unlike the reference, or as of a type that was not named."""
        return NOT_NAMED_ABOVE if self.is_of_text else NOVEL_ABOVE

    @property
    def novel_words(self) -> str:
        """What such cells are called."""
        return "of a type that was not named" if self.is_of_text else "unlike the reference"


def annotation_of(adata: "AnnData", key: str | None) -> Annotation:
    """Read what was written under a prefix, by default the first of :data:`KEYS` that there is."""
    prefix = key if key is not None else _found_key(adata)
    keys, text_scores = PredictionKeys.from_prefix(prefix), TextLabelKeys.from_prefix(prefix).scores
    columns = {
        "confidence": keys.confidence,
        "novelty": keys.novelty,
        "disagreement": keys.disagreement,
        "search": f"{prefix}_search",
    }
    scores = {
        name: Score(name, column, _shares(adata, column)) for name, column in columns.items() if column in adata.obs
    }
    predicted = Labelling.of(adata, keys.prediction) if keys.prediction in adata.obs else None
    table = adata.obsm.get(keys.probabilities, adata.obsm.get(text_scores))
    second = _second_best(table, predicted) if isinstance(table, pd.DataFrame) and predicted is not None else None
    return Annotation(prefix, predicted, scores, second, is_of_text=text_scores in adata.obsm)


def checked_labelling(adata: "AnnData", annotation: Annotation, key: str | None, group_key: str | None) -> Labelling:
    """The labels or groups that get cards.

    Raises
    ------
    KeyError
        There are no predicted labels, and groups do not stand for them.
    """
    if group_key is not None:
        check_key(group_key, adata.obs.columns, "adata.obs")
        if key is None or annotation.predicted is not None:
            return Labelling.of(adata, group_key)
    if annotation.predicted is None:
        raise KeyError(
            f"No {PredictionKeys.from_prefix(annotation.key).prediction!r} in `adata.obs`; found "
            f"{list_some(adata.obs.columns)}. Run `model.annotate(adata)` first, pass `key=` with the prefix of "
            "another column of predictions, or `group_key=` with a column of groups."
        )
    return annotation.predicted


def _found_key(adata: "AnnData") -> str:
    found = [str(column).removesuffix("_prediction") for column in adata.obs if str(column).endswith("_prediction")]
    return next((key for key in KEYS if key in found), found[0] if len(found) == 1 else KEYS[0])


def _shares(adata: "AnnData", column: str) -> "FloatArray":
    """A column of shares; `ValueError` where it holds something else."""
    values = pd.to_numeric(pd.Series(adata.obs[column]).astype(object), errors="coerce").to_numpy(dtype=np.float64)
    outside = values[(values < 0) | (values > 1)]
    if len(outside):
        raise ValueError(
            f"Expected values from 0 to 1 in `adata.obs[{column!r}]`; found {list_some(outside, limit=3)}. Annotate "
            "again, or pass another `key=`."
        )
    return values


def _second_best(table: pd.DataFrame, predicted: Labelling) -> SecondBest | None:
    labels = labels_of_names(map(label_text, table.columns), predicted.labels, table.index.name)
    place = {label: number for number, label in enumerate(labels)}
    column_of = np.array([place.get(label, -1) for label in predicted.labels])
    if len(labels) < 2 or not len(column_of):
        return None
    codes, probabilities = np.full(len(table), -1), np.full(len(table), np.nan)
    for start in range(0, len(table), _BLOCK_SIZE):
        rows: Any = slice(start, start + _BLOCK_SIZE)
        values = np.array(table.iloc[rows], dtype=np.float64)
        own = column_of[predicted.codes[rows]]
        has_own = np.flatnonzero(own >= 0)
        values[has_own, own[has_own]] = np.nan
        is_known = np.isfinite(values).any(axis=1)
        best = np.where(np.isfinite(values), values, -np.inf).argmax(axis=1)
        codes[rows] = np.where(is_known, best, -1)
        probabilities[rows] = np.where(is_known, values[np.arange(len(values)), best], np.nan)
    return SecondBest(labels, codes, probabilities)
