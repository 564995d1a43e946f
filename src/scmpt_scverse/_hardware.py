"""What this machine can do: device and number format for frozen encoders and heads."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from scmpt_scverse._checks import check_choice

if TYPE_CHECKING:
    import torch

    from scmpt_scverse._types import Precision

PRECISIONS = ("auto", "float32", "bfloat16", "float16")
#: CPU flags (Linux names) of instructions that multiply bfloat16 natively; without them bfloat16 is emulated and slow.
_BFLOAT16_FLAGS = frozenset({"amx_bf16", "avx512_bf16"})


def resolve_device(device: str) -> "torch.device":
    """A torch device; `"auto"` is the first CUDA device if there is one, else the CPU."""
    import torch

    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"Unknown `device={device!r}`. Pass 'auto', 'cpu', 'cuda', 'cuda:1' or 'mps'.") from error
    if resolved.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"`device={device!r}` was asked for, but torch finds no CUDA device. Pass 'auto' or 'cpu'.")
    return resolved


def resolve_precision(precision: "Precision", device: "torch.device") -> "torch.dtype":
    """The torch dtype; `"auto"` is bfloat16 where the device multiplies it natively, else float32."""
    import torch

    check_choice(precision, PRECISIONS, "precision")
    if precision == "auto":
        return torch.bfloat16 if has_fast_bfloat16(device) else torch.float32
    dtype: torch.dtype = getattr(torch, precision)
    return dtype


def has_fast_bfloat16(device: "torch.device") -> bool:
    """Whether `device` multiplies bfloat16 in hardware (GPU from Ampere on; CPU with AMX or AVX512-BF16)."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and bool(_BFLOAT16_FLAGS & _cpu_flags())


def check_accelerator(accelerator: str) -> None:
    """Raise `ValueError` for an accelerator that this machine does not have."""
    import torch

    is_there = {
        "gpu": torch.cuda.is_available() or torch.backends.mps.is_available(),
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if not is_there.get(accelerator, True):
        raise ValueError(f"`accelerator={accelerator!r}` was asked for, but torch finds none. Pass 'auto' or 'cpu'.")


def training_precision(accelerator: str) -> Literal["bf16-mixed", "32-true"]:
    """Lightning's name of the number format: mixed bfloat16 where the device multiplies it natively."""
    import torch

    uses_gpu = accelerator in {"auto", "gpu", "cuda"} and torch.cuda.is_available()
    if not uses_gpu and accelerator not in {"auto", "cpu"}:
        return "32-true"
    used = torch.device("cuda" if uses_gpu else "cpu")
    return "bf16-mixed" if has_fast_bfloat16(used) else "32-true"


@cache
def _cpu_flags() -> frozenset[str]:
    cpuinfo = Path("/proc/cpuinfo")  # other systems: no native bfloat16 that torch uses is known, so float32
    if not cpuinfo.exists():
        return frozenset()
    for line in cpuinfo.read_text().splitlines():
        if line.startswith("flags"):
            return frozenset(line.split(":", 1)[1].split())
    return frozenset()
