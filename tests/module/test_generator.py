"""The generator of counts on arrays: every decoder learns, draws the same cells again, and is saved."""

import copy
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from scmpt_scverse.module import (
    DECODERS,
    CellGenerator,
    Condition,
    CountedCells,
    Decoder,
    GeneratorOptions,
    TextCondition,
    TrainingRun,
)
from scmpt_scverse.module._generator import _Steps
from scmpt_scverse.module._generator_network import _divergence

N_GENES, N_TYPES, TEXT_DIM = 40, 3, 12
SMALL = {"n_genes": N_GENES, "n_latent": 3, "n_hidden": 24, "n_steps": 120, "cells_per_step": 48, "lr": 1e-2}


def cells(seed: int = 0) -> CountedCells:
    """Three types of ten genes each, in two batches; the second one has not measured the last gene."""
    rng = np.random.default_rng(seed)
    types, batches = np.repeat(np.arange(N_TYPES), 60), np.tile([0, 1], 90)
    rates = np.full((len(types), N_GENES), 1.0)
    for each in range(N_TYPES):
        rates[np.ix_(types == each, np.arange(10 * each, 10 * each + 10))] = 8.0
    sizes = np.where(types == 2, 2.0, 1.0)[:, None]
    counts = rng.poisson(rates * sizes)
    counts[batches == 1, -1] = 0
    is_measured = np.ones((2, N_GENES), dtype=bool)
    is_measured[1, -1] = False
    profiles = np.zeros((N_TYPES, N_GENES), dtype=np.float32)
    for each in range(N_TYPES):
        profiles[each, 10 * each : 10 * each + 10] = 1
    texts = rng.normal(size=(N_TYPES, 1, TEXT_DIM)) + 0.1 * rng.normal(size=(N_TYPES, 3, TEXT_DIM))
    return CountedCells(sparse.csr_matrix(counts), types, batches, texts.astype(np.float32), profiles, is_measured)


def condition(of: CountedCells, row: int, *, batch: int = 0) -> TextCondition:
    return TextCondition([of.texts[row]], of.profiles[[row]], np.ones(1), np.zeros(N_GENES), np.eye(2)[batch])


