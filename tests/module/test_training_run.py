"""A training that is killed goes on exactly where it stood."""

import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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
from scmpt_scverse.module._training_plan import fit_steps, step_of_state
from scmpt_scverse.module._training_run import _plain, interruptible

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


def test_each_training_has_a_folder_of_its_own_if_there_is_any(tmp_path: Path) -> None:
    nowhere = TrainingRun()
    assert (nowhere.accelerator, nowhere.devices, nowhere.precision, nowhere.progress) == ("auto", 1, "32-true", False)
    assert nowhere.part("linear") is nowhere
    assert nowhere.state is None
    nowhere.claim(options={"lr": 1})  # nothing to compare with, and nothing to write
    run = TrainingRun("cpu", progress=True, folder=tmp_path / "run")
    assert run.state == tmp_path / "run" / "last.ckpt"
    part = run.part("linear")
    assert part == TrainingRun("cpu", progress=True, folder=tmp_path / "run" / "linear")
    assert list(tmp_path.iterdir()) == []


def test_the_number_format_is_part_of_the_record(tmp_path: Path) -> None:
    TrainingRun(folder=tmp_path / "run").claim(seed=1)
    with pytest.raises(ValueError, match="precision"):
        TrainingRun(precision="bf16-mixed", folder=tmp_path / "run").claim(seed=1)


def test_records_show_short_lists_and_digests_of_everything_large(tmp_path: Path) -> None:
    record: dict[str, Any] = {
        "short": list(range(100)),
        "long": list(range(101)),
        "pair": (1, np.float32(0.5)),
        "array": np.arange(3),
        "tensor": torch.arange(3),
        "other": np.arange(3.0),
        "shaped": np.arange(3)[None],
        "names": np.array(["B cell", None], dtype=object),
        "same names": np.array([["B cell"], [None]], dtype=object),
        "other names": np.array(["B cell", "None"], dtype=object),
        "nested": {"seed": np.int64(3), "tokens": np.arange(3)},
    }
    TrainingRun(folder=tmp_path / "run").claim(**record)
    found = json.loads((tmp_path / "run" / "run.json").read_text())
    assert found["short"] == list(range(100))
    assert found["pair"] == [1, 0.5]
    assert found["nested"] == {"seed": 3, "tokens": found["array"]}
    digests = {name: found[name] for name in ("long", "array", "other", "shaped", "names", "other names")}
    assert all(len(each) == 64 for each in digests.values())
    assert len(set(digests.values())) == len(digests)
    assert found["tensor"] == found["array"]
    assert found["names"] == found["same names"]
    transposed = np.arange(6).reshape(2, 3).T
    assert _plain(transposed) == _plain(transposed.copy())


def test_signals_are_handled_as_before() -> None:
    before = signal.getsignal(signal.SIGINT)
    with interruptible():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGINT) is before

    def fails() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise ValueError("in between")

    with pytest.raises(ValueError, match="in between"), interruptible():
        fails()
    assert signal.getsignal(signal.SIGINT) is before

    def elsewhere() -> bool:
        with interruptible():
            return True

    with ThreadPoolExecutor(1) as pool:  # where handlers of signals cannot be set
        assert pool.submit(elsewhere).result()


def test_a_state_is_written_every_25_steps_and_at_the_end_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, replaced = [], os.replace

    def noted(partial: Path, file: Path) -> None:
        written.append(torch.load(partial, weights_only=True)["global_step"])
        replaced(partial, file)

    monkeypatch.setattr(os, "replace", noted)
    train(tmp_path)
    assert written == [25, 50, N_STEPS]
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]
    assert step_of_state(tmp_path / "last.ckpt") == N_STEPS
