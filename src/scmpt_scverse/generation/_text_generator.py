"""A trained generator with the texts that it was trained on: what it takes another text for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from scmpt_scverse._saved_files import named, under
from scmpt_scverse.generation._texts import Texts
from scmpt_scverse.knowledge import cell_ontology, normal_form
from scmpt_scverse.module import CellGenerator, TextCondition

if TYPE_CHECKING:
    from scmpt_scverse._types import FloatArray, IntArray, StrArray

#: Types whose mean stands for a text that is none of them, and what differences of cosine are divided by in it.
_N_NEAREST, _TEMPERATURE = 3, 0.1
#: No gene is made more than so many times more, or less, frequent by a shift; natural logarithm.
_LARGEST_SHIFT = 4.0


class Recognised(NamedTuple):
    """What a generator takes texts for.

    Attributes
    ----------
    conditions
        What pseudo-cells are drawn from, one per text.
    distances
        One minus the cosine with the nearest text of training, shape `(n_texts,)`; 0 for a label of training.
    is_far
        Which texts are none of the types: farther from each than its wordings are from each other, defined by genes
        that the user names, or another term of the Cell Ontology.
    nearest
        Name of the nearest type of each.
    """

    conditions: list[TextCondition]
    distances: "FloatArray"
    is_far: "list[bool]"
    nearest: list[str]


@dataclass(frozen=True)
class TextGenerator:
    """Generates cells, and knows which texts it was trained on.

    Attributes
    ----------
    cells
        Draws counts.
    genes
        Symbols, shape `(n_genes,)`.
    texts
        Of training.
    batches
        Names of batches; one, `""`, where there are none.
    type_batches
        Cells of each type in each batch, shape `(n_types, n_batches)`.
    threshold
        Texts farther from every type of training are none of them.
    strength
        What differences of profiles are multiplied by, so that they are differences of logarithms of expression.
    corrections
        Added to log shares of genes, so that the mean pseudo-cell of each type is that of its training cells, which an
        autoencoder smooths; shape `(n_types, n_genes)`.
    """

    cells: CellGenerator
    genes: "StrArray"
    texts: Texts
    batches: tuple[str, ...]
    type_batches: "IntArray"
    threshold: float
    strength: float
    corrections: "FloatArray"

    def recognised(self, texts: Texts, batch: str | None) -> Recognised:
        """What texts mean to the generator.

        A label of training, or a text as near to one as its own wordings are to each other, conditions by itself.
        Any other, one that names genes, or another term of the Cell Ontology is the mean of the nearest types, in which
        genes are shifted as the profile of the text is from theirs.

        Parameters
        ----------
        texts
            Any.
        batch
            That all cells are to be of; `None` draws from those of the nearest types.
        """
        cosines = unit(texts.means) @ unit(self.texts.means).T
        distances, likeness = 1 - cosines.max(axis=1), _likeness(texts, self.texts)
        conditions, nearest, is_far = [], [], []
        for row, (name, term) in enumerate(zip(texts.names, texts.terms, strict=True)):
            same = self._row_of(name, term)
            closest = int(cosines[row].argmax()) if same is None else same
            distances[row] = distances[row] if same is None else 0.0
            is_known = same is not None or (
                distances[row] <= self.threshold
                and not texts.names_genes[row]
                and _may_be_same(term, self.texts.terms[closest])
            )
            best = np.array([closest]) if is_known else np.argsort(-likeness[row], kind="stable")[:_N_NEAREST]
            weights = nearest_weights(likeness[row, best])
            shift = weights @ self.corrections[best]
            if is_known:
                parts, profiles = [texts.embeddings[row]], texts.profiles[[row]]
            else:
                parts, profiles = [self.texts.embeddings[each] for each in best], self.texts.profiles[best]
                shift = shift + self.strength * (texts.profiles[row] - weights @ profiles)
            conditions.append(
                TextCondition(
                    parts,
                    profiles,
                    weights,
                    shift.clip(-_LARGEST_SHIFT, _LARGEST_SHIFT),
                    self._shares(best, weights, batch),
                )
            )
            nearest.append(self.texts.names[best[0]])
            is_far.append(not is_known)
        return Recognised(conditions, distances, is_far, nearest)

    def _shares(self, rows: "IntArray", weights: "FloatArray", batch: str | None) -> "FloatArray":
        """Probability of each batch, for cells of some types, shape `(n_batches,)`."""
        if batch is not None:
            return np.array([each == batch for each in self.batches], dtype=np.float64)
        counts = self.type_batches[rows]
        return np.asarray(weights @ (counts / counts.sum(axis=1, keepdims=True)))

    def _row_of(self, name: str, term: str | None) -> int | None:
        """The row of a type of training, by its term or by its name up to case, plural and word order."""
        for row, (known, of_known) in enumerate(zip(self.texts.names, self.texts.terms, strict=True)):
            if (term is not None and term == of_known) or normal_form(name) == normal_form(known):
                return row
        return None

    def arrays(self) -> "dict[str, Any]":
        """Weights and texts, as named arrays."""
        embeddings = {f"{row:05d}": each for row, each in enumerate(self.texts.embeddings)}
        return {
            **named("cells", self.cells.arrays()),
            **named("embeddings", embeddings),
            "profiles": self.texts.profiles,
            "corrections": self.corrections.astype(np.float32),
            "type_batches": self.type_batches.astype(np.float32),
        }

    def state(self) -> dict[str, Any]:
        """All else, as plain values."""
        return {
            "options": self.cells.state(),
            "genes": self.genes,
            "names": list(self.texts.names),
            "terms": list(self.texts.terms),
            "names_genes": list(self.texts.names_genes),
            "wordings": [list(each) for each in self.texts.wordings],
            "batches": list(self.batches),
            "threshold": self.threshold,
            "strength": self.strength,
        }

    @classmethod
    def from_saved(cls, arrays: Mapping[str, Any], state: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`arrays` and :meth:`state`."""
        embeddings = under(arrays, "embeddings")
        texts = Texts(
            tuple(state["names"]),
            tuple(state["terms"]),
            tuple(tuple(each) for each in state["wordings"]),
            tuple(np.asarray(embeddings[name], dtype=np.float32) for name in sorted(embeddings)),
            np.asarray(arrays["profiles"], dtype=np.float32),
            tuple(state["names_genes"]),
        )
        generator = cls(
            CellGenerator.from_arrays(under(arrays, "cells"), state["options"]),
            np.asarray(state["genes"], dtype=object),
            texts,
            tuple(state["batches"]),
            np.asarray(arrays["type_batches"], dtype=np.int64),
            float(state["threshold"]),
            float(state["strength"]),
            np.asarray(arrays["corrections"], dtype=np.float32),
        )
        n_types, n_genes = len(texts.names), len(generator.genes)
        sizes = {len(texts.terms), len(texts.wordings), len(texts.embeddings), len(generator.type_batches)}
        if sizes != {n_types} or {texts.profiles.shape, generator.corrections.shape} != {(n_types, n_genes)}:
            raise ValueError("the texts of its generator do not fit each other")
        if generator.cells.network.is_measured.shape != (len(generator.batches), n_genes):
            raise ValueError("its generator does not fit its genes")
        return generator


