"""What a figure was measured on."""

import os
import platform
from collections.abc import Iterable
from importlib.metadata import version

import torch

from scmpt_scverse._hardware import resolve_device


def machine_record(packages: Iterable[str]) -> dict[str, object]:
    """Hardware and versions, to be stored beside figures."""
    return {
        "hardware": {
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "device": str(resolve_device("auto")),
        },
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
    }
