"""The parts of the generator and its loss, against scipy, torch and their formulas."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.distributions import Normal, kl_divergence
from torch.nn import functional

from scmpt_scverse.module import Condition, DecoderSizes, GeneratorOptions
from scmpt_scverse.module._generator_decoders import CrossAttentionDecoder, DenseDecoder
from scmpt_scverse.module._generator_network import CellNetwork, CellStep, GeneratorLoss, _log_likelihood

N, N_GENES, TEXT_DIM, N_TYPES, N_WORDINGS, N_SUMMARY = 5, 6, 4, 3, 2, 64


def network(**options: Any) -> CellNetwork:
    """Two batches, of which the second has not measured the last gene; library sizes of about a hundred."""
    torch.manual_seed(0)
    is_measured = torch.ones(2, N_GENES)
    is_measured[1, -1] = 0
    found = CellNetwork(TEXT_DIM, is_measured, GeneratorOptions(n_latent=3, n_hidden=8, **options))
    found.library_scale.copy_(torch.tensor([4.6, 0.5]))
    with torch.no_grad():
        found.log_dispersion.copy_(torch.linspace(-1, 1, N_GENES))
        found.dropout.copy_(torch.stack([torch.linspace(-2, 1, N_GENES), torch.linspace(-1, 0.5, N_GENES)]))
    return found


def condition() -> Condition:
    generator = torch.Generator().manual_seed(1)
    is_wording = torch.tensor([[True, False], [True, True], [False, True], [True, True], [True, False]])
    return Condition(
        torch.randn(N, N_WORDINGS, TEXT_DIM, generator=generator),
        is_wording,
        torch.rand(N, N_GENES, generator=generator),
    )


BATCHES = torch.eye(2)[[0, 1, 0, 1, 0]]


@pytest.mark.parametrize("name", ["n_genes", "n_latent", "n_hidden", "n_steps", "cells_per_step"])
def test_numbers_of_things_are_at_least_one(name: str) -> None:
    GeneratorOptions(**{name: 1})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=f"`{name}` must be a whole number of at least 1; found 0"):
        GeneratorOptions(**{name: 0})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value", "bound"),
    [
        ("lr", 0.0, "above 0"),
        ("lr", "fast", "above 0"),
        ("noise", -0.1, "at least 0"),
        ("noise", float("inf"), "at least 0"),
        ("kl_weight", float("nan"), "at least 0"),
        ("seed", -1, "a whole number of at least 0"),
    ],
)
def test_other_options_are_checked(name: str, value: Any, bound: str) -> None:
    with pytest.raises(ValueError, match=f"`{name}` must be {bound}; found {value!r}"):
        GeneratorOptions(**{name: value})


def test_only_wordings_that_are_there_are_averaged() -> None:
    given = condition()
    expected = [wordings[there].mean(dim=0) for wordings, there in zip(given.wordings, given.is_wording, strict=True)]
    torch.testing.assert_close(given.means, torch.stack(expected))


def test_a_summary_is_of_the_text_and_the_profile() -> None:
    net, given = network(), condition()
    expected = net.summary(net.text(given.means) + net.profile(given.profiles))
    torch.testing.assert_close(net.summarised(given), expected)
    assert expected.shape == (N, N_SUMMARY)


def test_library_sizes_are_on_the_scale_of_the_training_cells() -> None:
    net = network()
    summary = net.summarised(condition())
    raw = net.library(torch.cat([summary, BATCHES], dim=1))
    mean, deviation = net.library_sizes(summary, BATCHES)
    torch.testing.assert_close(mean, 4.6 + 0.5 * raw[:, 0])
    torch.testing.assert_close(deviation, 0.5 * raw[:, 1].exp())
    with torch.no_grad():
        for bias, bound in ((-50.0, -3.0), (50.0, 1.0)):
            net.library.bias[1] = bias
            torch.testing.assert_close(
                net.library_sizes(summary, BATCHES)[1], torch.full((N,), 0.5 * np.exp(bound)).float()
            )


def test_composition_depends_on_library_sizes_up_to_three_deviations() -> None:
    net = network()
    summary = net.summarised(condition())[:1].expand(6, -1)
    sizes = 4.6 + 0.5 * torch.tensor([-9.0, -3.0, -2.9, 2.9, 3.0, 9.0])
    mean, log_variance = net.latent_prior(summary, sizes)
    raw = net.prior(torch.cat([summary, torch.tensor([-3, -3, -2.9, 2.9, 3, 3])[:, None]], dim=1))
    torch.testing.assert_close(mean, raw[:, :3])
    torch.testing.assert_close(log_variance, raw[:, 3:])
    with torch.no_grad():
        for bias, bound in ((-50.0, -8.0), (50.0, 4.0)):
            dict(net.prior.named_parameters())["5.bias"][3:] = bias
            assert (net.latent_prior(summary, sizes)[1] == bound).all()


def test_the_encoder_sees_logarithms_of_counts_per_ten_thousand() -> None:
    net = network()
    summary = net.summarised(condition())
    counts = torch.arange(30.0).view(N, N_GENES)
    log_library = counts.sum(dim=1).log()
    shares = torch.log1p(1e4 * counts / counts.sum(dim=1, keepdim=True))
    standardised = ((log_library - 4.6) / 0.5).clamp(-3, 3)[:, None]
    raw = net.encoder(torch.cat([shares, summary, BATCHES, standardised], dim=1))
    mean, log_variance = net.latent_posterior(counts, summary, BATCHES, log_library)
    torch.testing.assert_close(mean, raw[:, :3])
    torch.testing.assert_close(log_variance, raw[:, 3:])


@pytest.mark.parametrize("decoder", ["dense", "attention"])
def test_shares_are_of_the_genes_that_a_batch_has(decoder: str) -> None:
    net, given = network(decoder=decoder), condition()
    summary = net.summarised(given)
    latent = torch.randn(N, 3)
    found = net.logits(latent, BATCHES, summary, given)
    torch.testing.assert_close(found.exp().sum(dim=1), torch.ones(N))
    assert torch.isinf(found).any(dim=1).tolist() == [False, True, False, True, False]
    raw = net.decoder(latent, BATCHES, summary, given)
    torch.testing.assert_close(found[0], raw[0].log_softmax(dim=0))
    torch.testing.assert_close(found[1, :-1], raw[1, :-1].log_softmax(dim=0))


def test_likelihoods_are_those_of_scipy_and_of_measured_genes() -> None:
    counts = torch.tensor([[0.0, 1, 2, 5, 30, 0], [3.0, 0, 0, 1, 12, 0]])
    log_means = torch.randn(2, N_GENES, generator=torch.Generator().manual_seed(0)) + 1
    log_means[0, 3] = -14.0  # hardly any, but the gate sees no less than -10
    log_means[1, -1] = -torch.inf
    for likelihood in ("nb", "zinb"):
        net = network(likelihood=likelihood)
        with torch.no_grad():
            found = _log_likelihood(net, counts, log_means)
        theta = net.log_dispersion.detach().exp().double().numpy()
        means = log_means.exp().double().numpy()
        expected = stats.nbinom.pmf(counts.numpy(), theta, theta / (theta + means))
        if likelihood == "zinb":
            base, slope = net.dropout.detach().double().numpy()
            gates = 1 / (1 + np.exp(-(base + slope * np.maximum(log_means.double().numpy(), -10))))
            expected = gates * (counts.numpy() == 0) + (1 - gates) * expected
        is_measured = np.isfinite(log_means.numpy())
        np.testing.assert_allclose(found[is_measured], np.log(expected[is_measured]), rtol=1e-3, atol=1e-4)
        assert found[1, -1] == 0


@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_the_loss_is_the_negative_evidence_lower_bound(weight: float) -> None:
    net = network(kl_weight=weight, noise=0.0)
    generator = torch.Generator().manual_seed(3)
    texts, profiles = torch.randn(N_TYPES, N_WORDINGS, TEXT_DIM, generator=generator), torch.rand(N_TYPES, N_GENES)
    counts = torch.poisson(torch.full((N, N_GENES), 3.0), generator=generator)
    counts[[1, 3], -1] = 0
    step = CellStep(counts, torch.tensor([0, 2, 1, 0, 2]), torch.tensor([0, 1, 0, 1, 0]), condition().is_wording)
    loss = GeneratorLoss(net, texts, profiles, GeneratorOptions(kl_weight=weight, noise=0.0))
    with torch.no_grad():
        torch.manual_seed(5)
        found = loss.training_loss(step)
        given = Condition(texts[step.types], step.is_wording, profiles[step.types])
        summary, log_library = net.summarised(given), counts.sum(dim=1).log()
        torch.manual_seed(5)
        torch.randn_like(given.wordings)  # the noise on texts comes first
        mean, log_variance = net.latent_posterior(counts, summary, BATCHES, log_library)
        prior_mean, prior_log_variance = net.latent_prior(summary, log_library)
        posterior, prior = Normal(mean, (log_variance / 2).exp()), Normal(prior_mean, (prior_log_variance / 2).exp())
        latent = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        log_means = net.logits(latent, BATCHES, summary, given) + log_library[:, None]
        fit = _log_likelihood(net, counts, log_means).sum(dim=1)
        library = Normal(*net.library_sizes(summary, BATCHES)).log_prob(log_library)
        expected = (weight * kl_divergence(posterior, prior).sum(dim=1) - fit - library).mean()
    torch.testing.assert_close(found, expected)
    assert loss.n_cells(step) == N
    assert loss.validation_metrics(step) == {}


def test_noise_is_in_units_of_the_spread_of_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    net, seen = network(), []
    texts = torch.randn(N_TYPES, N_WORDINGS, TEXT_DIM, generator=torch.Generator().manual_seed(3))
    step = CellStep(torch.ones(N, N_GENES), torch.zeros(N).long(), torch.zeros(N).long(), condition().is_wording)
    summarised = net.summarised

    def noted(given: Condition) -> Tensor:
        seen.append(given.wordings)
        return summarised(given)

    monkeypatch.setattr(net, "summarised", noted)
    loss = GeneratorLoss(net, texts, torch.rand(N_TYPES, N_GENES), GeneratorOptions(noise=0.5))
    torch.manual_seed(0)
    for _ in range(200):
        loss.training_loss(step)
    noise = torch.stack(seen) - texts[0]
    assert noise.std().item() == pytest.approx(0.5 * texts.std(dim=0, correction=0).mean().item(), rel=0.03)


SIZES = DecoderSizes(TEXT_DIM, 7, 3, 2, N_GENES, 8)


def test_a_dense_decoder_adds_a_linear_part_and_the_profile() -> None:
    torch.manual_seed(0)
    decoder, given = DenseDecoder(SIZES), condition()
    latent, summary = torch.randn(N, 3), torch.randn(N, 7)
    together = torch.cat([latent, summary, BATCHES], dim=1)
    plain = decoder.network(together) + together @ decoder.linear.weight.T
    torch.testing.assert_close(decoder(latent, BATCHES, summary, given), plain)  # the profile has no say at first
    with torch.no_grad():
        decoder.gain.copy_(torch.arange(6.0))
    expected = plain + torch.arange(6.0) * given.profiles
    torch.testing.assert_close(decoder(latent, BATCHES, summary, given), expected)


def test_genes_attend_to_wordings_cell_and_batch() -> None:
    """By four heads of eight, as `torch.nn.MultiheadAttention` computes it."""
    torch.manual_seed(0)
    decoder, given = CrossAttentionDecoder(SIZES), condition()
    with torch.no_grad():
        decoder.gain.copy_(torch.arange(6.0))
        decoder.bias.copy_(torch.arange(6.0) / 10)
    latent, summary = torch.randn(N, 3), torch.randn(N, 7)
    cell = decoder.latent(latent).view(N, 4, 32)
    batch = decoder.summary(torch.cat([summary, BATCHES], dim=1))[:, None]
    tokens = torch.cat([decoder.wording(given.wordings), cell, batch], dim=1)
    is_hidden = torch.cat([~given.is_wording, torch.zeros(N, 5, dtype=torch.bool)], dim=1)
    query, key, value = decoder.query(decoder.genes).expand(N, -1, -1), decoder.key(tokens), decoder.value(tokens)
    identity, nothing = torch.eye(32), torch.zeros(32)
    found, _ = functional.multi_head_attention_forward(
        query.transpose(0, 1), key.transpose(0, 1), value.transpose(0, 1), 32, 4, torch.eye(32).repeat(3, 1),
        torch.zeros(96), None, None, False, 0.0, identity, nothing, key_padding_mask=is_hidden,
    )  # fmt: skip
    mixed = decoder.mix(found.transpose(0, 1) + decoder.genes)
    expected = (mixed * decoder.out).sum(dim=2) + decoder.bias + decoder.gain * given.profiles
    torch.testing.assert_close(decoder(latent, BATCHES, summary, given), expected, rtol=1e-4, atol=1e-4)


def test_a_new_decoder_of_many_genes_begins_with_small_weights() -> None:
    torch.manual_seed(0)
    decoder = CrossAttentionDecoder(
        DecoderSizes(text_dim=4, n_summary=5, n_latent=3, n_batches=2, n_genes=3000, n_hidden=8)
    )
    dim = decoder.out.shape[1]
    assert float(decoder.out.detach().mean()) == pytest.approx(0, abs=0.01)
    assert float(decoder.out.detach().std()) == pytest.approx(dim**-0.5, rel=0.02)
