"""Losses that align cells and texts: contrast without false negatives, and matching of hard pairs."""

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from scmpt_scverse.module._qformer import LinearProjector, QFormer

if TYPE_CHECKING:
    from torch import Tensor

    from scmpt_scverse.module._token_steps import TokenStep

#: Added so that a wrong pair can be drawn even if the contrast is sure that all others are wrong.
_SMALLEST_PROBABILITY = 1e-6
#: Share of the cells of a step that are used for matching: each pair costs as much as a cell.
_MATCHED_SHARE = 0.25


def similarities(cells: "Tensor", texts: "Tensor") -> "Tensor":
    """Cosine similarity of each text with the nearest query of a cell, `(n_cells, n_texts)`."""
    return torch.einsum("cqd,td->cqt", cells, texts).amax(dim=1)


def contrast(similarity: "Tensor", positives: "Tensor", affinity: "Tensor") -> "Tensor":
    """Symmetric InfoNCE of cells and distinct descriptions; a description may have several cells.

    Parameters
    ----------
    similarity
        Divided by the temperature, shape `(n_cells, n_texts)`.
    positives
        Index of the description of each cell, shape `(n_cells,)`.
    affinity
        How similar in meaning two descriptions are, in [0, 1], shape `(n_texts, n_texts)`; 1 on the diagonal. A
        negative pair weighs 1 minus the affinity, so cells of the same description are never negatives of each other.
    """
    weighted = similarity + (1 - affinity)[positives].log()  # minus infinity if not a negative
    positive = similarity.gather(1, positives[:, None])  # (n_cells, 1)
    by_cell = torch.cat([positive, weighted], dim=1).logsumexp(dim=1) - positive.squeeze(1)
    # For the text of a cell: that cell against the cells of other descriptions.
    by_text = torch.cat([positive, weighted.T[positives]], dim=1).logsumexp(dim=1) - positive.squeeze(1)
    return (by_cell.mean() + by_text.mean()) / 2


class WrongPairs(NamedTuple):
    """Pairs that do not belong together, one of each kind for some cells; each `(n_chosen,)`."""

    cells: "Tensor"  # the chosen cells
    texts: "Tensor"  # a wrong text for each
    others: "Tensor"  # a wrong cell for the text of each


def wrong_pairs(similarity: "Tensor", positives: "Tensor", affinity: "Tensor", cells: "Tensor") -> WrongPairs:
    """Draw wrong pairs, more similar ones more often; arguments as for :func:`contrast`, and which cells.

    Cells without any negative are left out.
    """
    weight = (1 - affinity)[positives]  # (n_cells, n_texts)
    cells = cells[weight[cells].any(dim=1)]
    by_text = (similarity.softmax(dim=1) + _SMALLEST_PROBABILITY) * weight
    by_cell = ((similarity.softmax(dim=0) + _SMALLEST_PROBABILITY) * weight).T[positives]  # (n_cells, n_cells)
    if not len(cells):
        return WrongPairs(cells, cells, cells)
    return WrongPairs(
        cells,
        torch.multinomial(by_text[cells], 1).squeeze(1),
        torch.multinomial(by_cell[cells], 1).squeeze(1),
    )


class CellTextLoss(nn.Module):
    """Loss of a network from cells to texts; see :class:`scmpt_scverse.module.Trainable`.

    Parameters
    ----------
    network
        The network to train.
    texts
        Centred embeddings of several wordings of each type, shape `(n_types, n_wordings, text_dim)`.
    affinity
        As for :func:`contrast`, shape `(n_types, n_types)`.
    noise, temperature, matching
        See :class:`QFormerOptions`.
    """

    texts: "Tensor"
    affinity: "Tensor"

    def __init__(
        self,
        network: QFormer | LinearProjector,
        texts: "Tensor",
        affinity: "Tensor",
        *,
        noise: float,
        temperature: float,
        matching: float,
    ) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("texts", texts, persistent=False)
        self.register_buffer("affinity", affinity, persistent=False)
        self._noise = noise * float(texts.std(dim=0).mean())
        self._temperature, self._matching = temperature, matching

    def training_loss(self, batch: "TokenStep") -> "Tensor":
        """The loss of one step."""
        chosen = self.texts[batch.types, batch.wordings]
        texts = chosen + self._noise * torch.randn_like(chosen)
        affinity = self.affinity[batch.types][:, batch.types]
        cells = self.network.cells(batch.tokens, batch.is_token)
        similarity = similarities(cells, self.network.texts(texts)) / self._temperature
        loss = contrast(similarity, batch.positives, affinity)
        if self._matching and isinstance(self.network, QFormer):
            wrong = self._wrong_pairs(similarity.detach(), batch.positives, affinity)
            if len(wrong.cells):
                loss = loss + self._matching * _matching_loss(self.network, batch, texts, wrong)
        return loss

    def validation_metrics(self, batch: "TokenStep") -> "dict[str, Tensor]":
        """Nothing: whole studies are held out, and scored as users do."""
        return {}

    def n_cells(self, batch: "TokenStep") -> int:
        """See :class:`scmpt_scverse.module.Trainable`."""
        return len(batch.positives)

    def _wrong_pairs(self, similarity: "Tensor", positives: "Tensor", affinity: "Tensor") -> WrongPairs:
        n_cells = len(positives)
        some = torch.randperm(n_cells, device=similarity.device)[: max(1, round(_MATCHED_SHARE * n_cells))]
        return wrong_pairs(similarity, positives, affinity, some)


def _matching_loss(network: QFormer, batch: "TokenStep", texts: "Tensor", wrong: WrongPairs) -> "Tensor":
    """Binary cross-entropy of true pairs, of wrong texts for the same cells and of wrong cells for the same texts."""
    own = batch.positives[wrong.cells]
    cells, pairs = torch.cat([wrong.cells, wrong.cells, wrong.others]), torch.cat([own, wrong.texts, own])
    truth = torch.arange(len(cells), device=cells.device) < len(own)
    logits = network.matches(batch.tokens[cells], batch.is_token[cells], texts[pairs])
    return functional.binary_cross_entropy_with_logits(logits, truth.float())
