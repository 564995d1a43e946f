"""A trained text model as one object: from labels to candidates, and from cells to what is said of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from scmpt_scverse._checks import list_some, warn_user
from scmpt_scverse.knowledge import says_only_genes
from scmpt_scverse.module import TextAlignment
from scmpt_scverse.zero_shot._annotate import label_probabilities, label_scores
from scmpt_scverse.zero_shot._candidates import (
    candidates_of,
    embedded,
    listed_labels,
    markers_in_words,
    registered_candidates,
)
from scmpt_scverse.zero_shot._neighbourhood import Neighbourhood
from scmpt_scverse.zero_shot._search import search_scores
from scmpt_scverse.zero_shot._types import RegisteredTypes

if TYPE_CHECKING:
    from scmpt_scverse._types import BoolArray, FloatArray, StrArray
    from scmpt_scverse.zero_shot._annotate import Refine
    from scmpt_scverse.zero_shot._candidates import Candidates, Labels
    from scmpt_scverse.zero_shot._query import Query

#: What cells without a label get.
UNKNOWN = "Unknown"


@dataclass(frozen=True)
class TextModel:
    """What was trained, and what reads texts.

    Attributes
    ----------
    alignment
        Writes profiles.
    types
        That it was trained on.
    genes
        Symbols of the profiles, shape `(n_genes,)`.
    encode
        From texts to embeddings `(n_texts, dim)`.
    """

    alignment: "TextAlignment"
    types: "RegisteredTypes"
    genes: "StrArray"
    encode: "Callable[[Sequence[str]], FloatArray]"

    def state(self) -> dict[str, Any]:
        """All but the arrays of :meth:`arrays`, as plain values."""
        return {"genes": self.genes, "types": self.types.state()}

    def arrays(self) -> "dict[str, FloatArray]":
        """What was fitted."""
        return self.alignment.arrays()

    @classmethod
    def from_saved(
        cls, arrays: Mapping[str, Any], state: Mapping[str, Any], encode: "Callable[[Sequence[str]], FloatArray]"
    ) -> Self:
        """The inverse of :meth:`arrays` and :meth:`state`.

        Raises
        ------
        ValueError, IndexError, KeyError, TypeError
            Parts do not fit one another.
        """
        alignment = TextAlignment.from_arrays(arrays)
        model = cls(alignment, RegisteredTypes.from_state(state["types"]), state["genes"], encode)
        background, n_genes = alignment.background, len(model.genes)
        sizes = {len(each) for each in ((background.mean, background.scale) if background else ())}
        if sizes != {n_genes}:
            raise ValueError("its background does not fit its genes")
        if not all(np.isfinite(values).all() for values in arrays.values()):
            raise ValueError("it holds numbers that are not finite")
        registered = model.candidates(None, None)
        # One type shows whether sizes agree.
        alignment.profiles(registered.texts[:1], registered.markers[:1], np.ones(n_genes, dtype=bool))
        return model

    def candidates(self, labels: "Labels | None", tissue: str | None) -> "Candidates":
        """What cells may be: labels of a user, the types of a tissue, or all registered types.

        Raises
        ------
        ValueError
            Both are given, there is no such tissue, or the labels are no choice.
        TypeError
            The tissue is no text, or the labels are neither a list of names nor a mapping.
        """
        if tissue is not None and not isinstance(tissue, str):
            raise TypeError(f"Expected the name of one tissue as `tissue`; found {tissue!r}. Pass a text.")
        if labels is None:
            return registered_candidates(self.alignment, self.types, tissue)
        if tissue is not None:
            raise ValueError("Pass either `labels=` or `tissue=`: a tissue stands for the types that it has.")
        given = listed_labels(labels)
        if UNKNOWN in given:
            raise ValueError(
                f"{UNKNOWN!r} is what cells without a label get. Leave it out, or call the type otherwise."
            )
        return candidates_of(given, self.alignment, self.types, self.genes, self.encode)

    def probabilities(
        self, query: "Query", candidates: "Candidates", refine: "Refine", near: "Neighbourhood | None" = None
    ) -> "FloatArray":
        """Calibrated probabilities, shape `(n_obs, n_labels)`; NaN for a cell that cannot be read.

        `near` is the :class:`Neighbourhood` of the query, where it is known already.
        """
        self.warn_of_absent(candidates.is_named, query)
        if near is None and refine != "none":
            near = Neighbourhood.of(query)
        scores = label_scores(query, self.alignment, candidates)
        return label_probabilities(scores, self.alignment.scale, refine, near, out=scores)

    def parts(self, query: "Query", candidates: "Candidates") -> "dict[str, FloatArray]":
        """What each part adds to the profiles of the candidates, as :meth:`TextAlignment.parts` gives it."""
        return self.alignment.parts(candidates.texts, candidates.markers, query.is_used)

    def search(self, query: "Query", text: str) -> "FloatArray":
        """See :func:`scmpt_scverse.zero_shot.search_scores`."""
        markers = markers_in_words({"text": text}, self.genes).get("text", np.zeros(len(self.genes)))
        self.warn_of_absent(markers != 0, query)
        embedding = embedded([[text]], self.alignment, self.encode)[0]
        if markers.any() and says_only_genes(text, self.genes):
            embedding = np.zeros_like(embedding)
        return search_scores(query, self.alignment, embedding, markers)

    def warn_of_absent(self, is_named: "BoolArray", query: "Query") -> None:
        """Warn of genes that were named, and that the query does not have or that do not vary there."""
        absent = self.genes[is_named & ~query.is_used]
        if len(absent):
            warn_user(
                f"Genes that were named are not in the data, or do not differ between its cells: {list_some(absent)}. "
                "They are left out. (Names of proteins stand for their genes.)"
            )
