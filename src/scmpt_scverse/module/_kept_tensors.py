"""Tensors on disk, so that a resumed training need not compute them again."""

import hashlib
import os
import uuid
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from scmpt_scverse import __version__

if TYPE_CHECKING:
    from torch import Tensor

_KEY = "key"


def digest_of(tensors: "Iterable[Tensor]") -> str:
    """Hexadecimal SHA-256 of tensors, in order, and of the package version, since another may compute differently."""
    digest = hashlib.sha256(__version__.encode())
    for tensor in tensors:
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)} ".encode() + tensor.cpu().numpy().tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class KeptTensors:
    """Tensors in a file, with a key that identifies their input.

    Attributes
    ----------
    file
        Replaced atomically.
    """

    file: Path

    def read(self, key: str, device: str) -> "dict[str, Tensor] | None":
        """The tensors with this key; `None` if the file is missing, damaged, or has another key."""
        try:
            with safe_open(self.file, framework="pt", device=device) as kept:
                if (kept.metadata() or {}).get(_KEY) != key:
                    return None
                # Copied: they are views of the file, whose memory alignment changes the last digits of products.
                return {name: kept.get_tensor(name).clone() for name in kept.keys()}  # noqa: SIM118 (it is no dict)
        except (FileNotFoundError, SafetensorError):
            return None

    def write(self, key: str, tensors: "dict[str, Tensor]") -> None:
        """Write tensors with a key, replacing an existing file; other processes may do the same at the same time.

        Raises
        ------
        OSError
            The file cannot be written, such as on a full disk.
        """
        self.file.parent.mkdir(parents=True, exist_ok=True)
        partial = self.file.with_name(f"{self.file.stem}-{uuid.uuid4().hex}.partial")
        try:
            save_file({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, partial, {_KEY: key})
        except SafetensorError as error:  # raised on a full disk
            partial.unlink(missing_ok=True)
            raise OSError(f"Expected to write {partial}; found that this cannot be done ({error}).") from error
        with suppress(FileNotFoundError):  # a process that finished first has removed it
            os.replace(partial, self.file)
        for left in self.file.parent.glob(f"{self.file.stem}-*.partial"):  # by processes that were killed
            left.unlink(missing_ok=True)
