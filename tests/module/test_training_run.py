"""A training that is killed goes on exactly where it stood."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.utilities.exceptions import SIGTERMException
from tests._malicious import Malicious
from torch import Tensor, nn
from torch.utils.data import IterableDataset

from scmpt_scverse.module import TrainingRun
from scmpt_scverse.module._training_plan import fit_steps
from scmpt_scverse.module._training_run import interruptible

N_STEPS, STOPS_AFTER = 70, 60


class Noisy(nn.Module):
    """A regression with noise and dropout, one part of which is frozen; stops like a killed process."""

    def __init__(self, stop_after: int | None = None) -> None:
        super().__init__()
        self.frozen = nn.Linear(4, 8).requires_grad_(False)
        self.layer = nn.Sequential(nn.Dropout(0.3), nn.Linear(8, 1))
        self.left = stop_after

    def training_loss(self, batch: Tensor) -> Tensor:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise InterruptedError("killed")
        inputs = batch + 0.1 * torch.randn_like(batch)
        return (self.layer(self.frozen(inputs)).squeeze(1) - batch.sum(dim=1)).square().mean()

    def validation_metrics(self, batch: Any) -> dict[str, Tensor]:
        return {}

    def n_cells(self, batch: Tensor) -> int:
        return len(batch)


class Steps(IterableDataset[Tensor]):
    def __iter__(self) -> Iterator[Tensor]:
        rng = np.random.default_rng(0)
        while True:
            yield torch.from_numpy(rng.normal(size=(6, 4)).astype(np.float32))


def train(folder: Path | None, stop_after: int | None = None) -> tuple[dict[str, Tensor], np.ndarray]:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        module = Noisy(stop_after)
        run = TrainingRun("cpu", folder=folder)
        losses = fit_steps(module, Steps(), lr=0.05, n_steps=N_STEPS, warmup=0.2, run=run)
    return module.state_dict(), losses


def test_numbers_of_numpy_and_long_lists_are_recorded(tmp_path: Path) -> None:
    options: dict[str, Any] = {"seed": np.int64(3), "tokens": [[number, 1] for number in range(5000)]}
    TrainingRun(folder=tmp_path / "run").claim(**options)
    TrainingRun(folder=tmp_path / "run").claim(**options)
    with pytest.raises(ValueError, match="tokens") as caught:
        TrainingRun(folder=tmp_path / "run").claim(**{**options, "tokens": options["tokens"][1:]})
    assert len(str(caught.value)) < 1000


def test_the_end_of_a_process_is_no_interruption() -> None:
    with pytest.raises(SIGTERMException), interruptible():
        raise SIGTERMException
    with pytest.raises(KeyboardInterrupt), interruptible():
        raise SystemExit


def assert_same(one: tuple[dict[str, Tensor], np.ndarray], other: tuple[dict[str, Tensor], np.ndarray]) -> None:
    for name, values in one[0].items():
        assert torch.equal(values, other[0][name]), name
    np.testing.assert_array_equal(one[1], other[1])


def test_it_goes_on_bit_for_bit(tmp_path: Path) -> None:
    whole = train(None)
    for stop in (STOPS_AFTER, 2, STOPS_AFTER - 60):
        with pytest.raises(InterruptedError):
            train(tmp_path, stop_after=stop)
    resumed = train(tmp_path)
    assert_same(whole, resumed)
    assert len(resumed[1]) == N_STEPS
    assert_same(whole, train(tmp_path, stop_after=0))  # nothing is left to do
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert not any("frozen" in name for name in saved["state_dict"])


def test_it_did_go_on_and_not_start_again(tmp_path: Path) -> None:
    with pytest.raises(InterruptedError):
        train(tmp_path, stop_after=STOPS_AFTER)
    train(tmp_path, stop_after=N_STEPS - 50)  # the state is that of step 50


def test_a_state_that_would_run_code_is_refused(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    torch.save({"global_step": 1, "callbacks": Malicious(witness)}, tmp_path / "last.ckpt")
    with pytest.raises(ValueError, match=r"state of a training in .*last.ckpt.* Remove .* to restart"):
        train(tmp_path)
    assert not witness.exists()
    torch.load(tmp_path / "last.ckpt", weights_only=False)
    assert witness.exists(), "nothing was tested"


def test_a_damaged_state_and_another_training_are_refused(tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_bytes(b"no state")
    with pytest.raises(ValueError, match=r"state of a training in .*last.ckpt.* Remove .* to restart"):
        train(tmp_path)
    run = TrainingRun(folder=tmp_path / "run")
    run.claim(options={"lr": 1}, values=np.arange(3))
    run.claim(options={"lr": 1}, values=np.arange(3))
    with pytest.raises(ValueError, match=r"an interrupted run with other data or options \(values"):
        run.claim(options={"lr": 1}, values=np.arange(3.0))
    with pytest.raises(ValueError, match="run.json cannot be read"):
        TrainingRun(folder=tmp_path).claim(options={})
