"""Options of training, checked before anything slow."""

import inspect
from collections.abc import Iterable

import lightning.pytorch as pl
import torch
from scvi.train import Trainer

from scmpt_scverse._checks import did_you_mean
from scmpt_scverse._hardware import has_fast_bfloat16


def check_trainer_options(options: Iterable[str]) -> None:
    """Raise `TypeError` for an option that the trainer does not have."""
    known = {"ckpt_path", "trainer_config"}  # taken by scvi-tools' TrainRunner itself
    for trainer in (Trainer, pl.Trainer):
        known |= set(inspect.signature(trainer).parameters)
    for name in options:
        if name not in known:
            raise TypeError(f"`train` has no option {name!r}.{did_you_mean(name, known)} See `scvi.train.Trainer`.")


def check_accelerator(accelerator: str) -> None:
    """Raise `ValueError` for an accelerator that this machine does not have."""
    is_there = {
        "gpu": torch.cuda.is_available() or torch.backends.mps.is_available(),
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if not is_there.get(accelerator, True):
        raise ValueError(f"`accelerator={accelerator!r}` was asked for, but torch finds none. Pass 'auto' or 'cpu'.")


def training_precision(accelerator: str) -> str:
    """Lightning's name of the number format: mixed bfloat16 where the device multiplies it natively."""
    uses_gpu = accelerator in {"auto", "gpu", "cuda"} and torch.cuda.is_available()
    if not uses_gpu and accelerator not in {"auto", "cpu"}:
        return "32-true"
    used = torch.device("cuda" if uses_gpu else "cpu")
    return "bf16-mixed" if has_fast_bfloat16(used) else "32-true"
