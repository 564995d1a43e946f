"""Silence what other libraries print while they work for ours."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

#: Loggers of Lightning; its notices are of level INFO.
_LIGHTNING = ("lightning.pytorch", "lightning.fabric")
#: Warnings of Lightning about what is meant: cells are in memory, so workers would only copy them; a CPU is used beside
#: a GPU where it was asked for; and a frozen language model, which is part of a loss, drops nothing.
_MEANT = (
    "The '.*' does not have many workers",
    "GPU available but not used",
    r"Found \d+ module\(s\) in eval mode at the start of training",
)


@contextmanager
def no_loading_bar() -> Iterator[None]:
    """Without the progress bar of transformers for reading weights, which takes seconds; ours counts cells."""
    from transformers.utils import logging as of_transformers

    was_enabled = of_transformers.is_progress_bar_enabled()
    of_transformers.disable_progress_bar()
    try:
        yield
    finally:
        if was_enabled:
            of_transformers.enable_progress_bar()


@contextmanager
def no_lightning_notices() -> Iterator[None]:
    """Without Lightning's notices of devices, products and the end of training; warnings that matter remain."""
    loggers = [logging.getLogger(name) for name in _LIGHTNING]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(max(logger.level, logging.WARNING))
    try:
        with warnings.catch_warnings():
            for message in _MEANT:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
