"""Cells for a text: those of a query that it fits, and pseudo-cells that are drawn from it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from scmpt_scverse import __version__
from scmpt_scverse._slots import Slot, check_writable, write_slots
from scmpt_scverse.generation import TextGenerator, TextReader, generated_cells
from scmpt_scverse.model._training import seed_or_default
from scmpt_scverse.model.text_labels._embeddings import TextEmbeddings
from scmpt_scverse.zero_shot import Query, TextModel

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import FloatArray, StrArray
    from scmpt_scverse.pp import Organism


class FindsCellsMixin:
    """Search and generation by texts."""

    generator: TextGenerator | None
    genes: "StrArray"
    _encode: TextEmbeddings
    _cells: "Callable[[AnnData | None], AnnData]"
    _query: "Callable[[AnnData | None, str | None, str | None, Organism | None], Query]"
    _read_slots: "Callable[[], tuple[Slot, ...]]"
    _trained: Callable[[], TextModel]

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
            nothing but genes, the genes alone decide.
        key_added
            Column of `.obs`.
        layer, gene_symbols, organism
            As for :meth:`predict`.

        Returns
        -------
        Nothing; writes `adata.obs[key_added]`, in [0, 1]: the share of the cell types that the model knows whose text
        fits the cell less well. Near 1 for cells that the text describes; if no cell is near 1, there is none.

        Raises
        ------
        RuntimeError, ValueError
            As :meth:`annotate`; also for an empty text.

        Warns
        -----
        UserWarning
            The text names genes that the model does not know, or that are not in the data.
        """
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"Expected a text to search for; found {text!r}.")
        cells, slot = self._cells(adata), Slot("obs", key_added)
        check_writable(cells, key_added, [slot], reads=self._read_slots())
        trained = self._trained()
        write_slots(cells, [slot], {slot: trained.search(self._query(adata, layer, gene_symbols, organism), text)})

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
