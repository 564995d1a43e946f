"""Texts about groups of cells, or about single cells, with the evidence that they rest on."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scmpt_scverse._checks import check_choice, check_key, check_seed, list_some, warn_user
from scmpt_scverse._labels import distinct_labels, labels_or
from scmpt_scverse._slots import DEFAULT_TEXT_KEY_ADDED, DescriptionKeys, Slot, check_writable, write_slots
from scmpt_scverse._storable import storable_text
from scmpt_scverse.description import (
    TAUGHT,
    WRITERS,
    LanguageModelWriter,
    Programmes,
    Subjects,
    TaughtWriter,
    Writer,
    described,
    description_table,
    is_description_table,
    is_language_model,
    writer_of,
    written,
)
from scmpt_scverse.knowledge import GeneFinder, cell_ontology, merged_programmes
from scmpt_scverse.llm import GivenLanguageModel, LanguageModel, LLMClient
from scmpt_scverse.modalities import ExpressionSource
from scmpt_scverse.zero_shot import REFINEMENTS, AnswerLimits, Labels, Query, Refine, TextModel

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import StrPath
    from scmpt_scverse.pp import Organism

#: More groups, with fewer cells each, are no clusters.
_MANY_GROUPS, _SMALL_GROUP = 200, 5


class DescribesMixin:
    """Descriptions."""

    _setup_args: dict[str, Any]
    _cells: "Callable[[AnnData | None], AnnData]"
    _query: "Callable[[AnnData | None, str | None, str | None, Organism | None], Query]"
    _source: "Callable[[AnnData, str | None, str | None, Organism | None], ExpressionSource]"
    _read_slots: "Callable[[], tuple[Slot, ...]]"
    _trained: Callable[[], TextModel]
    writer: TaughtWriter | None

    def describe(
        self,
        adata: "AnnData | None" = None,
        groupby: str | None = None,
        *,
        labels: "Labels | None" = None,
        tissue: str | None = None,
        programmes: "StrPath | pd.DataFrame | Mapping[str, Sequence[str]] | None" = None,
        writer: "str | Writer | type[Writer] | LLMClient | GivenLanguageModel" = "retrieval",
        refine: Refine = "self-train",
        back_off: float = 0.8,
        key_added: str = DEFAULT_TEXT_KEY_ADDED,
        layer: str | None = None,
        gene_symbols: str | None = None,
        organism: "Organism | None" = None,
        seed: int | None = None,
    ) -> pd.DataFrame:
        """Describe groups of cells, or each cell, in a sentence or two, with the evidence.

        Parameters
        ----------
        adata
            All cells of a study, as for :meth:`predict`: they are compared with one another.
        groupby
            Column of `.obs` with groups, such as clusters; cells without a group belong to none, but are compared with.
            `None` describes each cell.
        labels, tissue, refine, layer, gene_symbols, organism
            As for :meth:`predict`.
        programmes
            Programmes of genes to look for, beside :func:`scmpt_scverse.knowledge.programmes`, as
            :func:`scmpt_scverse.knowledge.read_markers` takes them, `type` being the programme; one of the name of a
            bundled one replaces it.
        writer
            What writes the texts: `"retrieval"`, templates filled with the evidence and definitions of the Cell
            Ontology; a client of :mod:`scmpt_scverse.llm`, which sees only the evidence; a `Writer`; or, after
            `train(stage="describe")`, `"language-model"`, the causal language model that was trained there, or that
            model by its folder, hub id, or as a pair of network and tokenizer. It continues from the term, and does
            not choose the label.
        back_off
            Probability that a cell type has to reach to be named, in (0, 1].
        key_added
            Prefix of the slots.
        seed
            Seed for sampling the tokens of a language model of transformers; `None` takes the most probable one each
            time.

        Returns
        -------
        One row per group, or per cell:

        `description`, `writer`
            The text, and which writer wrote it. If a writer names a gene or a type that is not in the evidence, or
            gives no text, that of `"retrieval"` is used.
        `term`, `ontology_id`, `probability`, `path`
            The most specific cell type of which the model is sure, a label or a supertype of several; its id, or `""`;
            its mean probability over the cells, or that of the label if no term is sure; and the terms above it,
            broadest first, separated by `>`.
        `label`, `label_probability`, `candidates`
            The most probable label, and the five most probable ones.
        `definition`
            Of the term in the Cell Ontology, up to the first gene that it names.
        `genes_for`, `genes_against`
            Genes that the score of the term rests on, and which are higher than in the other cells (by three standard
            errors; of a single cell, by one standard deviation); against it, markers that are lower, and others that
            are higher.
        `states`
            Programmes that at least a tenth of the cells (three at least) have switched on, with this share and the
            genes that are higher than in the other cells.
        `unusual`
            Novelty of 0.5 or more, other labels in the group, few cells, few or many genes.

        Writes, for groups, this table to `adata.uns["<key_added>_descriptions"]`, and one row per group and gene to
        `adata.uns["<key_added>_evidence"]`: `group`, `gene`, `role` (`"for"`, `"against"`, `"state"`, or `""` for the
        first genes of the profile that are not stated), `share` in the score, `profile` (weight), `observed`
        (difference from the other cells, in units of the spread of the gene), `mean`, `rest_mean` (log-normalised),
        `fraction` and `rest_fraction` (of cells that express it). For cells, `adata.obs["<key_added>_description"]`.

        Raises
        ------
        RuntimeError, ValueError
            As :meth:`predict`; also where a language model was not taught, or is not the one that was, `seed` is for
            another writer, there are no groups or fewer than two cells, or no gene of `programmes` is in
            the data.
        KeyError
            The column is missing.
        PermissionError, ConnectionError
            As :meth:`scmpt_scverse.llm.LLMClient.answer`; nothing is written.

        Warns
        -----
        UserWarning
            There is one group only, with nothing to compare it with; groups are very many; a programme has too few
            genes; or texts of a writer were refused.

        Examples
        --------
        >>> from scmpt_scverse import SCMMGPT, datasets
        >>> adata = datasets.pbmc68k_reduced()
        >>> model = SCMMGPT.from_pretrained("scmmgpt-mini")
        >>> table = model.describe(adata, "louvain", labels=["B cell", "monocyte", "natural killer cell", "T cell"])
        >>> table.loc["4", "term"]
        'B cell'
        """
        cells, keys = self._cells(adata), DescriptionKeys.from_prefix(key_added)
        slots = keys.of_cells if groupby is None else keys.of_groups
        check_writable(cells, key_added, slots, reads=self._reads(groupby))
        _check_ours(cells, slots)
        check_choice(refine, REFINEMENTS, "refine")
        AnswerLimits(back_off=back_off)
        chosen = self._writer(writer, seed)
        chosen.check()
        subjects = _subjects(cells, groupby)
        table, own = merged_programmes(programmes)
        trained = self._trained()
        reader = self._source(cells, layer, gene_symbols, organism).reader(cells)
        finder = GeneFinder(reader.genes)
        whole = Query(reader, reader.genes)
        known = Programmes.of(table, own, reader.genes, whole.is_used)
        candidates = trained.candidates(labels, tissue)
        found = described(
            trained,
            self._query(adata, layer, gene_symbols, organism),
            whole,
            reader.genes,
            candidates,
            subjects,
            known,
            refine=refine,
            threshold=back_off,
            names=finder,
            with_vectors=chosen.reads_cells,
        )
        texts, is_own = written(chosen, found.evidence, finder, cell_ontology())
        name = writer if isinstance(writer, str) and writer in WRITERS.names() else chosen.name
        writers = [name if own_text else "retrieval" for own_text in is_own]
        result = description_table(found.evidence, texts, writers, groupby or "cell")
        if groupby is None:
            result.index = cells.obs_names
            write_slots(cells, slots, {slots[0]: result["description"].to_numpy()})
        else:
            write_slots(cells, slots, dict(zip(slots, (result.copy(), found.genes), strict=True)))
        return result

    def _writer(self, given: Any, seed: int | None) -> Writer:
        """The writer that a user means; a language model only if it is the one that was taught."""
        if seed is not None:
            check_seed(seed)
        if is_language_model(given, self.writer):
            if self.writer is None:
                raise RuntimeError(
                    "The model was not taught to describe cells by a language model. Register labelled cells and call "
                    '`train(stage="describe", language_model=...)`, or leave out `writer=`.'
                )
            language = LanguageModel.open(self.writer.source if given == TAUGHT else given)
            self.writer.check(language)
            return LanguageModelWriter(self.writer.cells, self.writer.terms, language, seed=seed)
        if seed is not None:
            raise ValueError(
                f"`seed={seed!r}` is for language models of transformers; found `writer={given!r}`. Leave it out, or "
                f"pass `writer={TAUGHT!r}`."
            )
        return writer_of(given)

    def _reads(self, groupby: str | None) -> tuple[Slot, ...]:
        return (*self._read_slots(), *([Slot("obs", groupby)] if groupby is not None else []))


def _check_ours(cells: "AnnData", slots: Sequence[Slot]) -> None:
    """Refuse to overwrite something in `.uns` that is no table of descriptions."""
    slot = slots[0]
    if slot.container == "uns" and slot.key in cells.uns and not is_description_table(cells.uns[slot.key]):
        raise ValueError(f"`{slot}` exists and holds no descriptions. Pass another `key_added=`, or rename it.")


def _subjects(cells: "AnnData", groupby: str | None) -> Subjects:
    """The groups of a column, or all cells."""
    if cells.n_obs < 2:
        raise ValueError(
            f"Expected at least two cells, since a description says how cells differ; found {cells.n_obs}. Pass all "
            "cells of the study."
        )
    if groupby is None:
        return Subjects(cells.obs_names.to_numpy(), np.arange(cells.n_obs), are_cells=True)
    check_key(groupby, cells.obs.columns, "adata.obs")
    column = labels_or(cells.obs[groupby], "")
    names = distinct_labels(cells.obs[groupby])
    if not names:
        raise ValueError(
            f"Expected groups of cells in `adata.obs[{groupby!r}]`; found missing values only. Pass another "
            "`groupby=`, or leave it out to describe each cell."
        )
    codes = pd.Index(names).get_indexer(column)
    sizes = np.bincount(codes[codes >= 0])
    if len(names) == 1 and sizes[0] == cells.n_obs:
        warn_user(
            f"Expected several groups in `adata.obs[{groupby!r}]`; found {list_some(names)} only, so that there are no "
            "other cells to compare with: no gene is stated. Pass all cells of the study, or a column of clusters."
        )
    if len(names) > _MANY_GROUPS and np.median(sizes) < _SMALL_GROUP:
        warn_user(
            f"Expected groups of cells in `adata.obs[{groupby!r}]`; found {len(names):,} of {np.median(sizes):.0f} "
            f"cell(s), such as {list_some(names, limit=3)}. Pass a column of clusters, or leave `groupby` out to "
            "describe each cell."
        )
    # As a file can hold them, and still distinct.
    stored = [storable_text(name) for name in names]
    return Subjects(
        np.array(stored if len(set(stored)) == len(stored) else names, dtype=object), codes, are_cells=False
    )
