"""Silence what other libraries print while they work for ours."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

#: Loggers of Lightning; its notices are of level INFO.
_LIGHTNING = ("lightning.pytorch", "lightning.fabric")


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
    """Without Lightning's notices of devices, products and the end of training; its warnings remain."""
    loggers = [logging.getLogger(name) for name in _LIGHTNING]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(max(logger.level, logging.WARNING))
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
