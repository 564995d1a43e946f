"""The contract of a frozen encoder: from the expression of a cell to a vector, nothing trained."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence, Sized
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    from scmpt_scverse._types import BoolArray, FloatArray, IntArray, Precision, StrArray
    from scmpt_scverse.pp import GeneExpression


#: Fewest genes that an encoder must know of any data set, and of a large one. Of fewer, a sentence or the ranks in a
#: cell say hardly anything, and data with other identifiers have a few names in common with any vocabulary.
_FEWEST_NEEDED = 10
_MOST_NEEDED = 50


@runtime_checkable
class CacheableCells(Protocol):
    """Prepared cells whose embeddings can be cached; :meth:`Encoder.prepare` may return them."""

    def __len__(self) -> int: ...

    def contents(self) -> Iterable[bytes]:
        """Everything that the network reads of each cell, as bytes."""
        ...

    def take(self, rows: "IntArray") -> "CacheableCells":
        """Some of the cells, in the order of `rows`."""
        ...


@runtime_checkable
class TextEncoder(Protocol):
    """Reads texts of any kind, not only cell sentences."""

    name: str
    embedding_dim: int

    @property
    def fingerprint(self) -> str:
        """See :class:`Encoder`."""
        ...

    def encode_texts(self, texts: Sequence[str], *, precision: "Precision" = "auto") -> "FloatArray":
        """The embeddings of texts, float32 of shape `(n_texts, embedding_dim)`."""
        ...


class TokenEmbeddings(NamedTuple):
    """The output of a network for each token of some cells.

    Attributes
    ----------
    values
        L2-normalised rows, that of the whole cell first, float32 of shape `(n_obs, n_tokens, embedding_dim)`; 0 where a
        cell has fewer tokens.
    is_token
        Which rows are tokens, shape `(n_obs, n_tokens)`; none for a cell without any gene.
    """

    values: "FloatArray"
    is_token: "BoolArray"


@runtime_checkable
class TokenEncoder(Protocol):
    """Gives the token embeddings of a cell in addition to its embedding; an :class:`Encoder` may implement it."""

    name: str
    embedding_dim: int

    @property
    def fingerprint(self) -> str:
        """See :class:`Encoder`."""
        ...

    def prepare(self, expression: "GeneExpression") -> Sized:
        """See :class:`Encoder`."""
        ...

    def encode_tokens(
        self,
        inputs: Any,
        *,
        max_genes: int = 256,
        batch_size: "int | Literal['auto']" = "auto",
        device: str = "auto",
        precision: "Precision" = "auto",
    ) -> TokenEmbeddings:
        """The token embeddings of prepared cells: the cell itself, then its genes.

        Parameters
        ----------
        inputs
            What :meth:`prepare` returned.
        max_genes
            Maximum number of genes per cell, those of highest expression. The network also reads the others.
        batch_size, device, precision
            As for :meth:`Encoder.encode`.

        Returns
        -------
        The token embeddings. The first token of each cell is what :meth:`Encoder.encode` gives for it.
        """
        ...


class Encoder(ABC):
    """A frozen network that turns the expression of cells into vectors of fixed width.

    Encoders see arrays, never AnnData, and keep no state between calls, so the same cell gives the same vector whatever
    the other cells are: within 1e-5 in float32, and with a cosine above 0.9995 in bfloat16, because sums run in
    a different order when a batch is padded to a different length. :func:`scmpt_scverse.tl.embed` applies an encoder to
    AnnData.

    Attributes
    ----------
    name
        Short name; embeddings are written to `.obsm["X_<name>"]`.
    modality
        What it reads: `"text"` (cell sentences) or `"expression"` (genes and values).
    embedding_dim
        Width of an embedding.
    min_genes
        Fewest genes of a data set that it must know; `None` takes half of the genes in the data, but at least 10 and at
        most 50, so that a panel of 60 genes is accepted, and data with other identifiers are refused.
    min_expression
        Smallest share of a cell's expression (median over cells, in [0, 1]) that must be in genes that it knows.
    needs_counts
        Whether it reads only raw counts; other values are then refused. No encoder of this package does.
    """

    name: str
    modality: Literal["text", "expression"]
    embedding_dim: int
    min_genes: int | None = None
    min_expression: float = 0.2
    needs_counts: bool = False

    @abstractmethod
    def known_genes(self, genes: "StrArray") -> "BoolArray":
        """Which gene symbols the encoder can read, shape `(n_genes,)`."""

    @abstractmethod
    def prepare(self, expression: "GeneExpression") -> Sized:
        """The network's inputs for some cells, one item per cell; an item without any gene has length 0.

        Depends on these cells alone. Where a GPU encodes, threads prepare several chunks at a time.
        """

    @abstractmethod
    def encode(
        self,
        inputs: Any,
        *,
        batch_size: "int | Literal['auto']" = "auto",
        device: str = "auto",
        precision: "Precision" = "auto",
    ) -> "FloatArray":
        """Embed prepared inputs.

        Parameters
        ----------
        inputs
            What :meth:`prepare` returned.
        batch_size
            Cells per forward pass.
        device
            A torch device, or `"auto"`.
        precision
            `"float32"`, `"bfloat16"`, `"float16"`, or `"auto"`: bfloat16 where the device multiplies it natively.

        Returns
        -------
        float32, shape `(n_obs, embedding_dim)`, rows in the order of `inputs`. Rows without any gene are NaN.
        """

    @abstractmethod
    def _compute_fingerprint(self) -> str:
        """Hexadecimal sha256 of weights, vocabulary and preprocessing options."""

    @cached_property
    def fingerprint(self) -> str:
        """The sha256 over weights, vocabulary and preprocessing; equal ones mean comparable embeddings."""
        return self._compute_fingerprint()

    def fewest_genes(self, n_genes: int) -> int:
        """How many genes it must know in data with `n_genes` genes."""
        if self.min_genes is not None:
            return self.min_genes
        return min(_MOST_NEEDED, max(_FEWEST_NEEDED, -(-n_genes // 2)))

    @property
    def vocabulary(self) -> frozenset[str]:
        """The gene symbols it knows; empty where any symbol can be read."""
        return frozenset()

    @property
    def options(self) -> dict[str, int | float | str]:
        """Preprocessing options as plain values; they are recorded with every embedding."""
        return {}

    def _empty_embedding(self, n_obs: int) -> "FloatArray":
        return np.full((n_obs, self.embedding_dim), np.nan, dtype=np.float32)
