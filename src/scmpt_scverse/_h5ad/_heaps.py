"""Whether the texts of an HDF5 file can be read: HDF5 loops forever on a damaged heap of them.

Texts of any length are in collections of 4 kB and more. Each begins with a signature, and holds entries that say how
long they are: where a copy that was cut short left zeros, an entry of no length follows itself for ever (seen in HDF5
2.0.0). Nothing stops that loop from outside, so it is looked for before HDF5 opens the file.
"""

from collections.abc import Callable
from pathlib import Path
from struct import Struct

_SIGNATURE = b"GCOL\x01\0\0\0"
#: Signature and size of a collection; index, number of references, four unused bytes and size of an entry.
_COLLECTION, _ENTRY = Struct("<8sQ"), Struct("<HHIQ")
_CHUNK_BYTES = 1 << 24


def check_heaps(path: Path) -> None:
    """Raise `ValueError` for a file with a damaged collection of texts. Reads the file once."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = 0
        while start < size:
            file.seek(start)
            chunk = file.read(_CHUNK_BYTES)
            place = chunk.find(_SIGNATURE)
            while place >= 0:
                file.seek(start + place)
                _check_collection(file.read(_COLLECTION.size), file.read, size - start - place)
                place = chunk.find(_SIGNATURE, place + 1)
            # A signature may lie across two chunks.
            start += _CHUNK_BYTES - len(_SIGNATURE) + 1


def _check_collection(head: bytes, read: Callable[[int], bytes], n_left: int) -> None:
    if len(head) < _COLLECTION.size:
        return
    n_bytes = _COLLECTION.unpack(head)[1]
    if not _COLLECTION.size <= n_bytes <= n_left:
        return  # HDF5 says so itself
    content = read(n_bytes - _COLLECTION.size)
    place = 0
    while place + _ENTRY.size <= len(content):
        index, _, _, length = _ENTRY.unpack_from(content, place)
        # Index 0 is what is free, its own sixteen bytes among it.
        step = length if index == 0 else _ENTRY.size + (length + 7) // 8 * 8
        if step == 0 or step > len(content) - place:
            raise ValueError("its texts are damaged, as where a copy was cut short")
        place += step
