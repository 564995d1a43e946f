"""Ask a language model about cells that a model is unsure of, and mix both predictions."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from scmpt_scverse import llm, metrics
from scmpt_scverse._checks import check_choice, check_positive, check_share, rows_of
from scmpt_scverse._slots import Slot
from scmpt_scverse.llm import AskOptions, ask_about, group_means, least_certain_first, mix, most_probable
from scmpt_scverse.tl._second_opinion import (
    cells_as_subjects,
    check_second_opinion,
    cluster_codes,
    clusters_as_subjects,
    write_second_opinion,
)

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import BoolArray, FloatArray, IntArray, StrArray
    from scmpt_scverse.llm import Subjects
    from scmpt_scverse.pp import ExpressionReader

_WAYS = ("uncertain", "clusters")


@dataclass(frozen=True)
class Question:
    """Settings of a second opinion, checked before anything slow.

    Attributes
    ----------
    client
        The language model.
    options
        What questions show, and the limits.
    labels
        All labels, shape `(n_labels,)`.
    unlabeled
        The label that stands for unlabelled cells.
    candidates, confidence_below, show_probabilities, weight, key_added
        As for :meth:`scmpt_scverse.SCMPT.refine`.
    ways
        How cells and clusters were chosen, for the record.
    codes
        Cluster of each cell, shape `(n_obs,)`; `None` to ask about cells.
    given
        Row numbers of the cells to ask about; `None` for the uncertain ones.
    """

    client: llm.LLMClient
    options: AskOptions
    labels: "StrArray"
    unlabeled: str
    candidates: int
    confidence_below: float
    show_probabilities: bool
    weight: float | None
    key_added: str
    ways: Mapping[str, Any]
    codes: "IntArray | None"
    given: "IntArray | None"

    @classmethod
    def checked(
        cls,
        adata: "AnnData",
        client: str | type[llm.LLMClient] | llm.LLMClient | None,
        options: AskOptions,
        labels: "StrArray",
        *,
        unlabeled: str,
        reads: Iterable[Slot],
        cells: "Literal['uncertain', 'clusters'] | Sequence[int] | IntArray | BoolArray",
        cluster_key: str | None,
        candidates: int,
        confidence_below: float,
        show_probabilities: bool,
        weight: float | None,
        key_added: str,
    ) -> Self:
        """Check a user's arguments; raises as :meth:`scmpt_scverse.SCMPT.refine`."""
        reads = (*reads, *([Slot("obs", cluster_key)] if cluster_key is not None else []))
        check_second_opinion(adata, key_added, reads, labels)
        _check_choices(candidates, confidence_below, weight, cells, cluster_key)
        client = _client(client)
        options.check_client(client)
        return cls(
            client,
            options,
            labels,
            unlabeled,
            candidates,
            confidence_below,
            show_probabilities,
            weight,
            key_added,
            {"cells": cells if isinstance(cells, str) else "given", "cluster_key": cluster_key},
            None if cluster_key is None else cluster_codes(adata, cluster_key),
            None if isinstance(cells, str) else rows_of(adata, cells, "cells"),
        )


@dataclass(frozen=True)
class Judged:
    """A model's predictions for the cells, and their true labels where known.

    Attributes
    ----------
    reader
        Reads their expression.
    probabilities
        Predicted by the model, shape `(n_obs, n_labels)`; NaN for a cell that cannot be read.
    truth
        Code of the true label to fit and evaluate on, -1 for none, shape `(n_obs,)`.
    is_known
        Cells that are not asked about unless they are given, such as training cells; shape `(n_obs,)`.
    decode
        Turns probabilities into labels.
    """

    reader: "ExpressionReader"
    probabilities: "FloatArray"
    truth: "IntArray"
    is_known: "BoolArray"
    decode: "Callable[[FloatArray], StrArray]"


