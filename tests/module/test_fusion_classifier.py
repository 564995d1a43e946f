"""The head: standardised inputs, the paper's layers, names of modalities that could collide."""

import pytest
import torch
from sklearn.preprocessing import StandardScaler

from scmpt_scverse.module import FUSIONS, FusionClassifier, FusionHead, HeadOptions
from scmpt_scverse.module._fusion_classifier import fusion_name
from scmpt_scverse.module._fusion_concat import ConcatFusion
from scmpt_scverse.module._standardiser import Standardiser, balanced_scales


def test_standardiser_agrees_with_scikit_learn() -> None:
    values = torch.randn(50, 7) * torch.arange(7) + 3  # the first feature is constant
    standardise = Standardiser(7)
    standardise.fit([values])
    expected = torch.from_numpy(StandardScaler().fit_transform(values.double().numpy())).float()
    assert torch.allclose(standardise(values)[:, 1:], expected[:, 1:], atol=1e-5)
    assert torch.allclose(standardise(values)[:, 0], torch.zeros(50), atol=1e-5)


def test_what_was_constant_in_training_says_nothing() -> None:
    training = torch.randn(50, 2)
    training[:, 1] = 1e-33 * torch.randn(50)  # a dead feature of an encoder
    standardise = Standardiser(2)
    standardise.fit([training])
    query = torch.tensor([[0.5, 3.0]], requires_grad=True)
    assert standardise(training)[:, 1].tolist() == [0] * 50
    standardise(query).sum().backward()
    assert query.grad is not None
    assert query.grad[0, 1] == 0


def test_blocks_of_any_size_give_the_mean_and_deviation_of_all_cells() -> None:
    values = torch.randn(70, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.1, 1, 5, 20]) + 40
    for sizes in ([70], [1, 69], [40, 10, 20], [7] * 10):
        standardise = Standardiser(4)
        standardise.fit(values.split(sizes))
        torch.testing.assert_close(standardise.mean, values.mean(dim=0))
        torch.testing.assert_close(standardise.std, values.std(dim=0, correction=0))


def test_small_units_are_no_constants() -> None:
    values = torch.randn(50, 3) * 1e-8
    standardise = Standardiser(3)
    standardise.fit([values])
    assert torch.allclose(standardise(values).std(dim=0, correction=0), torch.ones(3), atol=1e-3)


def test_modalities_weigh_the_same_whatever_their_width() -> None:
    module = FusionClassifier({"wide": 300, "narrow": 20}, 2)
    inputs = {"wide": torch.randn(500, 300) * 7, "narrow": torch.randn(500, 20)}
    for name, values in inputs.items():
        module._standardiser(name).fit([values])
    variance = {name: values.var(dim=0).sum().item() for name, values in module.standardised(inputs).items()}
    assert variance["wide"] == pytest.approx(variance["narrow"], rel=0.01)
    assert sum(variance.values()) == pytest.approx(320, rel=0.01)


def test_a_head_that_is_registered_as_an_instance_is_not_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    dims = {"text": 3, "expression": 2}
    head = ConcatFusion(dims, 4, HeadOptions(n_hidden=8))
    monkeypatch.setattr(FUSIONS, "load", lambda name: head)
    first, second = (FusionClassifier(dims, 4, fusion="concat") for _ in range(2))
    with torch.no_grad():
        for parameter in first.head.parameters():
            parameter.zero_()
    assert all(parameter.abs().sum() > 0 for parameter in (*second.head.parameters(), *head.parameters()))


def test_layers_are_those_of_the_paper() -> None:
    module = FusionClassifier({"text": 1024, "expression": 512}, 11, fusion="concat")
    shapes = [tuple(parameter.shape) for parameter in module.parameters()]
    assert shapes == [(4096, 1536), (4096,), (11, 4096), (11,)]


@pytest.mark.parametrize("name", ["keys", "training", "a_b", "Protein ADT"])
def test_any_modality_name(name: str) -> None:
    module = FusionClassifier({name: 3, "text": 2}, 4, fusion="concat", options=HeadOptions(n_hidden=8))
    inputs = {name: torch.randn(5, 3), "text": torch.randn(5, 2)}
    assert module(inputs).shape == (5, 4)
    represented = module.represent(inputs)
    assert represented.shape == (5, 8)
    assert not represented.requires_grad
    restored = FusionClassifier({name: 3, "text": 2}, 4, fusion="concat", options=HeadOptions(n_hidden=8))
    restored.load_state_dict(module.state_dict())
    assert torch.equal(restored(inputs), module(inputs))


def test_a_head_is_named_by_its_registered_name_or_its_class() -> None:
    head = ConcatFusion({"text": 3}, 2, HeadOptions(n_hidden=4))
    assert [fusion_name(each) for each in ("concat", ConcatFusion, head)] == ["concat", "ConcatFusion", "ConcatFusion"]


