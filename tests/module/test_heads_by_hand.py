"""What each fusion head computes, written out."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from scmpt_scverse.module import FUSIONS, CellSplit, FitOptions, FusionClassifier, FusionHead, HeadOptions
from scmpt_scverse.module._fusion_attention import AttentionFusion
from scmpt_scverse.module._fusion_base import concatenated, dense_layers
from scmpt_scverse.module._fusion_gated import GatedFusion
from scmpt_scverse.module._fusion_stacked import StackedFusion

DIMS = {"a": 3, "b": 2}
N, N_LABELS = 6, 4


@pytest.fixture
def inputs() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(N, dim, generator=generator) for name, dim in DIMS.items()}


def test_a_missing_modality_is_at_its_mean(inputs: dict[str, Tensor]) -> None:
    nothing = torch.zeros(N, 3)
    torch.testing.assert_close(concatenated(inputs, DIMS), torch.cat([inputs["a"], inputs["b"]], dim=1))
    torch.testing.assert_close(concatenated({"b": inputs["b"]}, DIMS), torch.cat([nothing, inputs["b"]], dim=1))


def test_dense_layers_are_as_many_and_as_wide_as_asked_for() -> None:
    layers = dense_layers(5, 7, 3, 0.25)
    assert [type(each) for each in layers] == [nn.Linear, nn.ReLU, nn.Dropout] * 3
    assert [tuple(each.weight.shape) for each in layers if isinstance(each, nn.Linear)] == [(7, 5), (7, 7), (7, 7)]
    assert {each.p for each in layers if isinstance(each, nn.Dropout)} == {0.25}
    assert len(dense_layers(5, 7, 0, 0.25)) == 0


@pytest.mark.parametrize("n_layers", [1, 3])
def test_gates_weigh_one_hidden_layer_per_modality(n_layers: int, inputs: dict[str, Tensor]) -> None:
    head = GatedFusion(DIMS, N_LABELS, HeadOptions(n_hidden=5, n_layers=n_layers)).eval()
    weights = dict(head.first.named_parameters())
    hidden = [
        functional.linear(inputs[name], weights[f"{number}.0.weight"], weights[f"{number}.0.bias"]).relu()
        for number, name in enumerate(DIMS)
    ]
    gates = head.gates(torch.cat([inputs["a"], inputs["b"]], dim=1)).softmax(dim=1)
    expected = head.hidden(gates[:, :1] * hidden[0] + gates[:, 1:] * hidden[1])
    torch.testing.assert_close(head.fuse(inputs), expected)
    torch.testing.assert_close(head(inputs), head.output(expected))
    torch.testing.assert_close(head.fuse({"b": inputs["b"]}), head.hidden(hidden[1]))  # alone, it has all of the weight
    assert sum(isinstance(each, nn.Linear) for each in head.hidden) == n_layers - 1


def test_attention_is_a_transformer_layer_over_modalities_and_a_query(inputs: dict[str, Tensor]) -> None:
    torch.manual_seed(0)
    head = AttentionFusion(DIMS, N_LABELS, HeadOptions(n_hidden=5)).eval()
    layer = nn.TransformerEncoderLayer(256, 4, 512, batch_first=True, norm_first=True).eval()
    layer.load_state_dict(head.attend.state_dict())
    tokens = [token(inputs[name]) for token, name in zip(head.tokens, DIMS, strict=True)]
    for names in (["a", "b"], ["b"]):
        some = [head.query.expand(N, -1), *(tokens[list(DIMS).index(name)] for name in names)]
        expected = head.hidden(layer(torch.stack(some, dim=1))[:, 0])
        torch.testing.assert_close(head.fuse({name: inputs[name] for name in names}), expected)
        torch.testing.assert_close(head({name: inputs[name] for name in names}), head.output(expected))
    assert head.query.std().item() == pytest.approx(1 / 16, rel=0.15)


@pytest.mark.parametrize("name", ["attention", "gated", "concat"])
def test_dropout_works_in_training_alone(name: str, inputs: dict[str, Tensor]) -> None:
    for share in (0.0, 0.5):
        head: FusionHead = FUSIONS.load(name)(DIMS, N_LABELS, HeadOptions(n_hidden=8, dropout_rate=share))
        with torch.no_grad():
            assert torch.equal(head(inputs), head(inputs)) is (share == 0)
            head.eval()
            assert torch.equal(head(inputs), head(inputs))


@pytest.mark.parametrize("name", FUSIONS.names())
def test_the_width_of_what_is_fused_is_as_said(name: str, inputs: dict[str, Tensor]) -> None:
    head: FusionHead = FUSIONS.load(name)(DIMS, N_LABELS, HeadOptions(n_hidden=7))
    assert head.fuse(inputs).shape == (N, head.fused_dim)
    assert head.fused_dim == (2 * N_LABELS if name == "stacked" else 7)
    assert head.default_train_size == (1.0 if name == "stacked" else 0.9)


def test_a_stacked_head_begins_with_equal_weights_and_shares_out_that_of_what_is_missing(
    inputs: dict[str, Tensor],
) -> None:
    head = StackedFusion(DIMS, N_LABELS)
    torch.testing.assert_close(head.weights.detach(), torch.tensor([0.5, 0.5]))
    logs = [layer(inputs[name]).log_softmax(dim=1) for layer, name in zip(head.heads, DIMS, strict=True)]
    torch.testing.assert_close(head(inputs), (logs[0] + logs[1]) / 2)
    with torch.no_grad():
        head.weights.copy_(torch.tensor([0.0, 0.0]))
    torch.testing.assert_close(head(inputs), (logs[0] + logs[1]) / 2)  # of no weight at all, equal ones
    with torch.no_grad():
        head.weights.copy_(torch.tensor([1.5, 1e-10]))  # nearly none is still all of what is there
    torch.testing.assert_close(head({"b": inputs["b"]}), 1.5 * logs[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_hidden": 0}, "`n_hidden` must be a whole number of at least 1; found 0"),
        ({"n_layers": 0}, "`n_layers` must be a whole number of at least 1; found 0"),
        ({"dropout_rate": -0.1}, r"`dropout_rate` must be in \[0, 1\); found -0.1"),
        ({"dropout_rate": 1.0}, r"`dropout_rate` must be in \[0, 1\); found 1.0"),
    ],
)
def test_impossible_sizes(options: dict[str, Any], message: str) -> None:
    HeadOptions(n_hidden=1, n_layers=1, dropout_rate=0.0)
    with pytest.raises(ValueError, match=message):
        HeadOptions(**options)


def test_a_further_training_keeps_the_scale_and_forgets_the_temperature() -> None:
    values = {"a": torch.randn(40, 3, generator=torch.Generator().manual_seed(0)).numpy() * 3 + 1}
    split = CellSplit(*(torch.arange(n, m).numpy() for n, m in ((0, 40), (0, 0), (0, 0))))
    codes = torch.arange(40).numpy() % 2
    classifier = FusionClassifier({"a": 3}, 2)
    for keeps_scale, shift in ((None, 0), (True, 5), (False, 5)):
        classifier.temperature.fill_(3.0)
        before = classifier.neutral("a").clone()
        moved = {"a": values["a"] + shift}
        scale = {} if keeps_scale is None else {"keeps_scale": keeps_scale}
        classifier.fit(moved, codes, split, FitOptions(), **scale)
        assert classifier.temperature == 1
        assert torch.equal(classifier.neutral("a"), before) is bool(keeps_scale)
    torch.testing.assert_close(classifier.neutral("a"), torch.from_numpy(values["a"].mean(axis=0)) + 5)
    standard = classifier.standardised({"a": torch.from_numpy(moved["a"])})
    torch.testing.assert_close(functional.mse_loss(standard["a"], torch.zeros(40, 3)), torch.tensor(1.0))