@pytest.fixture(scope="module")
def learned() -> CellGenerator:
    return CellGenerator.fit(cells(), GeneratorOptions(**SMALL), run=TrainingRun("cpu"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options", [*({"decoder": name} for name in DECODERS.names()), {"likelihood": "zinb"}], ids=lambda each: str(each)
)
def test_each_text_gets_the_genes_and_the_size_of_its_type(options: dict[str, str]) -> None:
    generator = CellGenerator.fit(cells(), GeneratorOptions(**SMALL | options), run=TrainingRun("cpu"))  # type: ignore[arg-type]
    assert generator.losses[-20:].mean() < generator.losses[:5].mean()
    for row in range(N_TYPES):
        drawn = generator.draw(condition(cells(), row), 80, key=str(row), seed=0)
        means = drawn.counts.mean(axis=0).A1 if hasattr(drawn.counts, "A1") else np.asarray(drawn.counts.mean(axis=0))
        of_types = means.ravel()[:30].reshape(3, 10).mean(axis=1)
        assert of_types.argmax() == row
        assert of_types[row] > 3 * np.delete(of_types, row).max()
        total = float(drawn.counts.sum(axis=1).mean())
        assert total == pytest.approx(cells().counts[cells().types == row].sum(axis=1).mean(), rel=0.15)
    assert drawn.counts.dtype == np.int32


def test_a_cell_does_not_depend_on_how_many_others_are_drawn(learned: CellGenerator) -> None:
    many = learned.draw(condition(cells(), 0), 150, key="a", seed=3).counts
    for n in (1, 64, 65):
        few = learned.draw(condition(cells(), 0), n, key="a", seed=3).counts
        assert (few != many[:n]).nnz == 0
    other_seed = learned.draw(condition(cells(), 0), 150, key="a", seed=4).counts
    other_key = learned.draw(condition(cells(), 0), 150, key="b", seed=3).counts
    assert (other_seed != many).nnz > 1000
    assert (other_key != many).nnz > 1000


def test_genes_that_a_batch_has_not_measured_stay_zero(learned: CellGenerator) -> None:
    first, second = (learned.draw(condition(cells(), 0, batch=batch), 100, key="", seed=0) for batch in (0, 1))
    assert first.counts[:, -1].sum() > 20
    assert second.counts[:, -1].sum() == 0
    assert set(second.batches) == {1}


def test_library_sizes_are_as_wanted(learned: CellGenerator) -> None:
    wanted = np.r_[np.full(70, 50.0), np.full(70, 5000.0)]
    totals = learned.draw(condition(cells(), 1), 140, key="", seed=0, library_size=wanted).counts.sum(axis=1)
    low, high = np.asarray(totals).ravel()[:70].mean(), np.asarray(totals).ravel()[70:].mean()
    assert low == pytest.approx(50, rel=0.1)
    assert high == pytest.approx(5000, rel=0.1)


def test_a_shift_multiplies_genes(learned: CellGenerator) -> None:
    plain = condition(cells(), 0)
    shift = np.zeros(N_GENES)
    shift[35] = 2.0
    before, after = (
        float(learned.draw(each, 300, key="", seed=0).counts[:, 35].mean())
        for each in (plain, plain._replace(shift=shift))
    )
    assert after / before == pytest.approx(np.exp(2), rel=0.2)


def test_the_same_seed_trains_the_same_generator_and_files_hold_all_of_it(learned: CellGenerator) -> None:
    again = CellGenerator.fit(cells(), GeneratorOptions(**SMALL), run=TrainingRun("cpu"))  # type: ignore[arg-type]
    np.testing.assert_array_equal(again.losses, learned.losses)
    opened = CellGenerator.from_arrays(
        {name: np.asarray(values) for name, values in learned.arrays().items()}, learned.state()
    )
    assert opened.options == learned.options
    expected = learned.draw(condition(cells(), 1), 30, key="", seed=0).counts
    assert (opened.draw(condition(cells(), 1), 30, key="", seed=0).counts != expected).nnz == 0
    other = CellGenerator.fit(cells(), GeneratorOptions(**SMALL | {"seed": 1}), run=TrainingRun("cpu"))  # type: ignore[arg-type]
    assert other.losses[0] != learned.losses[0]


def test_training_leaves_the_global_random_state_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    CellGenerator.fit(cells(), GeneratorOptions(**SMALL | {"n_steps": 2}), run=TrainingRun("cpu"))  # type: ignore[arg-type]
    np.testing.assert_array_equal(torch.rand(3), expected)


def test_attention_has_more_than_one_key_and_they_matter() -> None:
    """Over a single key, softmax is 1 whatever a gene asks: wordings of a text must change what genes get."""
    options = GeneratorOptions(**SMALL | {"decoder": "attention"})  # type: ignore[arg-type]
    decoder = CellGenerator.fit(cells(), options, run=TrainingRun("cpu")).network.decoder
    rng = torch.Generator().manual_seed(0)
    wordings = torch.randn(1, 3, TEXT_DIM, generator=rng)
    rest = torch.zeros(1, 3), torch.eye(2)[:1], torch.zeros(1, 64)

    def logits(is_wording: list[bool]) -> Tensor:
        found: Tensor = decoder(*rest, Condition(wordings, torch.tensor([is_wording]), torch.zeros(1, N_GENES)))
        return found

    with torch.inference_mode():
        one, other, all_ = (logits(each) for each in ([True, False, False], [False, True, False], [True] * 3))
    assert not torch.allclose(one, other)
    assert not torch.allclose(all_, one)


def test_a_decoder_of_ones_own() -> None:
    assert {"dense", "attention"} <= set(DECODERS.names())
    with pytest.raises(ValueError, match="Unknown `decoder='dens'`.*Did you mean 'dense'"):
        GeneratorOptions(decoder="dens")
    with pytest.raises(ValueError, match="Unknown `likelihood='poisson'`"):
        GeneratorOptions(likelihood="poisson")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`n_steps` must be a whole number of at least 1; found 0"):
        GeneratorOptions(n_steps=0)
    with pytest.raises(TypeError):
        Decoder()  # type: ignore[abstract]


def test_the_divergence_is_that_of_torch() -> None:
    generator = torch.Generator().manual_seed(0)
    mean, log_variance, prior_mean, prior_log_variance = torch.randn(4, 5, 3, generator=generator)
    expected = kl_divergence(
        Normal(mean, (log_variance / 2).exp()), Normal(prior_mean, (prior_log_variance / 2).exp())
    ).sum(dim=1)
    torch.testing.assert_close(_divergence((mean, log_variance), (prior_mean, prior_log_variance)), expected)


def test_a_training_of_other_cells_does_not_go_on(tmp_path: Path) -> None:
    options = GeneratorOptions(**SMALL | {"n_steps": 2})  # type: ignore[arg-type]
    run = TrainingRun("cpu", folder=tmp_path)
    CellGenerator.fit(cells(), options, run=run)
    others = replace(cells(), batches=np.zeros_like(cells().batches))
    with pytest.raises(ValueError, match="batches"):
        CellGenerator.fit(others, options, run=run)


def drawn_by_hand(learned: CellGenerator, of: TextCondition, log_library: float) -> Tensor:
    """Expected counts of a cell in the middle of the latent space, where the condition has one part."""
    network = learned.network
    wordings = torch.from_numpy(of.texts[0]).expand(1, -1, -1)
    given = Condition(wordings, torch.ones(1, wordings.shape[1], dtype=torch.bool), torch.from_numpy(of.profiles[:1]))
    batches = torch.from_numpy(of.batches).float()[None]
    with torch.inference_mode():
        summary = network.summarised(given)
        size = torch.tensor([log_library])
        latent = network.latent_prior(summary, size)[0]
        return (network.logits(latent, batches, summary, given) + size[:, None])[0].double().exp()


def test_counts_are_overdispersed_as_learned(learned: CellGenerator) -> None:
    """Without any spread of latent cells: variance is the mean plus its square over the dispersion."""
    network = copy.deepcopy(learned.network)
    with torch.no_grad():
        parameters = dict(network.prior.named_parameters())
        parameters["5.weight"][3:] = 0
        parameters["5.bias"][3:] = -50.0  # the smallest variance there is
        network.log_dispersion.fill_(np.log(2.0))
    narrow = replace(learned, network=network)
    of = condition(cells(), 0)
    counts = narrow.draw(of, 3000, key="", seed=0, library_size=np.full(3000, 200.0)).counts.toarray()
    means = drawn_by_hand(narrow, of, float(np.log(200.0))).numpy()
    np.testing.assert_allclose(counts.mean(axis=0), means, rtol=0.15, atol=0.1)
    large = means > 2
    assert large.sum() >= 10
    ratio = counts[:, large].var(axis=0) / (means + means**2 / 2)[large]
    assert ratio.mean() == pytest.approx(1, abs=0.1)


def test_batches_are_drawn_in_proportion(learned: CellGenerator) -> None:
    of = condition(cells(), 0)
    for batches, share in (([0.25, 0.75], 0.75), ([3.0, 1.0], 0.25), ([1.0, 0.0], 0.0), ([0.0, 1.0], 1.0)):
        drawn = learned.draw(of._replace(batches=np.array(batches)), 640, key="", seed=0)
        assert drawn.batches.mean() == pytest.approx(share, abs=0.06)
        assert drawn.counts.shape == (640, N_GENES)


def test_batches_of_three_are_drawn_in_proportion() -> None:
    of = cells()
    three = replace(of, batches=np.arange(len(of.types)) % 3, is_measured=np.ones((3, N_GENES), dtype=bool))
    generator = CellGenerator.fit(three, GeneratorOptions(**SMALL | {"n_steps": 2}), run=TrainingRun("cpu"))  # type: ignore[arg-type]
    drawn = generator.draw(condition(of, 0)._replace(batches=np.array([1.0, 1.0, 2.0])), 640, key="", seed=0)
    np.testing.assert_allclose(np.bincount(drawn.batches, minlength=3) / 640, [0.25, 0.25, 0.5], atol=0.06)


def test_latent_vectors_are_drawn_from_the_prior(learned: CellGenerator, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, network = [], learned.network
    logits, n_latent = network.logits, int(SMALL["n_latent"])

    def prior(summary: Tensor, log_library: Tensor) -> tuple[Tensor, Tensor]:
        return torch.full((len(summary), n_latent), 2.0), torch.full((len(summary), n_latent), 2 * np.log(0.25))

    def kept(latent: Tensor, *others: Any) -> Tensor:
        seen.append(latent)
        return logits(latent, *others)

    monkeypatch.setattr(network, "latent_prior", prior)
    monkeypatch.setattr(network, "logits", kept)
    learned.draw(condition(cells(), 0), 640, key="", seed=0)
    latent = torch.cat(seen)
    assert latent.mean().item() == pytest.approx(2, abs=0.03)
    assert latent.std(dim=0).numpy() == pytest.approx([0.25] * n_latent, abs=0.03)


def test_several_texts_stand_for_one_by_their_weights(learned: CellGenerator) -> None:
    """One part of all the weight is that part; two halves of the same text are that text."""
    first, second = condition(cells(), 0), condition(cells(), 1)
    texts, profiles = [*first.texts, *second.texts], np.concatenate([first.profiles, second.profiles])
    both = first._replace(texts=texts, profiles=profiles, weights=np.array([0.0, 1.0]))
    twice = first._replace(texts=[*first.texts] * 2, profiles=first.profiles[[0, 0]], weights=np.array([0.5, 0.5]))
    for found, expected in ((both, second), (twice, first)):
        one, other = (learned.draw(each, 50, key="", seed=0).counts.toarray() for each in (found, expected))
        assert (one != other).mean() < 0.01  # rounding may turn a count
    halves = learned.draw(both._replace(weights=np.array([0.5, 0.5])), 200, key="", seed=0).counts.toarray()
    of_types = halves.mean(axis=0)[:30].reshape(3, 10).mean(axis=1)
    assert of_types[:2].min() > 1.5 * of_types[2]


def test_a_zero_inflated_generator_leaves_counts_out() -> None:
    options = GeneratorOptions(**SMALL | {"likelihood": "zinb", "n_steps": 2})  # type: ignore[arg-type]
    generator = CellGenerator.fit(cells(), options, run=TrainingRun("cpu"))
    shares = []
    for base in (-50.0, 0.0, 50.0):
        with torch.no_grad():
            generator.network.dropout.copy_(torch.stack([torch.full((N_GENES,), base), torch.zeros(N_GENES)]))
        counts = generator.draw(condition(cells(), 0), 300, key="", seed=0).counts
        shares.append(counts.nnz)
    assert shares[2] == 0
    assert shares[1] == pytest.approx(shares[0] / 2, rel=0.05)


def test_the_scale_of_library_sizes_is_that_of_the_training_cells() -> None:
    few = GeneratorOptions(**SMALL | {"n_steps": 1})  # type: ignore[arg-type]
    scale = CellGenerator.fit(cells(), few, run=TrainingRun("cpu")).network.library_scale
    logarithms = np.log(cells().counts.sum(axis=1))
    np.testing.assert_allclose(scale, [logarithms.mean(), logarithms.std()], rtol=1e-5)
    same = replace(cells(), counts=sparse.csr_matrix(np.full((180, N_GENES), 2)))
    scale = CellGenerator.fit(same, few, run=TrainingRun("cpu")).network.library_scale
    np.testing.assert_allclose(scale, [np.log(80.0), 0.01], rtol=1e-5)  # no division by zero


def test_steps_show_types_evenly_and_at_least_one_wording() -> None:
    """The second type has few cells, and the last type of the texts none."""
    every = cells()
    rows = np.r_[0:60, 60:65, 120:180]
    some = replace(
        every,
        counts=every.counts[rows],
        types=every.types[rows],
        batches=every.batches[rows],
        texts=np.concatenate([every.texts, every.texts[:1]]),
    )
    steps = list(islice(_Steps(some, GeneratorOptions(**SMALL)), 20))  # type: ignore[arg-type]
    types = torch.cat([step.types for step in steps])
    np.testing.assert_allclose(types.bincount() / len(types), [1 / 3] * 3, atol=0.06)
    assert all(len(step.counts) == len(step.batches) == 48 for step in steps)
    known = {
        (tuple(row), int(type_), int(batch))
        for row, type_, batch in zip(some.counts.toarray(), some.types, some.batches, strict=True)
    }
    for row, type_, batch in zip(steps[0].counts.int().numpy(), steps[0].types, steps[0].batches, strict=True):
        assert (tuple(row), int(type_), int(batch)) in known
    n_seen = {tuple(row) for step in steps for row in step.counts[step.types == 0].int().numpy()}
    assert len(n_seen) > 50
    is_wording = torch.cat([step.is_wording for step in steps])
    assert is_wording.any(dim=1).all()
    # Each is there by itself in half of the steps; one in three is there anyway.
    np.testing.assert_allclose(is_wording.float().mean(dim=0), [1 / 3 + 2 / 3 * 0.5] * 3, atol=0.05)


@pytest.mark.parametrize("name", ["texts", "profiles", "is_measured", "types", "counts"])
def test_a_training_of_other_data_does_not_go_on(name: str, tmp_path: Path) -> None:
    options, run = GeneratorOptions(**SMALL | {"n_steps": 1}), TrainingRun("cpu", folder=tmp_path)  # type: ignore[arg-type]
    CellGenerator.fit(cells(), options, run=run)
    other = replace(cells(), **{name: getattr(cells(), name).copy()})
    values = other.counts.data if name == "counts" else getattr(other, name)
    values.flat[0] = 1 - values.flat[0]
    with pytest.raises(ValueError, match=f"other data or options .*{name}"):
        CellGenerator.fit(other, options, run=run)
