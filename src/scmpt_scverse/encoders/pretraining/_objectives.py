"""What pre-training minimises: errors of hidden values from other genes, and of cell properties from `<cls>`."""

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scmpt_scverse.encoders._scgpt_checkpoint import ScGPTSettings
    from scmpt_scverse.encoders._scgpt_network import ScGPTNetwork
    from scmpt_scverse.encoders.pretraining._batches import Batch

#: The expression value that stands for "hidden", as in official training.
_MASK_VALUE = -1.0


class ValueDecoder(nn.Module):
    """From the output at a gene to its value; names and shape as in official checkpoints."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(dim, dim), nn.LeakyReLU(), nn.Linear(dim, dim), nn.LeakyReLU(), nn.Linear(dim, 1)
        )

    def forward(self, rows: Tensor) -> Tensor:
        """Values `(batch, n_genes)` from rows `(batch, n_genes, dim)`."""
        values: Tensor = self.fc(rows).squeeze(-1)
        return values


class CellValueDecoder(nn.Module):
    """From the cell embedding and a gene to its value by an inner product; names as in official checkpoints."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gene2query = nn.Linear(dim, dim)
        self.W = nn.Linear(dim, dim, bias=False)

    def forward(self, cells: Tensor, genes: Tensor) -> Tensor:
        """Values `(batch, n_genes)` from cells `(batch, dim)` and gene embeddings `(batch, n_genes, dim)`."""
        queries = self.W(torch.sigmoid(self.gene2query(genes)))  # (batch, n_genes, dim)
        return (queries @ cells.unsqueeze(-1)).squeeze(-1)


class ExpressionDecoder(nn.Module):
    """From cell embeddings and genes to standardised expression."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gene2query = nn.Linear(dim, dim)
        self.W = nn.Linear(dim, dim, bias=False)

    def forward(self, cells: Tensor, genes: Tensor) -> Tensor:
        """Values `(batch, n_genes)` from cells `(batch, dim)` and gene embeddings `(n_genes, dim)`."""
        queries = torch.sigmoid(self.gene2query(genes))  # (n_genes, dim)
        # Centred, because the mean of standardised expression is 0; measured to be much better than a plain product.
        queries = queries - queries.mean(dim=0)
        return self.W(cells) @ queries.T / cells.shape[1] ** 0.5


class PretrainingModule(nn.Module):
    """The network and its decoders during training.

    Parameters
    ----------
    network
        The network to pre-train.
    settings
        Its architecture.
    n_components
        Number of components of each study's expression summary.
    weights
        Weight of each objective, see :class:`PretrainingRecipe`.
    """

    bin_values: Tensor

    def __init__(
        self,
        network: "ScGPTNetwork",
        settings: "ScGPTSettings",
        *,
        n_components: "Sequence[int]",
        weights: "Mapping[str, float]",
    ) -> None:
        super().__init__()
        dim = settings.embsize
        self.network = network
        self.weights = dict(weights)
        self.decoder = ValueDecoder(dim) if "masked_value" in weights else None
        self.mvc_decoder = CellValueDecoder(dim) if "cell_value" in weights else None
        self.expression_decoder = ExpressionDecoder(dim) if "cell_expression" in weights else None
        # Batch statistics, also for held-out cells: they remove what all cells of a study share.
        self.norm = nn.BatchNorm1d(dim, track_running_stats=False)
        self.summary_heads = nn.ModuleList(
            nn.Linear(dim, n) for n in (n_components if "cell_summary" in weights else [])
        )
        bins = torch.arange(settings.n_bins, dtype=torch.float32)
        bins[0] = settings.pad_value  # bin 0 is the value of `<cls>` and padding
        self.register_buffer("bin_values", bins, persistent=False)
        # Squared errors of bins are in units of the variance of evenly spread bins: predicting their mean gives 1.
        self._bin_variance = settings.n_bins**2 / 12

    def forward(self, batch: "Batch") -> dict[str, Tensor]:
        """The loss of each objective on one batch, unweighted."""
        table = self.network.value_encoder(self.bin_values)  # (n_bins, dim)
        tokens = self.network.encoder(batch.gene_ids) + F.embedding(batch.bins, table)  # (batch, n_visible, dim)
        hidden = self.network.encoder(batch.hidden_ids)  # (batch, n_hidden, dim)
        losses = {}
        if self.decoder is None:
            cells = self.network.transformer_encoder(tokens, batch.is_token)  # (batch, dim)
        else:
            mask = self.network.value_encoder(self.bin_values.new_full((1,), _MASK_VALUE))
            cells, rows = self.network.transformer_encoder.with_queries(tokens, batch.is_token, hidden + mask)
            losses["masked_value"] = self._value_loss(self.decoder(rows), batch)
        if self.mvc_decoder is not None:
            losses["cell_value"] = self._value_loss(self.mvc_decoder(cells, hidden), batch)
        if self.expression_decoder is not None:
            asked = self.network.encoder(batch.asked_ids)  # (n_asked, dim)
            predicted = self.expression_decoder(self.norm(cells), asked)
            losses["cell_expression"] = F.mse_loss(predicted.float(), batch.asked_expression)
        if self.summary_heads:
            predicted = self.summary_heads[batch.study](self.norm(cells))  # (batch, n_components)
            errors = (predicted - batch.summary).float().square().sum(dim=1).mean()
            losses["cell_summary"] = errors / batch.summary.square().sum(dim=1).mean().clamp_min(1e-6)
        return losses

    def training_loss(self, batch: "Batch") -> Tensor:
        """The weighted sum of the losses of one batch."""
        return self.total(self(batch))

    def validation_metrics(self, batch: "Batch") -> dict[str, Tensor]:
        """The weighted sum and each loss of one batch of held-out cells."""
        losses = self(batch)
        return {"heldout_loss": self.total(losses)} | {f"heldout_{name}": loss for name, loss in losses.items()}

    def n_cells(self, batch: "Batch") -> int:
        """Number of cells of a batch."""
        return len(batch.bins)

    def total(self, losses: "Mapping[str, Tensor]") -> Tensor:
        """The weighted sum of the losses."""
        return torch.stack([self.weights[name] * loss for name, loss in losses.items()]).sum()

    def _value_loss(self, predicted: Tensor, batch: "Batch") -> Tensor:
        errors = (predicted.float() - batch.hidden_bins).square()
        return errors[batch.is_hidden].mean() / self._bin_variance
