"""Arrays as compressed text within the page, which its script reads."""

import base64
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scmpt_scverse._types import FloatArray, IntArray

#: A byte that stands for a missing value, and a code that stands for no label.
MISSING_BYTE, MISSING_CODE = 255, 65535
#: Three times as fast as the highest one, for about a tenth more bytes.
_LEVEL = 6
_LARGEST_BYTE, _LARGEST_PLACE = 254, 65535


def packed(array: "np.ndarray[tuple[int, ...], np.dtype[np.uint8 | np.uint16]]") -> str:
    """Bytes in little-endian order, deflated, in base64."""
    return _deflated(np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"))).tobytes())


def packed_codes(codes: "IntArray") -> str:
    """Codes below 65,535; negative ones stand for no label."""
    return packed(np.where(codes < 0, MISSING_CODE, codes).astype(np.uint16))


def packed_values(values: "FloatArray", largest: float = 1.0) -> str:
    """Values from 0 to `largest` in 255 steps, NaN as missing."""
    scaled = np.rint(np.clip(values / (largest or 1.0), 0, 1) * _LARGEST_BYTE)
    return packed(np.where(np.isfinite(scaled), scaled, MISSING_BYTE).astype(np.uint8))


def packed_places(coordinates: "FloatArray") -> tuple[str, str]:
    """Both coordinates in 65,536 steps over the larger of their ranges."""
    span = np.ptp(coordinates, axis=0).max() or 1.0
    scaled = (coordinates - coordinates.min(axis=0)) / span * _LARGEST_PLACE
    x, y = np.rint(scaled).astype(np.uint16).T
    return packed(x), packed(y)


def packed_texts(texts: Sequence[str], most_bytes: int) -> str | None:
    """Texts, one per line, or `None` where they take more than `most_bytes`."""
    text = _deflated("\n".join(" ".join(each.split()) for each in texts).encode("utf-8", "replace"))
    return text if len(text) <= most_bytes else None


def _deflated(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content, _LEVEL)).decode("ascii")
