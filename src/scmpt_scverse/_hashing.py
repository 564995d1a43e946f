"""sha256 of files and options, from which fingerprints are made."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path


def file_sha256(path: Path) -> str:
    """Hexadecimal sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint_of(files: Iterable[Path], folder: Path, options: Mapping[str, object]) -> str:
    """Hexadecimal sha256 over files (relative name and bytes, in the order of names) and options.

    The folder itself does not count: the same files elsewhere have the same fingerprint.
    """
    digests = {path.relative_to(folder).as_posix(): file_sha256(path) for path in files}
    record = json.dumps({"files": digests, "options": dict(options)}, sort_keys=True)
    return hashlib.sha256(record.encode()).hexdigest()
