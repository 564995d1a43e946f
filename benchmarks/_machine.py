"""What a figure was measured on."""

import os
import platform
from collections.abc import Iterable
from importlib.metadata import version

import torch

from scmpt_scverse._hardware import resolve_device


def machine_record(packages: Iterable[str]) -> dict[str, object]:
    """Hardware and versions, to be stored beside figures."""
    device = resolve_device("auto")
    gpu = {"gpu": torch.cuda.get_device_name(device)} if device.type == "cuda" else {}
    return {
        "hardware": {"machine": platform.machine(), "cores": os.cpu_count(), "device": str(device), **gpu},
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
    }