def _may_be_same(term: str | None, other: str | None) -> bool:
    """Whether cells of type `other` stand for a text of a term: it is that term, or a wider one; not a kind of it."""
    if term is None or other is None:
        return True
    return term in {other, *cell_ontology().ancestors(other)}


def _likeness(texts: Texts, others: Texts) -> "FloatArray":
    """Mean cosine of texts and of profiles, shape `(n_texts, n_others)`: what types are near to each other.

    Of training types that were left out, the mean log expression correlated with that of the nearest by .31 for texts
    alone, .50 for profiles and .45 for both in ten kinds of blood cells, and by .74, .53 and .73 in five others.
    """
    by_text = unit(texts.means) @ unit(others.means).T
    return np.asarray((by_text + unit(texts.profiles) @ unit(others.profiles).T) / 2)


def nearest_weights(likeness: "FloatArray") -> "FloatArray":
    """Share of each of the nearest types in their mean, from how much a text is like them; sums to 1."""
    weights = np.exp((likeness - likeness.max()) / _TEMPERATURE)
    return np.asarray(weights / weights.sum())


def fit_threshold(texts: Texts) -> float:
    """The distance beyond which a text is none of the types of training, learned from texts left out.

    Each wording is compared with the others of its type, and each type with the nearest other one. The threshold errs
    least on both.
    """
    own = []
    for each in texts.embeddings:
        for left in range(len(each) if len(each) > 1 else 0):
            others = np.delete(each, left, axis=0).mean(axis=0)
            own.append(1 - float(unit(each[[left]])[0] @ unit(others[None])[0]))
    cosines = unit(texts.means) @ unit(texts.means).T
    np.fill_diagonal(cosines, -1)
    apart = 1 - cosines.max(axis=1)
    if not own:  # one wording each: half way to the nearest other type
        return float(apart.min() / 2)
    within = np.array(own)
    limits = np.sort(np.concatenate([within, apart]))
    errors = [(within > limit).mean() + (apart <= limit).mean() for limit in limits]
    return float(limits[int(np.argmin(errors))])


def fit_strength(texts: Texts, log_means: "FloatArray") -> float:
    """What differences of profiles are multiplied by: least squares over types left out.

    Parameters
    ----------
    texts
        Of training.
    log_means
        Logarithm of the mean share of each gene in each type, shape `(n_types, n_genes)`.
    """
    likeness = _likeness(texts, texts)
    np.fill_diagonal(likeness, -np.inf)
    true, written = [], []
    for row in range(len(likeness)):
        best = np.argsort(-likeness[row], kind="stable")[: min(_N_NEAREST, len(likeness) - 1)]
        weights = nearest_weights(likeness[row, best])
        true.append(log_means[row] - weights @ log_means[best])
        written.append(texts.profiles[row] - weights @ texts.profiles[best])
    square = float(np.sum(np.square(written)))
    return max(0.0, float(np.sum(np.multiply(true, written))) / square) if square else 0.0


def unit(rows: "FloatArray") -> "FloatArray":
    """Rows of length 1; a row of zeros stays."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
