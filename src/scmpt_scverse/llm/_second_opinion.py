"""A second opinion as arrays: which cells and labels to ask about, and what the answers say about each cell."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scmpt_scverse.llm._ask import ask
from scmpt_scverse.llm._base import Answer, LLMClient, Request
from scmpt_scverse.llm._prompt import PROMPT_VERSION, build_request
from scmpt_scverse.llm._run import AskOptions, Report

if TYPE_CHECKING:
    from scmpt_scverse._types import BoolArray, FloatArray, IntArray, StrArray


@dataclass(frozen=True)
class Subjects:
    """Cells or clusters to ask about.

    Attributes
    ----------
    kind
        What the prompt calls one of them.
    genes
        The most expressed genes of each.
    of_cell
        Index of the subject that each cell belongs to, shape `(n_obs,)`; -1 for a cell that is not asked about.
    """

    kind: str
    genes: list[list[str]]
    of_cell: "IntArray"


@dataclass(frozen=True)
class SecondOpinion:
    """Answers of a language model, spread over the cells that they are about.

    Attributes
    ----------
    labels
        All labels, shape `(n_labels,)`.
    abstention
        What is predicted where the model abstained.
    probabilities
        Label probabilities, shape `(n_obs, n_labels)`; 0 for labels that were not candidates, NaN where there is no
        answer.
    prediction
        Predicted labels, shape `(n_obs,)`; `None` where the model was not asked or failed.
    rationale
        Rationale of each answer, shape `(n_obs,)`; empty where there is none.
    report
        Counts, tokens and price of the run.
    provenance
        Client, model, parameters and version of the prompt, as plain values; no secret and no path.
    """

    labels: "StrArray"
    abstention: str
    probabilities: "FloatArray"
    prediction: "StrArray"
    rationale: "StrArray"
    report: Report
    provenance: Mapping[str, Any]

    @property
    def is_given(self) -> "BoolArray":
        """Where the model answered or abstained, shape `(n_obs,)`."""
        return np.array([label is not None for label in self.prediction], dtype=bool)


def subjects_of(kind: str, codes: "IntArray", chosen: "IntArray", sentences: Sequence[str]) -> Subjects:
    """Some groups of cells as subjects, without those whose sentence is empty.

    Parameters
    ----------
    kind
        What the prompt calls one of them.
    codes
        Group of each cell, shape `(n_obs,)`; -1 for none. Where each cell is a group of its own, its row number.
    chosen
        The groups, in the order in which they are to be asked about.
    sentences
        Gene symbols of each chosen group, most expressed first, joined by spaces.
    """
    kept = [number for number, sentence in enumerate(sentences) if sentence]
    place = np.full(int(codes.max(initial=-1)) + 2, -1)  # the last one is for -1
    place[np.asarray(chosen, dtype=np.int64)[kept]] = np.arange(len(kept))
    return Subjects(kind, [sentences[number].split() for number in kept], place[codes])


def least_certain_first(probabilities: "FloatArray", below: float = np.inf) -> "IntArray":
    """Rows whose highest probability is below a limit, lowest first; rows with NaN are left out."""
    confidence = probabilities.max(axis=1)
    order = np.argsort(confidence, kind="stable")
    return order[confidence[order] < below]  # false for NaN


def group_means(values: "FloatArray", codes: "IntArray", n_groups: int) -> "FloatArray":
    """Mean row of each group of cells, shape `(n_groups, n_columns)`; NaN for an empty group. Code -1 is no group."""
    in_one = codes >= 0
    sums = np.zeros((n_groups, values.shape[1]))
    np.add.at(sums, codes[in_one], values[in_one])
    sizes = np.bincount(codes[in_one], minlength=n_groups).astype(float)
    sizes[sizes == 0] = np.nan
    return sums / sizes[:, None]


def most_probable(probabilities: "FloatArray", subjects: Subjects, n: int) -> "tuple[IntArray, FloatArray]":
    """Columns of the most probable labels of each subject, and their probabilities; shape `(n_subjects, n)`."""
    means = group_means(probabilities, subjects.of_cell, len(subjects.genes))
    columns = np.argsort(-means, axis=1, kind="stable")[:, :n]
    return columns, np.take_along_axis(means, columns, axis=1)


def ask_about(
    client: LLMClient,
    subjects: Subjects,
    labels: "StrArray",
    options: AskOptions,
    *,
    abstention: str,
    candidates: "IntArray | None" = None,
    shown: "FloatArray | None" = None,
) -> SecondOpinion:
    """Ask a client about subjects, and spread its answers over their cells.

    Parameters
    ----------
    client
        The client to ask.
    subjects
        Most important first: limits leave out the last ones.
    labels
        All labels, shape `(n_labels,)`.
    options
        What questions show, and the limits.
    abstention
        What is predicted where the model abstains.
    candidates
        Columns of the labels that the model chooses among, shape `(n_subjects, n_candidates)`; `None` for all.
    shown
        Probabilities of the candidates to show, of the same shape; `None` shows none.

    Returns
    -------
    The second opinion; in a dry run without any prediction, and with a report of what it would take.

    Raises
    ------
    ConnectionError, PermissionError, ValueError
        As in :func:`ask`; answers so far are in the file of answers.
    """
    requests = [
        build_request(
            genes,
            labels.tolist() if candidates is None else labels[candidates[number]].tolist(),
            instruction=client.instruction,
            probabilities=None if shown is None else shown[number].tolist(),
            context=options.context,
            markers=options.markers,
            subject=subjects.kind,
            seed=options.seed,
        )
        for number, genes in enumerate(subjects.genes)
    ]
    answers, report = ask(client, requests, options)
    spread = _spread(subjects.of_cell, requests, answers, labels, abstention)
    return SecondOpinion(labels, abstention, *spread, report, _provenance(client, answers))


def _spread(
    of_cell: "IntArray",
    requests: Sequence[Request],
    answers: Sequence[Answer | None],
    labels: "StrArray",
    abstention: str,
) -> "tuple[FloatArray, StrArray, StrArray]":
    """Probabilities, prediction and rationale of each cell."""
    # One row more than requests: the code -1 picks this last row, which is empty.
    probabilities = np.full((len(requests) + 1, len(labels)), np.nan)
    prediction = np.full(len(requests) + 1, None, dtype=object)
    rationale = np.full(len(requests) + 1, "", dtype=object)
    column = {label: number for number, label in enumerate(labels)}
    for row, (request, answer) in enumerate(zip(requests, answers, strict=True)):
        if answer is None or answer.status == "failed":
            continue
        rationale[row] = answer.rationale
        prediction[row] = abstention
        if answer.status == "answered":
            probabilities[row] = 0
            probabilities[row, [column[label] for label in request.candidates]] = answer.probabilities
            prediction[row] = labels[probabilities[row].argmax()]
    return probabilities[of_cell], prediction[of_cell], rationale[of_cell]


def _provenance(client: LLMClient, answers: Sequence[Answer | None]) -> dict[str, Any]:
    given = [answer for answer in answers if answer is not None]
    return {
        "client": type(client).__name__,
        "model": client.model,
        "served_models": sorted({answer.served_model for answer in given} - {""}),
        "parameters": json.dumps(client.parameters),
        "refused_parameters": sorted({name for answer in given for name in answer.refused_parameters}),
        "prompt_version": PROMPT_VERSION,
    }
