"""A cell as the mean of the text embeddings of its genes, weighted by their expression."""

import hashlib
import json
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scmpt_scverse._checks import check_positive, check_share, list_some
from scmpt_scverse._hardware import resolve_device, resolve_precision
from scmpt_scverse.encoders._base import Encoder
from scmpt_scverse.encoders._cached_rows import CachedRows
from scmpt_scverse.encoders._embedding_cache import EmbeddingCache, Space
from scmpt_scverse.encoders._gated_inputs import GatedGeneWeights
from scmpt_scverse.encoders._gene_texts import SYMBOLS, GeneTexts
from scmpt_scverse.encoders._sentence_transformer import SentenceTransformerEncoder
from scmpt_scverse.pp import CellSentences, GeneWeights, gene_weights_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    import torch

    from scmpt_scverse._types import BoolArray, FloatArray, IntArray, Precision, StrArray, StrPath
    from scmpt_scverse.encoders._gene_gates import GeneGates
    from scmpt_scverse.pp import GeneExpression

#: Part of every fingerprint; raise it whenever the same options give different embeddings.
_PREPROCESSING_VERSION = 1
#: Genes between two writes to the cache.
_GENES_AT_ONCE = 2048
#: Above this power, the most expressed gene outweighs all others, and float32 soon overflows.
_LARGEST_POWER = 8
#: Options of the text encoder that are recorded.
_READ_OPTIONS = ("max_seq_length", "pooling")


