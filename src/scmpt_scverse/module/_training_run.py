"""Where training runs, and how an interrupted training resumes exactly where it stopped."""

import hashlib
import itertools
import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch.utils.data import DataLoader, IterableDataset

from scmpt_scverse._folders import claim_run

if TYPE_CHECKING:
    from torch import Tensor

#: Number formats of training, as in Lightning.
TrainingPrecision: TypeAlias = Literal["32-true", "bf16-mixed", "16-mixed"]
_STATE = "last.ckpt"
#: Steps between two saved states: at most this many are repeated after an interruption.
_STEPS_BETWEEN = 25
#: Longest list that a record holds in full; of a longer one it holds a digest.
_LONGEST = 100


@dataclass(frozen=True)
class TrainingRun:
    """Where training runs. Another device changes rounding and random noise, another precision only rounding.

    Attributes
    ----------
    accelerator, precision
        As in Lightning.
    devices
        As in Lightning, for one device: `1`, or a list with its index.
    progress
        Show a progress bar.
    folder
        Folder for the state of training, from which the same call resumes; `None` keeps no state.
    """

    accelerator: str = "auto"
    devices: int | list[int] | str = 1
    precision: TrainingPrecision = "32-true"
    progress: bool = False
    folder: Path | None = None

    def part(self, name: str) -> Self:
        """The same for one of several trainings, with its own subfolder."""
        return self if self.folder is None else replace(self, folder=self.folder / name)

    def claim(self, **record: Any) -> None:
        """Record in the folder what the training depends on, or check that the record there is the same.

        Parameters
        ----------
        **record
            Everything that determines the result, as plain values or arrays; of arrays, a digest is kept.

        Raises
        ------
        ValueError
            The folder holds a training of other data or options.
        """
        if self.folder is not None:
            record = {"precision": self.precision, **record}
            claim_run(self.folder, {name: _plain(value) for name, value in record.items()})

    @property
    def state(self) -> Path | None:
        """The file for the state of training; `None` if none is kept."""
        return None if self.folder is None else self.folder / _STATE


class Losses(pl.Callback):
    """Keeps the loss of each step on its device: reading it would wait for the device."""

    def __init__(self) -> None:
        self.of_steps: list[Tensor] = []

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Add the loss."""
        self.of_steps.append(outputs["loss"].detach())

    def state_dict(self) -> dict[str, Any]:
        """Losses so far."""
        return {"losses": [float(loss) for loss in self.of_steps]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Losses before the interruption."""
        self.of_steps = [torch.tensor(loss) for loss in state_dict["losses"]]


class RandomState(pl.Callback):
    """Restores the random state of every device when training resumes."""

    def __init__(self) -> None:
        self._before: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """The states of all generators."""
        return {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all() if _has_cuda() else []}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Remember the states until the next step, so that earlier draws, such as those of loaders, have no effect."""
        self._before = state_dict

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Restore the remembered states."""
        if self._before is not None:
            torch.set_rng_state(self._before["cpu"].cpu())
            if self._before["cuda"] and _has_cuda():
                torch.cuda.set_rng_state_all([state.cpu() for state in self._before["cuda"]])
            self._before = None


class KeepState(pl.Callback):
    """Writes the state of training every few steps and at the end, replacing the file atomically."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write the state if it is due."""
        if trainer.global_step % _STEPS_BETWEEN == 0 or trainer.global_step == trainer.max_steps:
            partial = self._file.with_suffix(".partial")
            trainer.save_checkpoint(partial)
            os.replace(partial, self._file)


class StepLoader(DataLoader[Any]):
    """Endless minibatches; those before the current step of training are drawn and skipped.

    Parameters
    ----------
    steps
        Endless minibatches, the same ones each time.
    """

    def __init__(self, steps: "IterableDataset[Any]") -> None:
        self._steps = _From(steps)
        super().__init__(self._steps, batch_size=None)

    def begin_at(self, step: int) -> None:
        """Skip the minibatches before a step."""
        self._steps.start = step

    def state_dict(self) -> dict[str, int]:
        """Nothing: the trainer has the step. Lightning needs this method to see that the loader can resume."""
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Nothing to do, see above."""


class _From(IterableDataset[Any]):
    """Minibatches from a given step on."""

    def __init__(self, steps: "IterableDataset[Any]") -> None:
        self._steps, self.start = steps, 0

    def __iter__(self) -> Iterator[Any]:
        return itertools.islice(iter(self._steps), self.start, None)


@contextmanager
def interruptible() -> Iterator[None]:
    """Make Ctrl-C raise `KeyboardInterrupt`: Lightning turns it into an exit, and leaves the signal ignored."""
    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SIGTERMException:  # the process is being terminated: not Ctrl-C
        raise
    except SystemExit as stop:
        raise KeyboardInterrupt from stop
    finally:
        if is_main:
            signal.signal(signal.SIGINT, handler)


def _has_cuda() -> bool:
    return torch.cuda.is_available() and torch.cuda.is_initialized()


def _plain(value: Any) -> Any:
    """A value that JSON can hold; an array or a long list as its digest."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, torch.Tensor):
        value = value.numpy()
    if isinstance(value, np.ndarray):
        if value.dtype == object:
            return hashlib.sha256("\0".join(map(repr, value.ravel())).encode()).hexdigest()
        digest = hashlib.sha256(f"{value.dtype} {value.shape} ".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
        return digest.hexdigest()
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        plain = [_plain(each) for each in value]
        return plain if len(plain) <= _LONGEST else hashlib.sha256(json.dumps(plain).encode()).hexdigest()
    return value
