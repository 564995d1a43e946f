"""Options of training, checked before anything slow."""

import inspect
from collections.abc import Iterable

import lightning.pytorch as pl
from scvi.train import Trainer

from scmpt_scverse._checks import did_you_mean


def check_trainer_options(options: Iterable[str]) -> None:
    """Raise `TypeError` for an option that the trainer does not have."""
    known = {"ckpt_path", "trainer_config"}  # taken by scvi-tools' TrainRunner itself
    for trainer in (Trainer, pl.Trainer):
        known |= set(inspect.signature(trainer).parameters)
    for name in options:
        if name not in known:
            raise TypeError(f"`train` has no option {name!r}.{did_you_mean(name, known)} See `scvi.train.Trainer`.")
