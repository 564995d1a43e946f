"""What every fusion head promises, over every registered one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from scmpt_scverse.module._contributions import contributions, logits_by_coalition
from scmpt_scverse.module._scmpt_module import FUSIONS, SCMPTModule

DIMS = {"text": 6, "expression": 4, "protein": 3}

Build = Callable[..., SCMPTModule]
Inputs = dict[str, torch.Tensor]


@pytest.fixture(params=FUSIONS.names())
def build(request: pytest.FixtureRequest) -> Build:
    def build(*, seed: int = 0, **kwargs: Any) -> SCMPTModule:
        torch.manual_seed(seed)
        return SCMPTModule(DIMS, 5, fusion=request.param, **{"n_hidden": 16, **kwargs}).eval()

    return build


@pytest.fixture
def inputs() -> Inputs:
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(8, dim, generator=generator) for name, dim in DIMS.items()}


@pytest.mark.parametrize("n_layers", [1, 3])
def test_shapes(build: Build, inputs: Inputs, n_layers: int) -> None:
    module = build(n_layers=n_layers, dropout_rate=0.3)
    assert module(inputs).shape == (8, 5)
    assert module.represent(inputs).shape == (8, module.head.fused_dim)
    assert torch.isfinite(module(inputs)).all()


def test_rows_do_not_see_one_another(build: Build, inputs: Inputs) -> None:
    module = build()
    alone = torch.cat([module({name: value[row : row + 1] for name, value in inputs.items()}) for row in range(8)])
    assert torch.allclose(alone, module(inputs), atol=1e-6)


def test_order_of_the_dictionary_does_not_matter(build: Build, inputs: Inputs) -> None:
    module = build()
    assert torch.equal(module(dict(reversed(inputs.items()))), module(inputs))


def test_every_modality_counts(build: Build, inputs: Inputs) -> None:
    module = build()
    for name in DIMS:
        changed = {**inputs, name: inputs[name] + 1}
        assert not torch.allclose(module(changed), module(inputs)), name


def test_same_seed_same_head(build: Build, inputs: Inputs) -> None:
    assert torch.equal(build()(inputs), build()(inputs))


def test_survives_save_and_load(build: Build, inputs: Inputs, tmp_path: Path) -> None:
    module = build()
    module.fit_standardisers(inputs)
    torch.save(module.state_dict(), tmp_path / "head.pt")
    restored = build(seed=1)
    assert not torch.equal(restored(inputs), module(inputs))
    restored.load_state_dict(torch.load(tmp_path / "head.pt", weights_only=True))
    assert torch.equal(restored(inputs), module(inputs))


def test_learns(build: Build, inputs: Inputs) -> None:
    module = build().train()
    labels = torch.arange(8) % 5
    optimiser = torch.optim.Adam(module.parameters(), lr=0.01)
    for _ in range(300):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(module(inputs), labels).backward()
        optimiser.step()
    assert (module.eval()(inputs).argmax(1) == labels).all()


def test_unreadable_cells_stay_nan(build: Build, inputs: Inputs) -> None:
    inputs["text"][2] = float("nan")
    logits = build()(inputs)
    assert torch.isnan(logits).any(dim=1).tolist() == [row == 2 for row in range(8)]


def test_does_without_modalities(build: Build, inputs: Inputs) -> None:
    module = build()
    whole = module(inputs)
    for name in DIMS:
        without = {other: value for other, value in inputs.items() if other != name}
        alone = {name: inputs[name]}
        for some in (without, alone):
            assert module(some).shape == (8, 5)
            assert torch.isfinite(module(some)).all()
            assert not torch.allclose(module(some), whole), name


def test_contributions_sum_to_what_all_modalities_add(build: Build, inputs: Inputs) -> None:
    module = build()
    labels = torch.arange(8) % 5
    logits = logits_by_coalition(module, inputs)
    assert len(logits) == 2 ** len(DIMS)
    shares = contributions(logits, tuple(inputs), labels)
    gain = (logits[tuple(inputs)].log_softmax(1) - logits[()].log_softmax(1)).gather(1, labels[:, None])[:, 0]
    assert torch.allclose(shares.sum(dim=1), gain, atol=1e-5)
