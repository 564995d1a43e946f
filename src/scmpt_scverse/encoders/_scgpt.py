"""scGPT as a frozen expression encoder."""

from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scmpt_scverse._checks import check_choice, check_positive, check_share
from scmpt_scverse._hardware import resolve_device, resolve_precision
from scmpt_scverse.encoders._base import Encoder, TokenEmbeddings
from scmpt_scverse.encoders._get import slug
from scmpt_scverse.encoders._packed_layers import Segments, length_batches, packs_tokens
from scmpt_scverse.encoders._scgpt_checkpoint import CLS_TOKEN, open_folder
from scmpt_scverse.pp import SELECTIONS, GeneTokens, Selection, tokenize_genes, vocabulary_ids

if TYPE_CHECKING:
    import torch

    from scmpt_scverse._types import BoolArray, FloatArray, Precision, StrArray, StrPath
    from scmpt_scverse.encoders._gated_inputs import GatedTokens
    from scmpt_scverse.encoders._scgpt_network import PackedScGPT, ScGPTNetwork
    from scmpt_scverse.pp import GeneExpression

#: Part of every fingerprint; raise it when the same options give different tokens.
_PREPROCESSING_VERSION = 1


class ScGPTEncoder(Encoder):
    """Frozen scGPT :cite:p:`cui2024scgpt`, loaded from an official checkpoint folder.

    A cell is read as its expressed genes, each with its expression bin within the cell; the embedding is the output at
    the `<cls>` token, scaled to length 1. Counts and log-normalised values give the same embedding up to rounding.

    Parameters
    ----------
    folder
        Holds `args.json`, `vocab.json`, and `best_model.pt` or `model.safetensors`. Weights are read on first use.
    name
        Name for slots; `None` takes the folder's name in lower case (`scGPT_human` gives `scgpt-human`).
    max_length
        Maximum number of tokens per cell, including `<cls>`; scGPT was trained with 1200.
    selection
        Which genes a cell with more genes keeps: those of `"highest"` expression, or a pseudo-random `"sample"`, as in
        training.
    seed
        Seed of the pseudo-random numbers that spread tied values over bins and select genes.
    min_genes, min_expression
        See :class:`Encoder`.

    Attributes
    ----------
    checkpoint
        Settings, vocabulary and weights of the folder.

    Raises
    ------
    FileNotFoundError
        The folder or one of its files is missing.
    ValueError
        An option is out of range, a file is damaged, or the checkpoint has another architecture. Weights are checked
        when they are read: a missing or misshapen one is an error.

    Notes
    -----
    Same graph and binning as `embed_data` in the official package (bowang-lab/scGPT, version 0.2.4, file
    `scgpt/tasks/cell_emb.py`). Unlike there, the genes kept and the bins of tied values do not depend on a random
    state: they are functions of the cell and of `seed`.

    Examples
    --------
    >>> from scmpt_scverse.encoders import get
    >>> encoder = get("path/to/scGPT_human")  # doctest: +SKIP
    """

    modality: Literal["expression"] = "expression"

    def __init__(
        self,
        folder: "StrPath",
        *,
        name: str | None = None,
        max_length: int = 1200,
        selection: Selection = "highest",
        seed: int = 0,
        min_genes: int | None = None,
        min_expression: float = 0.2,
    ) -> None:
        check_choice(selection, SELECTIONS, "selection")
        if min_genes is not None:
            check_positive(min_genes, "min_genes")
        if type(max_length) is not int or max_length < 2:
            raise ValueError(
                f"`max_length` must be a whole number of at least 2, for `<cls>` and a gene; found {max_length!r}."
            )
        if type(seed) is not int or not 0 <= seed < 2**63:
            raise ValueError(f"`seed` must be a whole number from 0 to 2**63 - 1; found {seed!r}.")
        check_share(min_expression, "min_expression")
        self.folder = Path(folder)
        self.checkpoint = open_folder(folder)
        self._genes = self.checkpoint.genes
        self._max_length = max_length
        self._selection: Selection = selection
        self._seed = seed
        self.name = name or slug(self.folder.resolve().name)
        self.embedding_dim = self.checkpoint.settings.embsize
        self.min_genes = min_genes
        self.min_expression = min_expression
        self._random_seed: int | None = None
        self._loaded: tuple[torch.device, torch.dtype, bool, ScGPTNetwork | PackedScGPT] | None = None

    @property
    def vocabulary(self) -> frozenset[str]:
        """The gene symbols of the checkpoint's vocabulary."""
        return frozenset(self._genes)

    @property
    def options(self) -> dict[str, int | float | str]:
        """Maximum number of tokens per cell, which genes cells with more genes keep, and the seed."""
        return {"max_length": self._max_length, "selection": self._selection, "seed": self._seed}

    def with_random_weights(self, seed: int) -> "ScGPTEncoder":
        """The same vocabulary and network with random weights, as a baseline for pre-training."""
        other = copy(self)
        other.__dict__.pop("fingerprint", None)
        other.name = f"{self.name}-random-{seed}"
        other._random_seed, other._loaded = seed, None
        return other

    def known_genes(self, genes: "StrArray") -> "BoolArray":
        """Which gene symbols are in the vocabulary, shape `(n_genes,)`."""
        return vocabulary_ids(genes, self._genes) >= 0

    def prepare(self, expression: "GeneExpression") -> GeneTokens:
        """The gene tokens of some cells."""
        return tokenize_genes(
            expression.matrix,
            vocabulary_ids(expression.genes, self._genes),
            n_bins=self.checkpoint.settings.n_bins,
            max_genes=self._max_length - 1,
            selection=self._selection,
            seed=self._seed,
        )

    def encode(
        self,
        inputs: GeneTokens,
        *,
        batch_size: "int | Literal['auto']" = "auto",
        device: str = "auto",
        precision: "Precision" = "auto",
    ) -> "FloatArray":
        """Embed gene tokens; `batch_size="auto"` packs cells of similar length up to a number of tokens."""
        import torch

        if batch_size != "auto":
            check_positive(batch_size, "batch_size")
        target = resolve_device(device)
        dtype = resolve_precision(precision, target)
        embeddings = self._empty_embedding(len(inputs))
        packs = packs_tokens(target, dtype)
        batches = length_batches(inputs.lengths, batch_size, target, packs=packs)
        if not batches:
            return embeddings
        network, batch = self._network(target, dtype, packs), self._packed if packs else self._padded
        with torch.inference_mode():
            rows = [network(*batch(inputs.take(cells), target)) for cells in batches]
            embeddings[np.concatenate(batches)] = torch.cat(rows).cpu().numpy()
        return embeddings

    def encode_tokens(
        self,
        inputs: GeneTokens,
        *,
        max_genes: int = 256,
        batch_size: "int | Literal['auto']" = "auto",
        device: str = "auto",
        precision: "Precision" = "auto",
    ) -> TokenEmbeddings:
        """The `<cls>` token and the genes of highest expression; see :class:`TokenEncoder`."""
        import torch

        check_positive(max_genes, "max_genes")
        if batch_size != "auto":
            check_positive(batch_size, "batch_size")
        target = resolve_device(device)
        dtype = resolve_precision(precision, target)
        packs = packs_tokens(target, dtype)
        n_rows = np.where(inputs.lengths > 0, np.minimum(inputs.lengths, max_genes) + 1, 0)
        is_token = np.arange(n_rows.max(initial=0)) < n_rows[:, None]
        values = np.zeros((*is_token.shape, self.embedding_dim), dtype=np.float32)
        batches = length_batches(inputs.lengths, batch_size, target, packs=packs)
        if not batches:
            return TokenEmbeddings(values, is_token)
        network = self._network(target, dtype, packs)
        with torch.inference_mode():
            for cells in batches:
                cell, rank = np.nonzero(is_token[cells])
                values[cells[cell], rank] = self._token_rows(
                    network, inputs.take(cells), max_genes, target, packs=packs
                )
        return TokenEmbeddings(values, is_token)

    def _token_rows(
        self, network: Any, tokens: GeneTokens, max_genes: int, device: "torch.device", *, packs: bool
    ) -> "FloatArray":
        """`<cls>` and the genes of highest expression, one cell after another, shape `(n_rows, dim)`."""
        import torch

        genes = tokens.highest(max_genes)
        cell = np.repeat(np.arange(len(tokens)), tokens.lengths)[genes]
        n_genes = np.bincount(cell, minlength=len(tokens))
        # Positions within a cell; `<cls>` has the first.
        wanted = np.insert(genes - tokens.indptr[cell] + 1, np.cumsum(n_genes) - n_genes, 0)
        is_row = np.arange(n_genes.max() + 1) <= n_genes[:, None]
        cell, rank = np.nonzero(is_row)
        if packs:
            gene_ids, bins, cells = self._packed(tokens, device)
            index = torch.from_numpy(tokens.indptr[cell] + cell + wanted).to(device)
            rows = network.rows(gene_ids, bins, cells, index, Segments((n_genes + 1).tolist(), device))
        else:
            index = torch.zeros(is_row.shape, dtype=torch.long)
            index[cell, rank] = torch.from_numpy(wanted)
            rows = network.rows(*self._padded(tokens, device), index.to(device))[torch.from_numpy(is_row).to(device)]
        values: FloatArray = rows.cpu().numpy()
        return values

    def gene_gates(self, expression: "GeneExpression", device: "torch.device") -> "GatedTokens":
        """The cells of `expression` as a differentiable function of their genes; see :class:`GeneDifferentiable`."""
        import torch

        from scmpt_scverse.encoders._gated_inputs import GatedTokens

        tokens = self.prepare(expression)
        gene_ids, bins, is_token = self._padded(tokens, device)
        column = np.full(max(self._genes.values(), default=0) + 2, -1)  # by vocabulary id; the last one is for none
        column[vocabulary_ids(expression.genes, self._genes)] = np.arange(len(expression.genes))
        column[-1] = -1
        genes = np.where(bins.cpu().numpy() > 0, column[gene_ids.cpu().numpy()], -1)
        network = self._network(device, torch.float32)
        return GatedTokens(network, genes, gene_ids, bins, torch.ones_like(bins) > 0 if is_token is None else is_token)

    def _packed(self, tokens: GeneTokens, device: "torch.device") -> "tuple[torch.Tensor, torch.Tensor, Segments]":
        """Gene ids and bins of all cells, `<cls>` first in each, `(n_tokens,)`; and the cells that they belong to."""
        import torch

        starts = tokens.indptr[:-1]
        gene_ids = np.insert(tokens.gene_ids, starts, self.checkpoint.vocabulary[CLS_TOKEN])
        bins = np.insert(tokens.bins.astype(np.int64), starts, 0)
        cells = Segments((tokens.lengths + 1).tolist(), device)
        return torch.from_numpy(gene_ids).to(device), torch.from_numpy(bins).to(device), cells

    def _padded(
        self, tokens: GeneTokens, device: "torch.device"
    ) -> "tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]":
        """Gene ids and bins, and which tokens are not padding; each `(n_cells, n_tokens)`."""
        import torch
        from torch.nn.utils.rnn import pad_sequence

        gene_ids, bins, cells = self._packed(tokens, device)
        pad = self.checkpoint.vocabulary[self.checkpoint.settings.pad_token]
        is_token = torch.arange(cells.longest) < torch.tensor(cells.lengths)[:, None]
        return (
            pad_sequence(gene_ids.split(cells.lengths), batch_first=True, padding_value=pad),
            pad_sequence(bins.split(cells.lengths), batch_first=True),
            None if is_token.all() else is_token.to(device),
        )

    def _network(self, device: "torch.device", dtype: "torch.dtype", packs: bool = False) -> Any:
        """The network with its weights: a :class:`ScGPTNetwork`, or a :class:`PackedScGPT`."""
        from scmpt_scverse.encoders._scgpt_network import PackedScGPT

        if self._loaded is None or self._loaded[:3] != (device, dtype, packs):
            self._loaded = None  # frees the other copy first
            network = (
                self.checkpoint.load_network()
                if self._random_seed is None
                else self.checkpoint.random_network(self._random_seed)
            )
            network.freeze(device, dtype)
            self._loaded = (device, dtype, packs, PackedScGPT(network) if packs else network)
        return self._loaded[3]

    def _compute_fingerprint(self) -> str:
        record = {"preprocessing_version": _PREPROCESSING_VERSION, **self.options}
        if self._random_seed is not None:
            record["random_weights"] = self._random_seed
        return self.checkpoint.fingerprint(record)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_loaded": None}  # a worker reads the weights itself, onto its own device
