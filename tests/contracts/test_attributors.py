"""What every attributor promises, over every implementation."""

from typing import Any

import pytest
import torch
from torch import Tensor

from scmpt_scverse.attribution import ATTRIBUTORS
from scmpt_scverse.attribution._base import Attributor, total_difference

_WEIGHTS = torch.tensor([[[2.0, -1.0, 0.5, 0.0]], [[0.3, 0.2, 0.1, -3.0]], [[1.0, 1.0, 1.0, 1.0]]])
_OPTIONS: dict[str, dict[str, Any]] = {"lime": {"n_samples": 200}, "kernel_shap": {"n_samples": 200}}


def _linear(gates: Tensor, cells: Tensor) -> Tensor:
    """Three labels, of which each is a weighted sum of the genes of two modalities; the second counts twice."""
    return torch.einsum("bmg,lg->bl", gates * torch.tensor([1.0, 2.0])[:, None], _WEIGHTS.squeeze(1))


def _gates() -> Tensor:
    gates = torch.ones((3, 2, 4))
    gates[1, :, 3] = 0  # a gene that the cell does not express
    return gates


_TARGET = torch.tensor([0, 1, 1])


@pytest.fixture(params=ATTRIBUTORS.names())
def attributor(request: pytest.FixtureRequest) -> Attributor:
    made: Attributor = ATTRIBUTORS.load(request.param)(**_OPTIONS.get(request.param, {}))
    return made


def test_shape_and_genes_that_are_not_there(attributor: Attributor) -> None:
    found = attributor.attribute(_linear, _gates(), _TARGET)
    assert found.scores.shape == (3, 2, 4)
    assert found.total.shape == (3, 4)
    assert torch.isfinite(found.scores).all()
    assert not found.scores[1, :, 3].any()
    assert not found.total[1, 3]


def test_same_seed_same_scores_and_the_global_state_stays(attributor: Attributor) -> None:
    again = type(attributor)(**{name: value for name, value in attributor.__dict__.items() if name != "seed"})
    state = torch.random.get_rng_state()
    first = attributor.attribute(_linear, _gates(), _TARGET)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(first.scores, again.attribute(_linear, _gates(), _TARGET).scores)


def test_a_linear_function_is_explained_by_its_weights(attributor: Attributor) -> None:
    if type(attributor).__name__ == "RandomAttribution":
        pytest.skip("a control")
    found = attributor.attribute(_linear, _gates(), _TARGET)
    expected = _WEIGHTS.squeeze(1)[_TARGET].unsqueeze(1) * torch.tensor([1.0, 2.0])[None, :, None] * _gates()
    shrinks = type(attributor).__name__ == "Lime"  # a ridge
    torch.testing.assert_close(found.scores, expected, atol=0.3 if shrinks else 1e-3, rtol=0)
    torch.testing.assert_close(found.total, found.scores.sum(1))
    if attributor.is_complete:
        difference = total_difference(_linear, _gates(), _TARGET)
        torch.testing.assert_close(found.total.sum(1), difference, atol=1e-3, rtol=0)
