from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from scmpt_scverse.encoders._scgpt_checkpoint import ScGPTSettings
from scmpt_scverse.encoders.pretraining._batches import Batch
from scmpt_scverse.encoders.pretraining._objectives import PretrainingModule
from scmpt_scverse.encoders.pretraining._recipe import OBJECTIVES

SETTINGS = ScGPTSettings(embsize=16, nheads=2, d_hid=32, nlayers=3, pad_token="<pad>", pad_value=-2)
N_TOKENS, N_CELLS, N_VISIBLE, N_HIDDEN, N_ASKED = 60, 6, 10, 7, 20
N_COMPONENTS = (5, 3)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def module_with(objectives: Sequence[str]) -> PretrainingModule:
    weights = {name: 0.5 + number for number, name in enumerate(objectives)}
    return PretrainingModule(SETTINGS.network(N_TOKENS), SETTINGS, n_components=N_COMPONENTS, weights=weights)


@pytest.fixture
def module() -> PretrainingModule:
    return module_with(OBJECTIVES)


@pytest.fixture
def batch() -> Batch:
    """Cells of the second study; the later ones have fewer tokens."""
    lengths = torch.arange(N_CELLS)[:, None]
    is_token = torch.arange(N_VISIBLE + 1) <= N_VISIBLE - lengths
    is_hidden = torch.arange(N_HIDDEN) < N_HIDDEN - lengths
    bins = torch.randint(1, SETTINGS.n_bins, is_token.shape) * is_token
    bins[:, 0] = 0
    return Batch(
        study=1,
        gene_ids=torch.randint(3, N_TOKENS, is_token.shape) * is_token,
        bins=bins,
        is_token=is_token,
        hidden_ids=torch.randint(3, N_TOKENS, is_hidden.shape) * is_hidden,
        hidden_bins=torch.randint(1, SETTINGS.n_bins, is_hidden.shape) * is_hidden,
        is_hidden=is_hidden,
        asked_ids=torch.randperm(N_TOKENS)[:N_ASKED],
        asked_expression=torch.randn(N_CELLS, N_ASKED),
        summary=torch.randn(N_CELLS, N_COMPONENTS[1]),
    )


def zeroed(layer: torch.nn.Linear) -> None:
    for parameter in layer.parameters():
        torch.nn.init.zeros_(parameter)


@torch.no_grad()
def test_queries_change_nothing_but_themselves(module: PretrainingModule, batch: Batch) -> None:
    transformer = module.network.transformer_encoder
    tokens, queries = torch.randn(N_CELLS, N_VISIBLE + 1, 16), torch.randn(N_CELLS, N_HIDDEN, 16)

    cells, rows = transformer.with_queries(tokens, batch.is_token, queries)

    torch.testing.assert_close(cells, transformer(tokens, batch.is_token))
    assert rows.shape == queries.shape
    order = torch.randperm(N_HIDDEN)
    torch.testing.assert_close(transformer.with_queries(tokens, batch.is_token, queries[:, order])[1], rows[:, order])
    torch.testing.assert_close(transformer.with_queries(tokens, batch.is_token, queries[:, :1])[1], rows[:, :1])
    # Though each reads the tokens, and says something of its own.
    other = transformer.with_queries(tokens + torch.randn(16), batch.is_token, queries)[1]
    assert (other - rows).abs().amax(dim=2).min() > 0.01
    assert (rows[:, 1:] - rows[:, :1]).abs().amax(dim=2).min() > 0.01


@torch.no_grad()
def test_a_query_is_a_token_that_nobody_reads(module: PretrainingModule) -> None:
    transformer = module.network.transformer_encoder
    tokens = torch.randn(N_CELLS, N_VISIBLE, 16)
    is_token = torch.ones(N_CELLS, N_VISIBLE, dtype=torch.bool)

    _, rows = transformer.with_queries(tokens, is_token, tokens[:, :1])

    torch.testing.assert_close(rows[:, 0], transformer(tokens, None))


@pytest.mark.parametrize("objectives", [OBJECTIVES, *((name,) for name in OBJECTIVES)])
def test_losses_are_those_asked_for(batch: Batch, objectives: tuple[str, ...]) -> None:
    module = module_with(objectives)

    losses = module(batch)

    assert set(losses) == set(objectives)
    assert all(loss.shape == () and loss.isfinite() and loss > 0 for loss in losses.values())
    expected = sum(module.weights[name] * loss.item() for name, loss in losses.items())
    assert module.total(losses).item() == pytest.approx(expected, rel=1e-5)
    module.total(losses).backward()
    embedding = module.network.encoder.embedding.weight.grad
    assert embedding is not None
    assert embedding.isfinite().all()
    assert embedding.any()


@pytest.mark.parametrize("objectives", [OBJECTIVES, *((name,) for name in OBJECTIVES)])
@torch.no_grad()
def test_padding_does_not_matter(batch: Batch, objectives: tuple[str, ...]) -> None:
    module = module_with(objectives)

    def padded(tensor: Tensor, value: int = 0) -> Tensor:
        return F.pad(tensor, (0, 4), value=value)

    # What stands in padding does not matter either, so it may be any gene and value.
    wider = batch._replace(
        gene_ids=padded(batch.gene_ids, 7),
        bins=padded(batch.bins, 9),
        is_token=padded(batch.is_token),
        hidden_ids=padded(batch.hidden_ids, 8),
        hidden_bins=padded(batch.hidden_bins, 50),
        is_hidden=padded(batch.is_hidden),
    )

    losses, with_padding = module(batch), module(wider)

    for name in objectives:
        torch.testing.assert_close(with_padding[name], losses[name])
    # They do see what is no padding.
    seen = module(batch._replace(bins=torch.where(batch.bins > 0, 51 - batch.bins, 0)))
    for name in objectives:
        assert (seen[name] - losses[name]).abs() > 1e-6


@torch.no_grad()
def test_losses_of_saying_nothing(module: PretrainingModule, batch: Batch) -> None:
    assert module.decoder is not None
    assert module.mvc_decoder is not None
    assert module.expression_decoder is not None
    output = module.decoder.fc[-1]
    assert isinstance(output, torch.nn.Linear)
    head = module.summary_heads[batch.study]
    assert isinstance(head, torch.nn.Linear)
    for layer in (output, module.mvc_decoder.W, module.expression_decoder.W, head):
        zeroed(layer)

    losses = module(batch)

    bins = batch.hidden_bins[batch.is_hidden].float().square().mean() / (SETTINGS.n_bins**2 / 12)
    torch.testing.assert_close(losses["masked_value"], bins)
    torch.testing.assert_close(losses["cell_value"], bins)
    torch.testing.assert_close(losses["cell_expression"], batch.asked_expression.square().mean())
    torch.testing.assert_close(losses["cell_summary"], torch.tensor(1.0))


@torch.no_grad()
def test_each_study_has_a_head_of_its_own(module: PretrainingModule, batch: Batch) -> None:
    first = batch._replace(study=0, summary=torch.randn(N_CELLS, N_COMPONENTS[0]))
    before = module(first)["cell_summary"], module(batch)["cell_summary"]
    head = module.summary_heads[0]
    assert isinstance(head, torch.nn.Linear)
    zeroed(head)

    after = module(first)["cell_summary"], module(batch)["cell_summary"]

    assert after[0] != before[0]
    assert torch.equal(after[1], before[1])