def test_unknown_fusion_lists_the_choices() -> None:
    with pytest.raises(
        ValueError,
        match="Unknown `fusion='concatenate'`. Choose one of 'stacked', 'concat', .* Did you mean 'concat'",
    ):
        FusionClassifier({"text": 2}, 2, fusion="concatenate")


def test_expression_of_genes_is_clipped_at_ten_and_nothing_else_is() -> None:
    module = FusionClassifier({"genes": 2, "other": 8}, 3, of_genes=["genes"])
    values = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    module._standardiser("genes").fit([values])
    module._standardiser("other").fit([values.repeat(1, 4)])
    std = values.std(dim=0, correction=0)
    soft = std + std.median()
    unit = soft * (std / soft).square().mean().sqrt()  # so that the variance is 1 on average
    steps = torch.tensor([[9.0, -9.0], [11.0, -11.0], [500.0, -500.0]])
    mean = values.mean(dim=0)
    found = module.standardised({"genes": mean + unit * steps, "other": (mean + std * steps).repeat(1, 4)})
    scale = (5 / 2) ** 0.5
    expected = scale * torch.tensor([[9.0, -9.0], [10.0, -10.0], [10.0, -10.0]])
    torch.testing.assert_close(found["genes"], expected, atol=1e-3, rtol=1e-4)
    scale = (5 / 8) ** 0.5
    assert float(found["other"].max()) == pytest.approx(scale * 500, rel=1e-4)
    assert float(found["other"].min()) == pytest.approx(-scale * 500, rel=1e-4)


def test_genes_that_hardly_vary_weigh_less_and_variance_is_one_on_average() -> None:
    spread = torch.tensor([0.01, 0.1, 1.0, 2.0, 0.0])
    values = torch.randn(500, 5, generator=torch.Generator().manual_seed(0)).clamp(-3, 3) * spread
    genes, other = Standardiser(5, are_genes=True), Standardiser(5)
    genes.fit([values])
    other.fit([values])
    found = genes(values).std(dim=0, correction=0)
    assert found[:4].diff().gt(0).all()
    assert found[4] == 0
    assert float(found[:4].square().mean()) == pytest.approx(1, abs=1e-4)
    std = values.std(dim=0, correction=0)[:4]
    expected = std / (std + std.median())
    torch.testing.assert_close(found[:4] / found[3], expected / expected[3], rtol=1e-3, atol=0)
    torch.testing.assert_close(other(values).std(dim=0, correction=0)[:4], torch.ones(4), rtol=1e-3, atol=0)


def test_scales_balance_widths_and_keep_a_variance_of_one_on_average() -> None:
    scales = balanced_scales({"wide": 300, "narrow": 20, "middle": 100})
    assert scales == pytest.approx({"wide": (140 / 300) ** 0.5, "narrow": 7**0.5, "middle": 1.4**0.5})
    assert balanced_scales({"alone": 7}) == {"alone": 1}
    assert balanced_scales({"a": 3, "b": 4})["a"] == pytest.approx((3.5 / 3) ** 0.5)


def test_what_is_constant_is_a_matter_of_share() -> None:
    """Features of a millionth of the largest spread are constant but for rounding; of a hundred thousandth, not."""
    values = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1e3, 1e-2, 1e-4])
    standardise = Standardiser(3)
    standardise.fit([values])
    assert standardise.std.isinf().tolist() == [False, False, True]
    assert (standardise(values)[:, 2] == 0).all()


def test_logits_are_calibrated_whichever_head_gives_them() -> None:
    dims, generator = {"a": 3, "b": 2}, torch.Generator().manual_seed(0)
    inputs = {name: torch.randn(5, dim, generator=generator) for name, dim in dims.items()}
    module = FusionClassifier(dims, 4, fusion="concat", options=HeadOptions(n_hidden=8)).eval()
    module.temperature.fill_(2.5)
    raw = module.head(module.standardised(inputs))
    torch.testing.assert_close(module(inputs), raw / 2.5)
    torch.testing.assert_close(module.logits_by_fold(inputs, []), raw[:, None] / 2.5)
    other = {name: 2 * values for name, values in module.head.state_dict().items()}
    by_fold = module.logits_by_fold(inputs, [module.head.state_dict(), other])
    torch.testing.assert_close(by_fold[:, 0], raw / 2.5)
    torch.testing.assert_close(module(inputs), raw / 2.5)  # another fold leaves the head as it is
    module.head.load_state_dict(other)
    torch.testing.assert_close(by_fold[:, 1], module(inputs))
    torch.testing.assert_close(
        torch.from_numpy(module.logits({k: v.numpy() for k, v in inputs.items()})), module(inputs)
    )


@pytest.mark.parametrize("missing", ["fuse", "classify"])
def test_a_head_says_how_it_fuses_and_how_it_classifies(missing: str) -> None:
    own = {name: lambda _, values: values for name in ("fuse", "classify") if name != missing}
    with pytest.raises(TypeError, match=f"abstract method '?{missing}"):
        type("Half", (FusionHead,), own)({"text": 2}, 3)
