"""Batches of cells whose genes are partly hidden."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from scmpt_scverse.encoders._scgpt_checkpoint import CLS_TOKEN
from scmpt_scverse.pp import tokenize_genes

if TYPE_CHECKING:
    from torch import Tensor

    from scmpt_scverse._types import BoolArray, IntArray
    from scmpt_scverse.encoders._scgpt_checkpoint import ScGPTSettings
    from scmpt_scverse.encoders.pretraining._corpus import Corpus
    from scmpt_scverse.pp import GeneTokens

#: Keeps the random numbers of held-out cells separate from those of training.
_HELDOUT_STREAM = 1
#: Genes of a study whose expression is predicted in a batch.
_N_ASKED = 256


class Batch(NamedTuple):
    """Cells of one study.

    Attributes
    ----------
    study
        Index of the study.
    gene_ids, bins, is_token
        What the network sees, `<cls>` first; `is_token` is False for padding. Shape `(n_cells, n_visible)`.
    hidden_ids, hidden_bins, is_hidden
        Further expressed genes of each cell. Shape `(n_cells, n_hidden)`.
    asked_ids
        Genes of the study, expressed or not, the same for all cells. Shape `(n_asked,)`.
    asked_expression
        Their log-normalised expression, standardised within the study. Shape `(n_cells, n_asked)`.
    summary
        Scores of the study's components. Shape `(n_cells, n_components)`.
    """

    study: int
    gene_ids: "Tensor"
    bins: "Tensor"
    is_token: "Tensor"
    hidden_ids: "Tensor"
    hidden_bins: "Tensor"
    is_hidden: "Tensor"
    asked_ids: "Tensor"
    asked_expression: "Tensor"
    summary: "Tensor"


class BatchMaker:
    """Makes batches from a corpus. A batch depends only on its number and the seed, so a run can resume anywhere.

    Parameters
    ----------
    corpus
        The cells.
    settings
        Bins and padding of the network.
    batch_size
        Cells per batch.
    n_visible
        Maximum number of genes per cell that the network sees; as many others are hidden.
    seed
        Seed of the order of cells and the choice of genes.
    """

    def __init__(
        self, corpus: "Corpus", settings: "ScGPTSettings", *, batch_size: int, n_visible: int, seed: int
    ) -> None:
        self._corpus = corpus
        self._settings = settings
        self._batch_size = batch_size
        self._n_visible = n_visible
        self._seed = seed
        self._epoch = (0, self._plan(0))
        self._heldout = corpus.heldout(batch_size=batch_size)
        self.steps_per_epoch = len(self._epoch[1])
        self.n_heldout = len(self._heldout)

    def training(self, number: int) -> Batch:
        """The training batch `number`, counted through all epochs."""
        epoch, step = divmod(number, self.steps_per_epoch)
        if epoch != self._epoch[0]:
            self._epoch = (epoch, self._plan(epoch))
        study, rows = self._epoch[1][step]
        return self._make(study, rows, [self._seed, number])

    def heldout(self, number: int) -> Batch:
        """The held-out batch `number`; the same genes are hidden each time."""
        study, rows = self._heldout[number]
        return self._make(study, rows, [self._seed, number, _HELDOUT_STREAM])

    def _plan(self, epoch: int) -> "list[tuple[int, IntArray]]":
        return self._corpus.epoch(epoch, batch_size=self._batch_size, seed=self._seed)

    def _make(self, index: int, rows: "IntArray", seed: list[int]) -> Batch:
        study = self._corpus.studies[index]
        rng = np.random.default_rng(seed)
        matrix = study.reader.take(rows).matrix
        tokens = tokenize_genes(
            matrix,
            study.gene_ids,
            n_bins=self._settings.n_bins,
            max_genes=matrix.shape[1],
            seed=int(rng.integers(2**62)),  # ties are spread anew each time, as in official training
        )
        asked = study.draw_genes(_N_ASKED, rng)
        visible, hidden = _draw(tokens, self._n_visible, rng)
        vocabulary = self._corpus.vocabulary
        gene_ids, bins, is_token = _padded(tokens, visible, vocabulary[self._settings.pad_token])
        hidden_ids, hidden_bins, is_hidden = _padded(tokens, hidden, vocabulary[self._settings.pad_token])
        return Batch(
            index,
            torch.from_numpy(np.pad(gene_ids, ((0, 0), (1, 0)), constant_values=vocabulary[CLS_TOKEN])),
            torch.from_numpy(np.pad(bins, ((0, 0), (1, 0)))),
            torch.from_numpy(np.pad(is_token, ((0, 0), (1, 0)), constant_values=True)),
            torch.from_numpy(hidden_ids),
            torch.from_numpy(hidden_bins),
            torch.from_numpy(is_hidden),
            torch.from_numpy(study.gene_ids[asked]),
            torch.from_numpy(study.summary.genes.standardised(matrix, asked)),
            torch.from_numpy(study.summary(matrix)),
        )


def _draw(tokens: "GeneTokens", n_visible: int, rng: np.random.Generator) -> "tuple[BoolArray, BoolArray]":
    """Two disjoint random sets of each cell's tokens, of equal size, as masks over all tokens."""
    lengths = tokens.lengths
    cell = np.repeat(np.arange(len(tokens)), lengths)
    lottery = rng.integers(2**32, size=cell.size, dtype=np.uint64)
    order = np.argsort((cell.astype(np.uint64) << np.uint64(32)) | lottery)
    rank = np.empty(cell.size, dtype=np.int64)
    rank[order] = np.arange(cell.size) - tokens.indptr[:-1][cell]
    size = np.minimum(lengths // 2, n_visible)[cell]
    return rank < size, (rank >= size) & (rank < 2 * size)


def _padded(tokens: "GeneTokens", chosen: "BoolArray", pad_id: int) -> "tuple[IntArray, IntArray, BoolArray]":
    """Ids and bins of the chosen tokens, one row per cell, and which of them are not padding."""
    cell = np.repeat(np.arange(len(tokens)), tokens.lengths)
    lengths = np.bincount(cell[chosen], minlength=len(tokens))
    is_token = np.arange(lengths.max()) < lengths[:, None]
    gene_ids = np.full(is_token.shape, pad_id)
    gene_ids[is_token] = tokens.gene_ids[chosen]
    bins = np.zeros(is_token.shape, dtype=np.int64)
    bins[is_token] = tokens.bins[chosen]
    return gene_ids, bins, is_token
