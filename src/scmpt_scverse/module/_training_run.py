"""Where a training runs, and how one that was killed goes on exactly where it stood."""

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
#: Steps between two states: after a kill, so many are repeated at most.
_STEPS_BETWEEN = 25
#: Of a list that a record shows; of a longer one it keeps a digest.
_LONGEST = 100


@dataclass(frozen=True)
class TrainingRun:
    """Where training runs; of this, only the precision changes what is learned, in the last digits.

    Attributes
    ----------
    accelerator, precision
        As in Lightning.
    devices
        As in Lightning, one device: `1`, or the number of one in a list.
    progress
        Show a progress bar.
    folder
        Where the state of training is kept, so that the same call goes on from it; `None` keeps none.
    """

    accelerator: str = "auto"
    devices: int | list[int] | str = 1
    precision: TrainingPrecision = "32-true"
    progress: bool = False
    folder: Path | None = None

    def part(self, name: str) -> Self:
        """The same for one of several trainings, with a folder of its own inside."""
        return self if self.folder is None else replace(self, folder=self.folder / name)

    def claim(self, **record: Any) -> None:
        """Make the folder one of a training with this record, or make sure that it is.

        Parameters
        ----------
        **record
            All that decides the result, as plain values or arrays, of which a digest is kept.

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
        """The file with the state of training, where one is kept."""
        return None if self.folder is None else self.folder / _STATE


class Losses(pl.Callback):
    """Keeps the loss of each step, where it was computed: reading it would wait for the device."""

    def __init__(self) -> None:
        self.of_steps: list[Tensor] = []

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note the loss."""
        self.of_steps.append(outputs["loss"].detach())

    def state_dict(self) -> dict[str, Any]:
        """Losses so far."""
        return {"losses": [float(loss) for loss in self.of_steps]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Losses before the interruption."""
        self.of_steps = [torch.tensor(loss) for loss in state_dict["losses"]]


class RandomState(pl.Callback):
    """Draws go on where they stood, on every device."""

    def __init__(self) -> None:
        self._before: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """Where all generators stand."""
        return {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all() if _has_cuda() else []}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Where they stood; what draws before the next step, as loaders do, does not count."""
        self._before = state_dict

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Go back to there."""
        if self._before is not None:
            torch.set_rng_state(self._before["cpu"].cpu())
            if self._before["cuda"] and _has_cuda():
                torch.cuda.set_rng_state_all([state.cpu() for state in self._before["cuda"]])
            self._before = None


class KeepState(pl.Callback):
    """Writes the state of training every few steps, and at the end; whole or not at all."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write it, now and then."""
        if trainer.global_step % _STEPS_BETWEEN == 0 or trainer.global_step == trainer.max_steps:
            partial = self._file.with_suffix(".partial")
            trainer.save_checkpoint(partial)
            os.replace(partial, self._file)


class StepLoader(DataLoader[Any]):
    """Endless minibatches; those before the step at which training stands are drawn and left out.

    Parameters
    ----------
    steps
        Always the same ones.
    """

    def __init__(self, steps: "IterableDataset[Any]") -> None:
        self._steps = _From(steps)
        super().__init__(self._steps, batch_size=None)

    def begin_at(self, step: int) -> None:
        """Leave out the minibatches before a step."""
        self._steps.start = step

    def state_dict(self) -> dict[str, int]:
        """Nothing: the step of the trainer tells. That it exists tells Lightning that this can go on."""
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Nothing to do, see above."""


class _From(IterableDataset[Any]):
    """Minibatches from a step on."""

    def __init__(self, steps: "IterableDataset[Any]") -> None:
        self._steps, self.start = steps, 0

    def __iter__(self) -> Iterator[Any]:
        return itertools.islice(iter(self._steps), self.start, None)


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C is what it is elsewhere: Lightning makes an exit of it, and leaves the signal ignored."""
    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SIGTERMException:  # somebody ends the process: no Ctrl-C
        raise
    except SystemExit as stop:
        raise KeyboardInterrupt from stop
    finally:
        if is_main:
            signal.signal(signal.SIGINT, handler)


def _has_cuda() -> bool:
    return torch.cuda.is_available() and torch.cuda.is_initialized()


def _plain(value: Any) -> Any:
    """A value as JSON holds it; an array or a long list as its digest."""
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
