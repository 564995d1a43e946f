"""One plan trains heads and encoders: its loss, its schedule, and the weights that it keeps."""

import copy
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import IterableDataset
from transformers import get_cosine_schedule_with_warmup

from scmpt_scverse.module import TrainingPlan, TrainingRun
from scmpt_scverse.module._training_plan import HeadTrainingPlan, KeepBestWeights, fit_steps, learning_rate_factor

N_STEPS = 20


class Rates(pl.Callback):
    """Notes the learning rate of every step."""

    def __init__(self) -> None:
        self.seen: list[float] = []
        self.metrics: dict[str, float] = {}

    def on_train_batch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        self.seen.append(trainer.optimizers[0].param_groups[0]["lr"])


class Linear(nn.Module):
    """A head over one modality."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        logits: Tensor = self.layer(inputs["text"])
        return logits


def batch() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    return {"inputs": {"text": torch.randn(8, 3, generator=generator)}, "labels": torch.tensor([0, 1] * 4)}


def fit(plan: TrainingPlan, **options: Any) -> Rates:
    rates = Rates()
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=N_STEPS // 2, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[rates], num_sanity_val_steps=0, log_every_n_steps=1, **options,
    )  # fmt: skip
    data: Any = torch.utils.data.DataLoader([batch(), batch()], batch_size=None)  # type: ignore[arg-type]
    trainer.fit(plan, data, data)
    rates.metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    return rates


@pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")
def test_a_head_is_trained_by_weighted_cross_entropy() -> None:
    torch.manual_seed(0)
    head = Linear()
    weights = torch.tensor([1.0, 5.0])
    plan = HeadTrainingPlan(head, lr=0.1, weight_decay=0.0, label_weights=weights)
    cells = batch()
    expected = functional.cross_entropy(head(cells["inputs"]), cells["labels"], weight=weights)
    assert plan.module.training_loss(cells).item() == pytest.approx(expected.item())
    before = plan.module.validation_metrics(cells)["validation_loss"].item()
    assert before == pytest.approx(functional.cross_entropy(head(cells["inputs"]), cells["labels"]).item())
    accuracy = (head(cells["inputs"]).argmax(dim=1) == cells["labels"]).float().mean()
    assert 0 < accuracy < 1
    assert plan.module.validation_metrics(cells)["validation_accuracy"].item() == accuracy.item()

    rates = fit(plan, gradient_clip_val=1.0)

    assert set(rates.metrics) == {"train_loss", "validation_loss", "validation_accuracy"}
    assert rates.metrics["train_loss"] < expected.item()
    assert set(rates.seen) == {0.1}


@pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")
def test_the_schedule_goes_by_steps() -> None:
    plan = TrainingPlan(HeadTrainingPlan(Linear()).module, lr=0.1, n_steps=N_STEPS, n_warmup=4)
    expected = [0.1 * learning_rate_factor(step, n_warmup=4, n_steps=N_STEPS) for step in range(N_STEPS)]
    assert fit(plan).seen == pytest.approx(expected, abs=1e-7)


def test_the_learning_rate_rises_and_falls() -> None:
    factors = [learning_rate_factor(step, n_warmup=4, n_steps=20) for step in range(21)]

    assert factors[:5] == [0.25, 0.5, 0.75, 1, 1]
    assert all(later < earlier for earlier, later in pairwise(factors[4:]))
    assert factors[12] == pytest.approx(0.5)  # half way down
    assert factors[20] == pytest.approx(0, abs=1e-12)
    assert learning_rate_factor(25, n_warmup=4, n_steps=20) == pytest.approx(0, abs=1e-12)


def test_a_run_that_is_all_warm_up_has_a_learning_rate() -> None:
    assert [learning_rate_factor(step, n_warmup=1, n_steps=1) for step in range(2)] == [1, 1]


def test_the_cosine_is_that_of_transformers_and_the_first_step_counts() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = get_cosine_schedule_with_warmup(optimizer, 4, N_STEPS).lr_lambdas[0]
    ours = [learning_rate_factor(step, n_warmup=4, n_steps=N_STEPS) for step in range(N_STEPS + 1)]
    assert ours[4:] == pytest.approx([theirs(step) for step in range(4, N_STEPS + 1)], abs=1e-12)
    assert ours[:4] == pytest.approx([theirs(step + 1) for step in range(4)])
    assert (theirs(0), ours[0]) == (0, 0.25)


def test_the_learning_rate_of_the_paper_is_the_default() -> None:
    assert HeadTrainingPlan(Linear()).lr == TrainingPlan(HeadTrainingPlan(Linear()).module).lr == 1e-4


class Sliding(nn.Module):
    """One number whose gradient is always the same, so that a step of Adam is as long as the learning rate."""

    def __init__(self, slope: float = 1.0, best: float = 0.0) -> None:
        super().__init__()
        self.number = nn.Parameter(torch.zeros(1))
        self.slope, self.best = slope, best
        self.seen: list[float] = []
        self.gradients: list[float] = []

    def training_loss(self, batch: Tensor) -> Tensor:
        self.seen.append(self.number.item())
        if self.number.grad is not None:
            self.gradients.append(self.number.grad.norm().item())
        return self.slope * self.number.sum() + 0 * batch.sum()

    def validation_metrics(self, batch: Tensor) -> dict[str, Tensor]:
        return {"validation_loss": (self.number.detach() - self.best).abs().sum().clamp(min=0.15)}

    def n_cells(self, batch: Tensor) -> int:
        return len(batch)


class Endless(IterableDataset[Tensor]):
    def __iter__(self) -> Iterator[Tensor]:
        while True:
            yield torch.ones(2)


@pytest.mark.parametrize(("warmup", "n_warmup"), [(0.3, 3), (0.0, 1), (0.26, 3)])
def test_steps_are_as_long_as_the_schedule_says_and_none_is_missing(warmup: float, n_warmup: int) -> None:
    module = Sliding()
    losses = fit_steps(module, Endless(), lr=0.1, n_steps=10, warmup=warmup, run=TrainingRun("cpu"))
    expected = np.cumsum([0.1 * learning_rate_factor(step, n_warmup=n_warmup, n_steps=10) for step in range(10)])
    assert -module.number.item() == pytest.approx(expected[-1], rel=1e-5)
    np.testing.assert_allclose(losses, np.r_[0, -expected[:-1]], rtol=1e-5)
    assert losses.dtype == np.float32


def test_gradients_are_clipped_to_length_one() -> None:
    for slope, length in ((50.0, 1.0), (0.5, 0.5)):
        module = Sliding(slope)
        fit_steps(module, Endless(), lr=0.1, n_steps=4, warmup=0.5, run=TrainingRun("cpu"))
        assert module.gradients == pytest.approx([length] * 3, rel=1e-4)


def test_a_training_leaves_no_file_where_none_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fit_steps(Sliding(), Endless(), lr=0.1, n_steps=3, warmup=0.5, run=TrainingRun("cpu"))
    assert list(tmp_path.iterdir()) == []
    fit_steps(Sliding(), Endless(), lr=0.1, n_steps=3, warmup=0.5, run=TrainingRun("cpu", folder=tmp_path / "run"))
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("shows", [True, False])
def test_the_progress_bar_shows_the_loss_if_it_is_asked_for(shows: bool, capfd: pytest.CaptureFixture[str]) -> None:
    fit_steps(Sliding(), Endless(), lr=0.1, n_steps=3, warmup=0.5, run=TrainingRun("cpu", progress=shows))
    assert any(capfd.readouterr()) is shows


@pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")
def test_the_weights_of_the_best_epoch_are_kept_the_first_of_equals() -> None:
    """Validation is best from the third epoch to the fifth, where the number is within 0.15 of 0.4."""
    for best, kept in ((-0.4, -0.3), (-9.0, -1.0), (9.0, -0.1)):
        module = Sliding(best=best)
        trainer = pl.Trainer(
            accelerator="cpu", max_epochs=10, logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, num_sanity_val_steps=0, log_every_n_steps=1, callbacks=[KeepBestWeights()],
        )  # fmt: skip
        data: Any = torch.utils.data.DataLoader([torch.ones(3)], batch_size=None)  # type: ignore[arg-type]
        trainer.fit(TrainingPlan(module, lr=0.1), data, data)
        assert module.seen == pytest.approx([-0.1 * epoch for epoch in range(10)], rel=1e-4)
        assert module.number.item() == pytest.approx(kept, rel=1e-4)


@pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")
def test_the_loss_of_an_epoch_is_the_mean_over_cells() -> None:
    module, rates = Sliding(), Rates()
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0, log_every_n_steps=1, callbacks=[rates],
    )  # fmt: skip
    data: Any = torch.utils.data.DataLoader([torch.ones(1), torch.ones(3)], batch_size=None)  # type: ignore[arg-type]
    trainer.fit(TrainingPlan(module, lr=0.1, n_steps=5), data, data)
    assert rates.seen == [0.1, pytest.approx(0.1 * learning_rate_factor(1, n_warmup=0, n_steps=5))]  # no warm-up
    # Before the first step the number is 0, for one cell; before the second it is -0.1, for three.
    assert float(trainer.callback_metrics["train_loss"]) == pytest.approx(-0.1 * 3 / 4)
    assert "train_loss" in trainer.progress_bar_metrics


@pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")
def test_weight_decay_is_that_of_adam() -> None:
    torch.manual_seed(0)
    ours = Linear()
    theirs = copy.deepcopy(ours)
    plan = HeadTrainingPlan(ours, lr=0.05, weight_decay=0.3)
    fit(plan, gradient_clip_val=1e9)
    optimizer = torch.optim.Adam(theirs.parameters(), lr=0.05, weight_decay=0.3)
    for _ in range(N_STEPS):
        optimizer.zero_grad()
        functional.cross_entropy(theirs(batch()["inputs"]), batch()["labels"]).backward()
        optimizer.step()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other)
    assert HeadTrainingPlan(Linear()).weight_decay == TrainingPlan(plan.module).weight_decay == 0
