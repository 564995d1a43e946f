"""scGPT as a function of how much of each gene is there."""

from typing import TYPE_CHECKING

import torch.nn.functional as F

from scmpt_scverse.encoders._gene_gates import GeneGates, turned_down

if TYPE_CHECKING:
    from torch import Tensor

    from scmpt_scverse._types import IntArray
    from scmpt_scverse.encoders._scgpt_network import ScGPTNetwork


class GatedTokens(GeneGates):
    """Cells as gene tokens, whose embeddings (gene plus value) are turned down together.

    Parameters
    ----------
    network
        In float32.
    genes
        See :class:`GeneGates`.
    gene_ids, bins, is_token
        What the network reads of all cells, each `(n_cells, n_positions)`.
    """

    def __init__(
        self, network: "ScGPTNetwork", genes: "IntArray", gene_ids: "Tensor", bins: "Tensor", is_token: "Tensor"
    ) -> None:
        self.genes = genes
        self._network = network
        self._gene_ids, self._bins, self._is_token = gene_ids, bins, is_token

    def __call__(self, gates: "Tensor", cells: "Tensor") -> "Tensor":
        """See :meth:`GeneGates.__call__`."""
        is_token = self._is_token[cells]
        embedded = self._network.encoder(self._gene_ids[cells]) + F.embedding(
            self._bins[cells], self._network.value_table
        )  # (batch, n_positions, dim)
        # The neutral token is the cell's average one: as a token without gene and value it is nothing that was trained.
        weights = (is_token & (self._bins[cells] > 0)).unsqueeze(-1)
        neutral = (embedded * weights).sum(1, keepdim=True) / weights.sum(1, keepdim=True)
        cls = self._network.transformer_encoder(turned_down(embedded, neutral, gates), is_token)  # (batch, dim)
        return F.normalize(cls, dim=-1)
