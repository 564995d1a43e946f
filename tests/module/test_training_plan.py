"""One plan trains heads and encoders: its loss, its schedule, and the weights that it keeps."""

from itertools import pairwise
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import get_cosine_schedule_with_warmup

from scmpt_scverse.module import TrainingPlan
from scmpt_scverse.module._training_plan import HeadTrainingPlan, learning_rate_factor

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
