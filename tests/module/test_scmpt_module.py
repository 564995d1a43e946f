"""The head: standardised inputs, the paper's layers, names of modalities that could collide."""

import pytest
import torch
from sklearn.preprocessing import StandardScaler

from scmpt_scverse.module._scmpt_module import SCMPTModule
from scmpt_scverse.module._standardiser import Standardiser


def test_standardiser_agrees_with_scikit_learn() -> None:
    values = torch.randn(50, 7) * torch.arange(7) + 3  # the first feature is constant
    standardise = Standardiser(7)
    standardise.fit(values)
    expected = torch.from_numpy(StandardScaler().fit_transform(values.double().numpy())).float()
    assert torch.allclose(standardise(values)[:, 1:], expected[:, 1:], atol=1e-5)
    assert torch.allclose(standardise(values)[:, 0], torch.zeros(50), atol=1e-5)


def test_what_was_constant_in_training_says_nothing() -> None:
    training = torch.randn(50, 2)
    training[:, 1] = 1e-33 * torch.randn(50)  # a dead feature of an encoder
    standardise = Standardiser(2)
    standardise.fit(training)
    query = torch.tensor([[0.5, 3.0]], requires_grad=True)
    assert standardise(training)[:, 1].tolist() == [0] * 50
    standardise(query).sum().backward()
    assert query.grad is not None
    assert query.grad[0, 1] == 0


def test_small_units_are_no_constants() -> None:
    values = torch.randn(50, 3) * 1e-8
    standardise = Standardiser(3)
    standardise.fit(values)
    assert torch.allclose(standardise(values).std(dim=0, correction=0), torch.ones(3), atol=1e-3)


def test_modalities_weigh_the_same_whatever_their_width() -> None:
    module = SCMPTModule({"wide": 300, "narrow": 20}, 2, n_hidden=4)
    inputs = {"wide": torch.randn(500, 300) * 7, "narrow": torch.randn(500, 20)}
    module.fit_standardisers(inputs)
    variance = {name: values.var(dim=0).sum().item() for name, values in module.standardised(inputs).items()}
    assert variance["wide"] == pytest.approx(variance["narrow"], rel=0.01)
    assert sum(variance.values()) == pytest.approx(320, rel=0.01)


def test_layers_are_those_of_the_paper() -> None:
    module = SCMPTModule({"text": 1024, "expression": 512}, 11)
    shapes = [tuple(parameter.shape) for parameter in module.parameters()]
    assert shapes == [(4096, 1536), (4096,), (11, 4096), (11,)]


@pytest.mark.parametrize("name", ["keys", "training", "a_b", "Protein ADT"])
def test_any_modality_name(name: str) -> None:
    module = SCMPTModule({name: 3, "text": 2}, 4, n_hidden=8)
    inputs = {name: torch.randn(5, 3), "text": torch.randn(5, 2)}
    assert module(inputs).shape == (5, 4)
    assert module.represent(inputs).shape == (5, 8)
    restored = SCMPTModule({name: 3, "text": 2}, 4, n_hidden=8)
    restored.load_state_dict(module.state_dict())
    assert torch.equal(restored(inputs), module(inputs))


def test_unknown_fusion_lists_the_choices() -> None:
    with pytest.raises(
        ValueError,
        match="Unknown `fusion='concatenate'`. Choose one of 'concat', 'gated', .* Did you mean 'concat'",
    ):
        SCMPTModule({"text": 2}, 2, fusion="concatenate")
