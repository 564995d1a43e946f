"""What every fusion head promises, over every registered one, and over the documented example."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from docs.developer.examples.toy_fusion_head import MeanFusion

from scmpt_scverse.module import FUSIONS, Fit, FitOptions, FusionClassifier, HeadOptions, split_cells
from scmpt_scverse.trust import contributions, logits_by_coalition

DIMS = {"text": 6, "expression": 4, "protein": 3}

Build = Callable[..., FusionClassifier]
Inputs = dict[str, torch.Tensor]


@pytest.fixture(params=[*FUSIONS.names(), MeanFusion])
def build(request: pytest.FixtureRequest) -> Build:
    def build(*, seed: int = 0, **kwargs: Any) -> FusionClassifier:
        torch.manual_seed(seed)
        return FusionClassifier(DIMS, 5, fusion=request.param, options=HeadOptions(**{"n_hidden": 16, **kwargs})).eval()

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
    for name, values in inputs.items():
        module._standardiser(name).fit([values])
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
    logits = logits_by_coalition(module.logits_of_standardised, module.standardised(inputs))
    assert len(logits) == 2 ** len(DIMS)
    shares = contributions(logits, tuple(inputs), labels)
    gain = (logits[tuple(inputs)].log_softmax(1) - logits[()].log_softmax(1)).gather(1, labels[:, None])[:, 0]
    assert torch.allclose(shares.sum(dim=1), gain, atol=1e-5)


def blobs(n_obs: int = 90, n_labels: int = 3) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Cells of three labels that every modality tells apart; the same centres and other noise for every `n_obs`."""
    codes = np.arange(n_obs) % n_labels
    noise = np.random.default_rng(n_obs)
    values = {}
    for number, (name, dim) in enumerate(DIMS.items()):
        centres = np.random.default_rng(number).normal(size=(n_labels, dim)) * 4
        values[name] = (centres[codes] + noise.normal(size=(n_obs, dim))).astype(np.float32)
    return values, codes


QUIET = {"enable_progress_bar": False}


@pytest.fixture(params=[*FUSIONS.names(), MeanFusion])
def fitted(request: pytest.FixtureRequest) -> tuple[FusionClassifier, Fit]:
    values, codes = blobs()
    torch.manual_seed(0)
    classifier = FusionClassifier(DIMS, 3, fusion=request.param, options=HeadOptions(n_hidden=16))
    size = classifier.default_train_size
    split = split_cells(codes, np.arange(90), train_size=size, validation_size=None, shuffle=True, seed=0)
    return classifier, classifier.fit(values, codes, split, FitOptions(max_epochs=30, plan={"lr": 1e-2}, trainer=QUIET))


def test_fit_predicts_new_cells(fitted: tuple[FusionClassifier, Fit]) -> None:
    classifier, _ = fitted
    values, codes = blobs(n_obs=150)
    predicted = classifier.logits(values).argmax(axis=1)
    assert (predicted == codes).mean() > 0.9


def test_fit_gives_cells_to_calibrate_on(fitted: tuple[FusionClassifier, Fit]) -> None:
    classifier, fit = fitted
    held_out = fit.held_out
    assert len(held_out.logits) == len(held_out.codes) == len(held_out.folds) > 0
    assert torch.isfinite(held_out.logits).all()
    assert float(fit.history["train_loss"].iloc[-1].item()) < 1.1
    values, _ = blobs()
    tensors = {name: torch.from_numpy(rows[:4]) for name, rows in values.items()}
    by_fold = classifier.logits_by_fold(tensors, held_out.fold_states)
    assert by_fold.shape == (4, max(1, len(held_out.fold_states)), 3)


def test_class_and_instance_are_accepted() -> None:
    kind = FUSIONS.load("gated")
    by_name, by_class, by_instance = (
        FusionClassifier(DIMS, 5, fusion=fusion, options=HeadOptions(n_hidden=8))
        for fusion in ("gated", kind, kind(DIMS, 5, HeadOptions(n_hidden=8)))
    )
    assert type(by_name.head) is type(by_class.head) is type(by_instance.head) is kind
    given = kind(DIMS, 5, HeadOptions(n_hidden=8))
    classifiers = [FusionClassifier(DIMS, 5, fusion=given) for _ in range(2)]
    assert len({id(given), *(id(classifier.head) for classifier in classifiers)}) == 3, "heads are shared"
    with pytest.raises(ValueError, match="Expected a head over .* with 4 labels; found one over .* with 5"):
        FusionClassifier(DIMS, 4, fusion=by_instance.head)
    with pytest.raises(TypeError, match="must be one of 'stacked', .* found 3"):
        FusionClassifier(DIMS, 4, fusion=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="class or instance of `FusionHead`; what <function .* returned is Linear"):
        FusionClassifier(DIMS, 4, fusion=lambda *_: torch.nn.Linear(2, 2))  # type: ignore[arg-type]


def test_unknown_option_of_a_head_is_an_error() -> None:
    with pytest.raises(TypeError, match="ConcatFusion has no option 'rank'; it has none"):
        FusionClassifier(DIMS, 5, fusion="concat", options=HeadOptions(extra={"rank": 3}))
