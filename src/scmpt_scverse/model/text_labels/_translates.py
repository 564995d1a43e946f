"""Cells put into words, and words into cells: descriptions, search, and pseudo-cells."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from scmpt_scverse import __version__
from scmpt_scverse._checks import check_choice
from scmpt_scverse._slots import (
    DEFAULT_TEXT_KEY_ADDED,
    UNS_KEYS,
    DescriptionKeys,
    Slot,
    check_column_is_ours,
    check_records,
    check_writable,
    write_slots,
)
from scmpt_scverse.description import (
    WRITERS,
    Programmes,
    TaughtWriter,
    Writer,
    described,
    description_table,
    written,
)
from scmpt_scverse.generation import TextGenerator, TextReader, generated_cells
from scmpt_scverse.knowledge import GeneFinder, cell_ontology, merged_programmes
from scmpt_scverse.llm import GivenLanguageModel, LLMClient
from scmpt_scverse.modalities import ExpressionSource
from scmpt_scverse.model._model_record import facts_of_text_model, write_model_record
from scmpt_scverse.model._training import seed_or_default
from scmpt_scverse.model.text_labels._description_request import check_no_other_table, subjects_of, writer_for
from scmpt_scverse.model.text_labels._embeddings import TextEmbeddings
from scmpt_scverse.zero_shot import REFINEMENTS, AnswerLimits, Labels, Query, Refine, TextModel, without_id

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import FloatArray, StrArray, StrPath
    from scmpt_scverse.pp import Organism


class TranslatesMixin:
    """Descriptions of cells, search of cells by a text, and pseudo-cells drawn from one."""

    generator: TextGenerator | None
    writer: TaughtWriter | None
    genes: "StrArray"
    background: float
    _loaded_from: str
    _trained_on: str
    _encode: TextEmbeddings
    _cells: "Callable[[AnnData | None], AnnData]"
    _query: "Callable[[AnnData | None, str | None, str | None, Organism | None], Query]"
    _source: "Callable[[AnnData, str | None, str | None, Organism | None], ExpressionSource]"
    _read_slots: "Callable[[], tuple[Slot, ...]]"
    _trained: Callable[[], TextModel]

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
        `adata.uns["scmpt"]["descriptions"]`, under the name of what was written, records which model it was, and its
        options.

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
        reads = self._read_slots() if groupby is None else (*self._read_slots(), Slot("obs", groupby))
        slots = keys.of_cells if groupby is None else keys.of_groups
        check_writable(cells, key_added, slots, reads=reads)
        check_records(cells)
        check_no_other_table(cells, slots)
        check_choice(refine, REFINEMENTS, "refine")
        AnswerLimits(back_off=back_off)
        chosen = writer_for(writer, self.writer, seed)
        chosen.check()
        subjects = subjects_of(cells, groupby)
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
        write_model_record(
            cells,
            UNS_KEYS.descriptions,
            slots[0].key,
            slots,
            self._source(cells, layer, gene_symbols, organism),
            **facts_of_text_model(self),
            groupby=groupby,
            n_labels=len(candidates.names),
            tissue=tissue,
            writer=name,
            programmes=sorted(own) or None,
            refine=refine,
            back_off=float(back_off),
            seed=seed,
        )
        return result

    def search(
        self,
        adata: "AnnData | None",
        text: str,
        *,
        key_added: str = "scmmgpt_search",
        layer: str | None = None,
        gene_symbols: str | None = None,
        organism: "Organism | None" = None,
    ) -> None:
        """Score cells by how well a text fits them, compared with the texts of all other cell types.

        Parameters
        ----------
        adata
            Cells, as for :meth:`predict`.
        text
            What to look for: `"cells that secrete insulin"`, or genes, `"expresses CD3E and CD8A"`. If a text contains
            nothing but genes, the genes alone decide. An id of the Cell Ontology stands for the name of its term.
        key_added
            Column of `.obs`.
        layer, gene_symbols, organism
            As for :meth:`predict`.

        Returns
        -------
        Nothing; writes `adata.obs[key_added]`, in [0, 1]: the share of the cell types that the model knows whose text
        fits the cell less well. Near 1 for cells that the text describes; if no cell is near 1, there is none.
        `adata.uns["scmpt"]["searches"][key_added]` records the text and the model.

        Raises
        ------
        RuntimeError, ValueError
            As :meth:`annotate`; also for an empty text, an id that the Cell Ontology does not have, or where the column
            holds something else than a score.

        Warns
        -----
        UserWarning
            The text names genes that the model does not know, or that are not in the data.
        """
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"Expected a text to search for; found {text!r}.")
        cells, slot = self._cells(adata), Slot("obs", key_added)
        check_writable(cells, key_added, [slot], reads=self._read_slots())
        before = cells.obs.get(key_added, pd.Series(dtype=float))
        is_score = pd.api.types.is_float_dtype(before) and bool(before.dropna().between(0, 1).all())
        check_column_is_ours(cells, slot, is_ours=is_score, what="score of a search")
        check_records(cells)
        trained, meant = self._trained(), without_id(text)
        write_slots(cells, [slot], {slot: trained.search(self._query(adata, layer, gene_symbols, organism), meant)})
        source = self._source(cells, layer, gene_symbols, organism)
        facts = facts_of_text_model(self)
        write_model_record(cells, UNS_KEYS.searches, key_added, [slot], source, **facts, text=text)

    def generate(
        self,
        texts: "str | Iterable[str] | Mapping[str, str | Sequence[str]]",
        n_cells: "int | Sequence[int]" = 100,
        *,
        genes: "Iterable[str] | None" = None,
        library_size: "float | Sequence[float] | None" = None,
        batch: str | None = None,
        seed: int | None = None,
    ) -> "AnnData":
        """Generate pseudo-cells of types named by texts: counts sampled from the model, never copies of training cells.

        Parameters
        ----------
        texts
            Names of cell types or descriptions; or a mapping of names to a description or to a list of markers.
        n_cells
            Cells per text, one number or one for each text.
        genes
            Symbols of the columns to return, in this order; `None` returns all genes that were learned.
        library_size
            Expected counts of a cell, one number or one for each cell; `None` draws what is usual for the type.
        batch
            Batch of training to imitate; `None` mixes those that the type was in, as often as it was in each.
        seed
            Of all draws; `None` takes `scvi.settings.seed`, or 0. Cell number `i` of a text is the same whatever other
            texts, genes and numbers of cells are asked for.

        Returns
        -------
        Counts in `.X` (int32, CSR). `.obs` has `label` and `text`; `nearest_type` and `text_distance`, the type of
        training that the text is nearest to, and one minus their cosine; `is_low_confidence`, whether it is none of
        these types; `batch`, where batches were registered; and `is_synthetic`. `.uns["scmpt"]["synthetic"]` says
        which model made them.

        Raises
        ------
        RuntimeError
            The model has no generator.
        ValueError
            A text is blank or there is none, `n_cells` or `library_size` is no possible number, or the generator knows
            none of `genes`, or not the `batch`.

        Warns
        -----
        UserWarning
            A text is far from all that was trained on: its cells are the mean of the nearest types, shifted towards the
            markers that the text tower writes.

        Notes
        -----
        :meth:`setup_anndata` and :meth:`SCMPT.setup_anndata <scmpt_scverse.SCMPT.setup_anndata>` refuse these cells, by
        `.obs["is_synthetic"]` and by their names, unless they are told `allow_synthetic=True`.
        """
        if self.generator is None:
            raise RuntimeError(
                "The model has no generator: it was not trained to write cells. Register labelled cells and call "
                '`train(stage="generate")`.'
            )
        return generated_cells(
            self.generator,
            self._text_reader(),
            texts,
            n_cells,
            genes=genes,
            library_size=library_size,
            batch=batch,
            seed=seed_or_default(seed),
            record={"model": type(self).__name__, "version": __version__, **self._encode.origin},
        )

    def _text_reader(self) -> TextReader:
        return TextReader(self._trained().alignment, self.genes, self._encode)

    def embed_text(self, texts: "Sequence[str]") -> "FloatArray":
        """Embeddings of texts by the text encoder, float32 of shape `(n_texts, dim)`."""
        given = list(texts)
        if isinstance(texts, str) or not given or not all(isinstance(text, str) for text in given):
            raise TypeError(f"Expected a list of texts; found {texts!r}. Pass `[text]` for a single one.")
        return self._encode(given)
