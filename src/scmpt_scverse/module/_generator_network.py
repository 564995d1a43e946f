"""A variational autoencoder of counts, conditioned on texts: network, options and loss."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from scmpt_scverse._checks import check_choice, check_number, check_positive, check_seed
from scmpt_scverse.module._generator_decoders import DECODERS, Condition, Decoder, DecoderSizes

if TYPE_CHECKING:
    from torch import Tensor

LIKELIHOODS = ("nb", "zinb")
#: Width of the condition as one vector.
_N_SUMMARY = 64
#: Counts are scaled to this total before the encoder sees their logarithm.
_TARGET_SUM = 1e4
#: Bounds of the logarithm of a variance, so that no step can leave the range of floats.
_LOG_VARIANCE = (-8.0, 4.0)
#: Library sizes beyond this many standard deviations scale a cell, but no longer change its composition.
_MOST_DEVIATIONS = 3.0


@dataclass(frozen=True)
class GeneratorOptions:
    """How a generator of pseudo-cells is built and trained.

    Attributes
    ----------
    n_genes
        Number of genes to generate, the most variable ones among the training cells.
    decoder
        `"dense"`, a multilayer perceptron; `"attention"`, in which genes attend to the wordings of the text; or a name
        that another package registers.
    likelihood
        Likelihood of the counts: `"nb"`, negative binomial, or `"zinb"`, zero-inflated.
    n_latent, n_hidden
        Width of the latent space and of hidden layers.
    kl_weight
        Weight of the divergence of the encoder's posterior from the prior that the text predicts.
    n_steps
        Training steps.
    cells_per_step
        Cells per step, drawn evenly from the labels.
    noise
        Standard deviation of the noise on text embeddings, relative to their own.
    lr
        Highest learning rate.
    seed
        Seed of initial weights, noise, and choice of cells and wordings.

    Raises
    ------
    ValueError
        A number is out of range, or `likelihood` or `decoder` is unknown.
    """

    n_genes: int = 2000
    decoder: str = "dense"
    likelihood: Literal["nb", "zinb"] = "nb"
    n_latent: int = 16
    n_hidden: int = 128
    kl_weight: float = 1.0
    n_steps: int = 800
    cells_per_step: int = 128
    noise: float = 0.3
    lr: float = 3e-3
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("n_genes", "n_latent", "n_hidden", "n_steps", "cells_per_step"):
            check_positive(getattr(self, name), name)
        check_number(self.lr, "lr", above=0)
        check_number(self.noise, "noise")
        check_number(self.kl_weight, "kl_weight")
        check_seed(self.seed)
        check_choice(self.likelihood, LIKELIHOODS, "likelihood")
        check_choice(self.decoder, DECODERS.names(), "decoder")


class CellStep(NamedTuple):
    """The data of one step."""

    counts: "Tensor"  # (n, n_genes)
    types: "Tensor"  # (n,)
    batches: "Tensor"  # (n,)
    is_wording: "Tensor"  # (n, n_wordings): which wordings of its type stand for a cell


class CellNetwork(nn.Module):
    """Encoder, conditional prior, library sizes and decoder.

    Parameters
    ----------
    text_dim, n_batches
        Width of text embeddings, and number of batches.
    is_measured
        Which genes each batch has, shape `(n_batches, n_genes)`.
    options
        Only sizes, `likelihood` and `decoder` are used.
    """

    is_measured: "Tensor"
    library_scale: "Tensor"

    def __init__(self, text_dim: int, is_measured: "Tensor", options: GeneratorOptions) -> None:
        super().__init__()
        n_batches, n_genes = is_measured.shape
        hidden, latent = options.n_hidden, options.n_latent
        self.likelihood = options.likelihood
        self.register_buffer("is_measured", is_measured)
        self.register_buffer("library_scale", torch.tensor([0.0, 1.0]))  # mean and deviation of log library sizes
        self.text = nn.Linear(text_dim, hidden)
        self.profile = nn.Linear(n_genes, hidden, bias=False)
        self.summary = nn.Sequential(nn.GELU(), nn.Linear(hidden, _N_SUMMARY))
        self.library = nn.Linear(_N_SUMMARY + n_batches, 2)
        self.prior = _two_layers(_N_SUMMARY + 1, hidden, 2 * latent)
        self.encoder = _two_layers(n_genes + _N_SUMMARY + n_batches + 1, hidden, 2 * latent)
        sizes = DecoderSizes(text_dim, _N_SUMMARY, latent, n_batches, n_genes, hidden)
        self.decoder: Decoder = DECODERS.build(options.decoder, Decoder, sizes)  # type: ignore[type-abstract]
        self.log_dispersion = nn.Parameter(torch.zeros(n_genes))
        self.dropout = nn.Parameter(torch.stack([torch.full((n_genes,), -3.0), torch.zeros(n_genes)]))

    def summarised(self, condition: Condition) -> "Tensor":
        """The condition as one vector, shape `(n, n_summary)`."""
        summary: Tensor = self.summary(self.text(condition.means) + self.profile(condition.profiles))
        return summary

    def library_sizes(self, summary: "Tensor", batches: "Tensor") -> "tuple[Tensor, Tensor]":
        """Mean and standard deviation of log library sizes, each of shape `(n,)`."""
        mean, log_deviation = self.library(torch.cat([summary, batches], dim=1)).unbind(dim=1)
        center, scale = self.library_scale
        return center + scale * mean, scale * log_deviation.clamp(-3, 1).exp()

    def latent_prior(self, summary: "Tensor", log_library: "Tensor") -> "tuple[Tensor, Tensor]":
        """Mean and log variance of latent cells, given text and library size, each `(n, n_latent)`."""
        return _gaussian(self.prior(torch.cat([summary, self._standardised(log_library)], dim=1)))

    def latent_posterior(
        self, counts: "Tensor", summary: "Tensor", batches: "Tensor", log_library: "Tensor"
    ) -> "tuple[Tensor, Tensor]":
        """Mean and log variance of latent cells, given their counts as well."""
        logarithms = torch.log1p(counts * (_TARGET_SUM / log_library.exp().unsqueeze(1)))
        given = torch.cat([logarithms, summary, batches, self._standardised(log_library)], dim=1)
        return _gaussian(self.encoder(given))

    def logits(self, latent: "Tensor", batches: "Tensor", summary: "Tensor", condition: Condition) -> "Tensor":
        """Log shares of genes, shape `(n, n_genes)`; minus infinity for genes that were not measured in the batch."""
        logits: Tensor = self.decoder(latent, batches, summary, condition)
        return functional.log_softmax(logits.masked_fill(batches @ self.is_measured == 0, -torch.inf), dim=1)

    def dropout_logits(self, log_means: "Tensor") -> "Tensor":
        """Logits of zero inflation, shape `(n, n_genes)`, from the logarithm of means; for `"zinb"` only."""
        base, slope = self.dropout
        return base + slope * log_means.clamp(min=-10)

    def _standardised(self, log_library: "Tensor") -> "Tensor":
        center, scale = self.library_scale
        return ((log_library - center) / scale).clamp(-_MOST_DEVIATIONS, _MOST_DEVIATIONS).unsqueeze(1)


class GeneratorLoss(nn.Module):
    """Loss of a generator; see :class:`scmpt_scverse.module.Trainable`.

    The mean negative evidence lower bound per cell: likelihood of the counts, divergence of the posterior from the
    conditional prior, and likelihood of the library size.

    Parameters
    ----------
    network
        The network to train.
    texts
        Centred embeddings, shape `(n_types, n_wordings, text_dim)`.
    profiles
        Profiles of the types, shape `(n_types, n_genes)`.
    options
        Only `noise` and `kl_weight` are used.
    """

    texts: "Tensor"
    profiles: "Tensor"

    def __init__(self, network: CellNetwork, texts: "Tensor", profiles: "Tensor", options: GeneratorOptions) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("texts", texts, persistent=False)
        self.register_buffer("profiles", profiles, persistent=False)
        self._noise = options.noise * float(texts.std(dim=0, correction=0).mean())
        self._kl_weight = options.kl_weight

    def training_loss(self, batch: CellStep) -> "Tensor":
        """The loss of one step."""
        network, counts = self.network, batch.counts
        texts = self.texts[batch.types]
        condition = Condition(
            texts + self._noise * torch.randn_like(texts), batch.is_wording, self.profiles[batch.types]
        )
        batches = functional.one_hot(batch.batches, len(network.is_measured)).to(counts.dtype)
        summary = network.summarised(condition)
        log_library = counts.sum(dim=1).log()
        prior = network.latent_prior(summary, log_library)
        posterior = network.latent_posterior(counts, summary, batches, log_library)
        latent = posterior[0] + (posterior[1] / 2).exp() * torch.randn_like(posterior[0])
        log_means = network.logits(latent, batches, summary, condition) + log_library.unsqueeze(1)
        fit = (_log_likelihood(network, counts, log_means)).sum(dim=1)
        library = torch.distributions.Normal(*network.library_sizes(summary, batches)).log_prob(log_library)
        return (self._kl_weight * _divergence(posterior, prior) - fit - library).mean()

    def validation_metrics(self, batch: CellStep) -> "dict[str, Tensor]":
        """Nothing: pseudo-cells are evaluated against real cells, not reconstructions."""
        return {}

    def n_cells(self, batch: CellStep) -> int:
        """See :class:`scmpt_scverse.module.Trainable`."""
        return len(batch.types)


def _log_likelihood(network: CellNetwork, counts: "Tensor", log_means: "Tensor") -> "Tensor":
    """Log-likelihood of each count, shape `(n, n_genes)`; 0 if a gene was not measured."""
    # Takes seconds to import, and other parts of this package do not need it.
    from scvi.distributions import NegativeBinomial, ZeroInflatedNegativeBinomial

    is_measured = torch.isfinite(log_means)
    means = log_means.masked_fill(~is_measured, -20.0).exp()
    dispersion = network.log_dispersion.exp()
    if network.likelihood == "zinb":
        gate = network.dropout_logits(log_means.masked_fill(~is_measured, -20.0))
        counted = ZeroInflatedNegativeBinomial(mu=means, theta=dispersion, zi_logits=gate, validate_args=False)
    else:
        counted = NegativeBinomial(mu=means, theta=dispersion, validate_args=False)
    likelihood: Tensor = counted.log_prob(counts) * is_measured
    return likelihood


def _divergence(posterior: "tuple[Tensor, Tensor]", prior: "tuple[Tensor, Tensor]") -> "Tensor":
    """Kullback-Leibler divergence between diagonal Gaussians, shape `(n,)`."""
    (mean, log_variance), (prior_mean, prior_log_variance) = posterior, prior
    square = (mean - prior_mean) ** 2 + log_variance.exp()
    return (prior_log_variance - log_variance + square / prior_log_variance.exp() - 1).sum(dim=1) / 2


def _gaussian(values: "Tensor") -> "tuple[Tensor, Tensor]":
    mean, log_variance = values.chunk(2, dim=1)
    return mean, log_variance.clamp(*_LOG_VARIANCE)


def _two_layers(n_in: int, n_hidden: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(n_in, n_hidden),
        nn.LayerNorm(n_hidden),
        nn.GELU(),
        nn.Linear(n_hidden, n_hidden),
        nn.GELU(),
        nn.Linear(n_hidden, n_out),
    )