def second_opinion(adata: "AnnData", question: Question, judged: Judged) -> llm.Report:
    """Ask, mix and write: see :meth:`scmpt_scverse.SCMPT.refine`."""
    options, weight, head = question.options, question.weight, judged.probabilities
    subjects = _subjects(question, judged)
    is_judged = (judged.truth >= 0) & (subjects.of_cell >= 0)
    if weight is None and subjects.genes and not is_judged.any() and not options.dry_run:
        raise ValueError(
            "Expected labelled cells, not trained on, among those to ask about, to fit the weight of the language "
            "model on; found none. Pass `weight=`, such as the one that was fitted on other, labelled cells."
        )
    columns, shown = most_probable(head, subjects, question.candidates)
    opinion = ask_about(
        question.client,
        subjects,
        question.labels,
        options,
        abstention=question.unlabeled,
        candidates=columns,
        shown=shown if question.show_probabilities else None,
    )
    if options.dry_run:
        return opinion.report
    rows = np.flatnonzero(is_judged & opinion.is_given)
    mixture = mix(head, opinion.probabilities, judged.truth, rows, weight=weight, seed=options.seed)
    scores = None
    if len(rows):
        predictions = {
            "head": judged.decode(head[rows]),
            "language model": opinion.prediction[rows],
            "mixture": judged.decode(mixture.held_out),
        }
        scores = metrics.bootstrap_metrics(question.labels[judged.truth[rows]], predictions, seed=options.seed)
    report = replace(opinion.report, weight=mixture.weight, scores=scores)
    settings = {
        **options.content,
        **question.ways,
        "candidates": question.candidates,
        "confidence_below": question.confidence_below,
        "show_probabilities": question.show_probabilities,
        "weight": "fitted" if weight is None else "given",
        "n_judged": len(rows),
    }
    mixed = judged.decode(mixture.probabilities), mixture.probabilities.max(axis=1)  # NaN where the row is NaN
    write_second_opinion(adata, question.key_added, replace(opinion, report=report), settings, mixed=mixed)
    return report


def _subjects(question: Question, judged: Judged) -> "Subjects":
    """Cells or clusters to ask about, the least certain first."""
    head, n_genes = judged.probabilities, question.options.n_genes
    if question.codes is not None:
        return _uncertain_clusters(judged.reader, head, question.codes, question.confidence_below, n_genes)
    rows = least_certain_first(head, question.confidence_below if question.given is None else np.inf)
    rows = rows[~judged.is_known[rows] if question.given is None else np.isin(rows, question.given)]
    return cells_as_subjects(judged.reader, rows, n_genes)


def _uncertain_clusters(
    reader: "ExpressionReader", head: "FloatArray", codes: "IntArray", confidence_below: float, n_genes: int
) -> "Subjects":
    """The clusters whose mean probabilities are uncertain, least certain first; unreadable cells are left out."""
    codes = np.where(np.isfinite(head).all(axis=1), codes, -1)
    means = group_means(head, codes, int(codes.max(initial=-1)) + 1)
    return clusters_as_subjects(reader, codes, least_certain_first(means, confidence_below), n_genes)


def _client(client: str | type[llm.LLMClient] | llm.LLMClient | None) -> llm.LLMClient:
    if client is None:
        raise TypeError(
            "`refine` needs a `client`; found None. Pass one, such as `scmpt_scverse.llm.get('openai', model=...)`."
        )
    return llm.get(client)


def _check_choices(
    candidates: int, confidence_below: float, weight: float | None, cells: Any, cluster_key: str | None
) -> None:
    """Raise `ValueError` for options that are out of range or contradict each other."""
    check_positive(candidates, "candidates")
    if candidates < 2:
        raise ValueError("`candidates` must be at least 2, so that there is a choice; found 1.")
    check_share(confidence_below, "confidence_below")
    if weight is not None:
        check_share(weight, "weight")
    if isinstance(cells, str):
        check_choice(cells, _WAYS, "cells")
    if (cluster_key is None) == (isinstance(cells, str) and cells == "clusters"):
        raise ValueError(
            "`cluster_key` and `cells='clusters'` belong together; found "
            f"`cluster_key={cluster_key!r}` with {'`cells=' + repr(cells) + '`' if isinstance(cells, str) else 'rows'}."
            " Pass both, or neither."
        )
