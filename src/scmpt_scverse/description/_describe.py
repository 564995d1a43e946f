"""Evidence of all groups, or of all cells, of a query."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scmpt_scverse.description._evidence import Evidence
from scmpt_scverse.description._expression import (
    cell_directions,
    cell_expression,
    group_directions,
    group_expression,
    totals_of,
)
from scmpt_scverse.description._genes import gene_rows, stated_genes, states_of
from scmpt_scverse.description._states import cells_in_state
from scmpt_scverse.description._subjects import Subjects
from scmpt_scverse.description._types import Levels, shown_labels, types_of
from scmpt_scverse.description._unusual import oddities, qualities
from scmpt_scverse.description._writer_training import cell_vectors
from scmpt_scverse.knowledge import GeneFinder
from scmpt_scverse.zero_shot import AnswerLimits, answers_of, backed_off, checked_others

if TYPE_CHECKING:
    from scmpt_scverse._types import BoolArray, FloatArray, IntArray, StrArray
    from scmpt_scverse.description._expression import SubjectExpression
    from scmpt_scverse.description._states import Programmes
    from scmpt_scverse.zero_shot import Candidates, Query, Refine, TextModel


@dataclass(frozen=True)
class Described:
    """Evidence of everything that is described.

    Attributes
    ----------
    evidence
        One per group or cell, in order.
    genes
        One row per group and gene, see :meth:`scmpt_scverse.SCMMGPT.describe`; without rows for cells.
    """

    evidence: list[Evidence]
    genes: pd.DataFrame


def described(
    model: "TextModel",
    query: "Query",
    whole: "Query",
    genes: "StrArray",
    candidates: "Candidates",
    subjects: Subjects,
    programmes: "Programmes",
    *,
    refine: "Refine",
    threshold: float,
    names: GeneFinder,
    with_vectors: bool = False,
) -> Described:
    """Evidence of all groups, or of all cells.

    Parameters
    ----------
    model
        What was trained.
    query, whole, genes
        The cells over the genes of the model, and over all their genes; symbols of the latter.
    candidates
        What they may be.
    subjects
        What is described.
    programmes
        States to look for, over the genes of `whole`.
    refine, threshold
        As `refine` and `back_off` of :meth:`scmpt_scverse.SCMMGPT.annotate`.
    names
        Finds genes of `whole`.
    with_vectors
        Whether a writer reads cells.
    """
    limits = AnswerLimits(back_off=threshold)
    answers = answers_of(model, query, candidates, checked_others(model, candidates, limits), refine, limits)
    soft = subjects.means(answers.probabilities)
    levels = answers.backed_off if subjects.are_cells else backed_off(soft, candidates, threshold)
    sure = Levels.of(levels, soft, candidates, threshold)
    labels = shown_labels(candidates)
    quality = qualities(whole, subjects, answers.probabilities, answers.novelty, labels, sure.covered)
    types = types_of(subjects, soft, sure, labels, names)
    if with_vectors:
        vectors = subjects.means(cell_vectors(model, query))
        types = [replace(each, vector=vector) for each, vector in zip(types, vectors, strict=True)]
    profiles = _Profiles.of(model, query, genes, candidates)
    in_state = cells_in_state(whole, programmes).astype(np.float64)
    in_state[~np.isfinite(answers.probabilities).all(axis=1)] = np.nan
    shares, rest_shares = subjects.beside_rest(in_state)
    found: list[Evidence] = []
    rows: list[pd.DataFrame] = []
    for block in _expression(whole, subjects):
        weights, gene_shares = profiles.of_types(block.numbers, soft, sure.covered, subjects)
        for row, number in enumerate(block.numbers):
            one = types[number]
            if one.candidates:
                stated = stated_genes(block, row, weights[row], gene_shares[row], genes, is_cell=subjects.are_cells)
                states = states_of(
                    block,
                    row,
                    shares[number],
                    rest_shares[number],
                    programmes,
                    genes,
                    is_cell=subjects.are_cells,
                )
                if not subjects.are_cells:
                    table = gene_rows(
                        block, row, weights[row], gene_shares[row], whole.own.scale, genes, stated, states
                    )
                    table.insert(0, "group", one.name)
                    rows.append(table)
                one = replace(one, genes=stated, states=states)
            found.append(replace(one, unusual=oddities(quality[number], is_cell=subjects.are_cells)))
    table = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame({"group": [], "gene": [], "role": []})
    table.index = table.index.astype(str)  # as files have it
    return Described(found, table)


def _expression(whole: "Query", subjects: Subjects) -> "Iterator[SubjectExpression]":
    totals = totals_of(whole)
    if subjects.are_cells:
        return cell_expression(whole, totals)
    return group_expression(whole, subjects.codes, len(subjects.names), totals)


@dataclass(frozen=True)
class _Profiles:
    """Profiles and directions, brought to all genes of the data.

    Attributes
    ----------
    query
        Over the genes of the model.
    profiles
        Of the labels, over genes that scores rest on, shape `(n_labels, n_used)`.
    used, columns
        Those genes among those of the model, and among those of the data.
    n_genes
        Number of all genes of the data.
    """

    query: "Query"
    profiles: "FloatArray"
    used: "IntArray"
    columns: "IntArray"
    n_genes: int

    @classmethod
    def of(cls, model: "TextModel", query: "Query", genes: "StrArray", candidates: "Candidates") -> "_Profiles":
        used = np.flatnonzero(query.is_used)
        profiles = model.alignment.profiles(candidates.texts, candidates.markers, query.is_used)[:, used]
        columns = pd.Index(genes).get_indexer(model.genes[used])
        return cls(query, profiles, used, columns, len(genes))

    def of_types(
        self, numbers: "IntArray", soft: "FloatArray", covered: "BoolArray", subjects: Subjects
    ) -> "tuple[FloatArray, FloatArray]":
        """Weights and shares of genes for the types of some groups or cells, each `(n_subjects, n_genes)`.

        Of a kind of cell, the profile is the mean of its labels, by their probabilities.
        """
        parts = np.nan_to_num(soft[numbers]) * covered[numbers]
        parts = parts / np.maximum(parts.sum(axis=1, keepdims=True), 1e-12)
        own = parts @ self.profiles
        if subjects.are_cells:
            directions = cell_directions(self.query, numbers)
        else:
            directions = group_directions(self.query, subjects.codes, numbers)
        weights, shares = (np.zeros((len(numbers), self.n_genes)) for _ in range(2))
        weights[:, self.columns] = own
        shares[:, self.columns] = own * directions[:, self.used]
        return weights, shares