class GeneTextEncoder(Encoder):
    """The mean of text embeddings of a cell's genes, weighted by their expression :cite:p:`chen2025genept`.

    A frozen text encoder reads each gene once: its symbol, or its text in a table. The embeddings of cells are
    then one sparse product of weights and gene vectors, which takes almost no time.

    Parameters
    ----------
    folder
        Model folder of the text encoder, as for :class:`SentenceTransformerEncoder`.
    name
        Name for slots; `None` takes that of the text encoder with `-genes` appended.
    gene_texts
        `"symbols"`; or the path of a TSV or CSV file with a header, possibly compressed, whose first column holds gene
        symbols and whose last column holds texts, such as full names or summaries; or such a DataFrame, a Series of
        texts indexed by symbol, or a dictionary. Genes without a text are read as their symbol. A model is saved with
        its options, so :class:`scmpt_scverse.SCMPT` takes only a path.
    power
        Exponent of log-normalised expression in the weights: 1 gives the weights of GenePT, larger values give highly
        expressed genes more weight.
    pooling, weights_sha256
        Of the text encoder; see :class:`SentenceTransformerEncoder`.
    min_genes, min_expression
        See :class:`Encoder`.
    cache
        Keep the vectors of genes on disk, so that no text is read twice, in any data set. Embeddings of cells are not
        kept: computing one is as fast as finding it.

    Raises
    ------
    FileNotFoundError
        The folder, its description or the table is missing.
    ValueError
        An option is out of range, or the table has no text, or identifiers of another kind instead of symbols. When
        cells are prepared: the table has none of their genes.

    Notes
    -----
    The embedding of cell `c` is the sum over genes `g` of `w[c, g] * v[g]`. The weights `w` are expression after
    division by the cell's sum, multiplication by 10,000 and `log(1 + x)` (log-normalised data are used as they are;
    this is decided for each cell by its own values), raised to `power` and divided by their sum. The vector `v[g]`
    embeds `SYMBOL: text`, or `SYMBOL`.

    The embedding is linear in the weights: :meth:`prepare` gives `w`, :meth:`gene_vectors` gives `v`, and gene `g`
    contributes `w[c, g] * v[g]` to cell `c`.

    Examples
    --------
    >>> from scmpt_scverse import datasets, encoders, tl
    >>> adata = datasets.pbmc68k_reduced()
    >>> tl.embed(adata, "minilm-genes", progress=False)
    >>> adata.obsm["X_minilm-genes"].shape
    (700, 384)
    """

    modality: Literal["text"] = "text"

    def __init__(
        self,
        folder: "StrPath",
        *,
        name: str | None = None,
        gene_texts: "StrPath | pd.DataFrame | pd.Series | Mapping[str, str]" = SYMBOLS,
        power: float = 3.0,
        pooling: Literal["cls", "mean", "max"] | None = None,
        weights_sha256: str | None = None,
        min_genes: int | None = None,
        min_expression: float = 0.2,
        cache: bool = True,
    ) -> None:
        if min_genes is not None:
            check_positive(min_genes, "min_genes")
        check_share(min_expression, "min_expression")
        if not 0 < power <= _LARGEST_POWER:
            raise ValueError(f"`power` must be a number above 0 and at most {_LARGEST_POWER}; found {power!r}.")
        # The text encoder reads the text of a gene as a sentence of one word.
        self.text_encoder = SentenceTransformerEncoder(
            folder, name=name, max_genes=1, pooling=pooling, weights_sha256=weights_sha256
        )
        if name is None:
            self.text_encoder.name += "-genes"
        self.folder = self.text_encoder.folder
        self.name = self.text_encoder.name
        self.embedding_dim = self.text_encoder.embedding_dim
        self.power = float(power)
        self.texts = GeneTexts.read(gene_texts)
        self.min_genes = min_genes
        self.min_expression = min_expression
        self._caches = cache
        self._vectors: _GeneVectors | None = None

    @property
    def options(self) -> dict[str, int | float | str]:
        """Source and hash of the texts, `power`, tokens per text, and pooling of the text encoder."""
        read = self.text_encoder.options
        return {
            "gene_texts": self.texts.source,
            "gene_texts_sha256": self.texts.sha256,
            "n_gene_texts": len(self.texts.texts),
            "power": self.power,
            **{key: read[key] for key in _READ_OPTIONS},
        }

    def known_genes(self, genes: "StrArray") -> "BoolArray":
        """All genes: where the table has no text, the symbol is read."""
        return self.text_encoder.known_genes(genes)

    def prepare(self, expression: "GeneExpression") -> GeneWeights:
        """The weights of genes in each cell; `ValueError` where the table has none of the genes."""
        texts = self.texts.texts
        if texts and not any(gene in texts for gene in expression.genes):
            raise ValueError(
                f"The gene texts from {self.texts.source} have no text for any of the {len(expression.genes)} genes of "
                f"the data: found {list_some(texts, limit=3)} there, and {list_some(expression.genes, limit=3)} here. "
                "Pass a table of the same species and letter case, or `gene_texts='symbols'`."
            )
        return gene_weights_of(expression, self.power)

    def encode(
        self,
        inputs: GeneWeights,
        *,
        batch_size: "int | Literal['auto']" = "auto",
        device: str = "auto",
        precision: "Precision" = "auto",
    ) -> "FloatArray":
        """See :meth:`Encoder.encode`; `batch_size` counts genes; weights and vectors are multiplied in float32."""
        embeddings = self._empty_embedding(len(inputs))
        readable = np.diff(inputs.matrix.indptr) > 0
        expressed = np.unique(inputs.matrix.indices)
        vectors = self._vectors_at(expressed, inputs.genes, batch_size=batch_size, device=device, precision=precision)
        embeddings[readable] = inputs.matrix[readable] @ vectors
        return embeddings

    def gene_vectors(
        self,
        genes: "StrArray",
        *,
        batch_size: "int | Literal['auto']" = "auto",
        device: str = "auto",
        precision: "Precision" = "auto",
    ) -> "FloatArray":
        """The text embeddings of genes, float32 of shape `(n_genes, embedding_dim)`; shared, not to be modified.

        Parameters
        ----------
        genes
            Symbols, shape `(n_genes,)`, such as those of what :meth:`prepare` returns.
        batch_size, device, precision
            As for :meth:`encode`.
        """
        return self._vectors_at(np.arange(len(genes)), genes, batch_size=batch_size, device=device, precision=precision)

    def gene_gates(self, expression: "GeneExpression", device: "torch.device") -> "GeneGates":
        """See :class:`GeneDifferentiable`."""
        weights = self.prepare(expression).matrix
        expressed = np.unique(weights.indices)
        vectors = self._vectors_at(
            expressed, expression.genes, batch_size="auto", device=str(device), precision="float32"
        )
        return GatedGeneWeights(weights, vectors, device)

    def _vectors_at(
        self,
        columns: "IntArray",
        genes: "StrArray",
        *,
        batch_size: "int | Literal['auto']",
        device: str,
        precision: "Precision",
    ) -> "FloatArray":
        """Vectors of shape `(n_genes, embedding_dim)` of which the rows `columns` are computed."""
        if batch_size != "auto":
            check_positive(batch_size, "batch_size")
        target = resolve_device(device)
        kind = (target, resolve_precision(precision, target))
        known = self._vectors
        if known is None or known.kind != kind or not np.array_equal(known.genes, genes):
            known = self._vectors = _GeneVectors(kind, genes, self.embedding_dim)
        missing = columns[~known.is_there[columns]]
        # `Any`, because what the cache gives back is declared as inputs of any encoder.
        encode: Any = partial(self.text_encoder.encode, batch_size=batch_size, device=device, precision=precision)
        space = Space(self.name, self.text_encoder.fingerprint, str(kind[1]).removeprefix("torch."), self.embedding_dim)
        with closing(EmbeddingCache()) as store:
            for start in range(0, len(missing), _GENES_AT_ONCE):
                some = missing[start : start + _GENES_AT_ONCE]
                texts = np.array(self.texts.of(genes[some]), dtype=object)
                sentences = CellSentences(np.arange(len(texts) + 1), np.arange(len(texts)), texts)
                if self._caches:
                    cached = CachedRows(store, space, sentences)
                    known.rows[some] = cached.complete(encode(cached.missing) if cached.missing else None)
                else:
                    known.rows[some] = encode(sentences)
                known.is_there[some] = True
        return known.rows

    def _compute_fingerprint(self) -> str:
        record = {
            "text_encoder": self.text_encoder.fingerprint,
            "gene_texts": self.texts.sha256,
            "power": self.power,
            "preprocessing": _PREPROCESSING_VERSION,
        }
        return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_vectors": None}  # a worker computes or finds the vectors of its genes itself


class _GeneVectors:
    """Vectors of the genes of one data set, computed when a cell expresses them."""

    def __init__(self, kind: "tuple[torch.device, torch.dtype]", genes: "StrArray", dim: int) -> None:
        self.kind = kind
        self.genes = genes
        self.rows = np.zeros((len(genes), dim), dtype=np.float32)
        self.is_there = np.zeros(len(genes), dtype=bool)
