"""Embeddings of cells on disk, keyed by what the encoder read: one SQLite file that processes can share.

Why not the library `diskcache`: 5.6.3, its last release (August 2023), survives two writers and SIGKILL as this module
does, and keeps to its size limit, but is slower. For 20,000 rows of 384 float32 in chunks of 1,000, both as raw bytes:

| microseconds per row                 | write | read, first | read, warm | MB on disk |
|--------------------------------------|-------|-------------|------------|------------|
| this module (drops least recently used) | 11 to 19 | 11 to 13 |        6.3 |         42 |
| diskcache, drops least recently stored  | 35 to 37 | 10 to 12 |        9.8 |         48 |
| diskcache, drops least recently used    | 36 to 44 | 38 to 41 |         32 |         48 |

It reads one key per statement, whereas up to 900 keys take two statements here. A damaged file is an error there, so
the recovery below would stay. And it unpickles what a row declares to be pickled, even where only bytes were stored:
whoever can write the file can run code (CVE-2025-69872, without a fix). Here rows are read as numbers only.
"""

import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pandas as pd

from scmpt_scverse._checks import warn_user
from scmpt_scverse._folders import CACHE_VARIABLE, cache_folder

if TYPE_CHECKING:
    from scmpt_scverse._types import BoolArray, FloatArray

#: Environment variable that says how many GB the cache may hold.
SIZE_VARIABLE = "SCMPT_CACHE_GB"
#: Raise the number when encoders compute differently from the same weights, so that old rows are not found.
_FILE = "embeddings-1.sqlite"
_DEFAULT_GB = 10.0
#: When the cache is full, the least recently used rows are dropped until this share of its size is left.
_KEPT_SHARE = 0.9
#: How long a process waits for another one that is writing.
_TIMEOUT_S = 60.0
#: Most parameters of an SQL statement; the oldest builds of SQLite take 999.
_MAX_VALUES = 900
#: The time of last use of a row is updated no more often than this.
_USE_RESOLUTION_S = 3600
_SCHEMA = """
CREATE TABLE IF NOT EXISTS space (id INTEGER PRIMARY KEY, encoder TEXT, fingerprint TEXT, precision TEXT,
    UNIQUE (fingerprint, precision));
CREATE TABLE IF NOT EXISTS embedding (space INTEGER, key BLOB, used INTEGER, row BLOB, UNIQUE (space, key));
CREATE INDEX IF NOT EXISTS embedding_used ON embedding (used);
"""

T = TypeVar("T")


def content_key(content: bytes) -> bytes:
    """The key of some content in the cache: a hash of 16 bytes."""
    return hashlib.blake2b(content, digest_size=16).digest()


@dataclass(frozen=True)
class Space:
    """What rows that can be compared have in common.

    Attributes
    ----------
    encoder
        Name of the encoder, for display.
    fingerprint
        Fingerprint of the encoder.
    precision
        Number format in which it computed, such as `"float32"`.
    embedding_dim
        Width of a row.
    """

    encoder: str
    fingerprint: str
    precision: str
    embedding_dim: int


class EmbeddingCache:
    """Rows of embeddings, found by content.

    A row is found by the encoder's fingerprint, the precision, and a hash of the cell's prepared input. So a second
    run reuses them, also with other labels and for a subset or a superset of the cells. Rows are written in
    transactions: a killed process loses the chunk that it was writing, and leaves nothing half-written. A cache
    that fails (no space, no permission) is abandoned with a warning, and cells are computed; a damaged file is replaced
    with a warning.

    Parameters
    ----------
    folder
        Where the file is; `None` takes the environment variable `SCMPT_CACHE`, else the user's cache folder.
    max_gb
        Size in GB beyond which the least recently used rows are dropped; `None` takes `SCMPT_CACHE_GB`, else 10.

    Raises
    ------
    ValueError
        `SCMPT_CACHE_GB` is not a number.
    """

    def __init__(self, folder: Path | None = None, *, max_gb: float | None = None) -> None:
        self._connection: sqlite3.Connection | None = None
        self._is_given_up = False
        self.path = (folder or cache_folder()) / _FILE
        self._max_bytes = int((_default_gb() if max_gb is None else max_gb) * 1e9)

    def get(self, space: "Space", keys: Sequence[bytes]) -> "tuple[BoolArray, FloatArray]":
        """Which keys are in the cache, shape `(n_keys,)`, and their rows in order, shape `(n_found, embedding_dim)`."""
        rows = self._attempt(lambda connection: self._read(connection, space, keys)) or {}
        is_found = np.fromiter((key in rows for key in keys), dtype=bool, count=len(keys))
        found = [np.frombuffer(rows[key], dtype="<f4") for key in keys if key in rows]
        return is_found, np.array(found, dtype=np.float32).reshape(len(found), space.embedding_dim)

    def put(self, space: "Space", keys: Sequence[bytes], rows: "FloatArray") -> None:
        """Add rows, shape `(n_keys, embedding_dim)`."""
        self._attempt(lambda connection: self._write(connection, space, keys, rows))

    def info(self) -> pd.DataFrame:
        """One row per encoder fingerprint and precision, with number of cells and size in MB."""
        columns = ["encoder", "precision", "fingerprint", "n_cells", "megabytes"]
        if not self.path.exists():
            return pd.DataFrame(columns=columns)
        query = (
            "SELECT encoder, precision, fingerprint, COUNT(row), COALESCE(SUM(LENGTH(row)), 0) / 1e6 FROM space "
            "LEFT JOIN embedding ON space = id GROUP BY id ORDER BY encoder, precision"
        )
        rows = self._attempt(lambda connection: connection.execute(query).fetchall())
        return pd.DataFrame(rows or [], columns=columns)

    def clear(self) -> None:
        """Remove all rows.

        Raises
        ------
        OSError
            The file cannot be removed.
        """
        self.close()
        for path in self.path.parent.glob(_FILE + "*"):
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __del__(self) -> None:
        self.close()

    def _attempt(self, action: Callable[[sqlite3.Connection], T]) -> T | None:
        """Run an action on the file; after a failure, warn once and go on without the cache."""
        if self._is_given_up:
            return None
        try:
            return action(self._open())
        except sqlite3.DatabaseError as error:
            self.close()
            if _is_damaged(error):
                return self._start_again(action, error)
            self._give_up(error)
        except OSError as error:
            self._give_up(error)
        return None

    def _start_again(self, action: Callable[[sqlite3.Connection], T], damage: sqlite3.DatabaseError) -> T | None:
        warn_user(f"The embedding cache {self.path} is damaged ({damage}); it is removed and started again.")
        try:
            self.clear()
            return action(self._open())
        except (OSError, sqlite3.DatabaseError) as error:
            self._give_up(error)
            return None

    def _give_up(self, error: Exception) -> None:
        self.close()
        self._is_given_up = True
        warn_user(
            f"The embedding cache {self.path} cannot be used ({error}); cells are computed without it. Set the "
            f"environment variable {CACHE_VARIABLE} to a writable folder with free space, or pass `cache=False`."
        )

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Autocommit: transactions begin where they are written, below.
            self._connection = sqlite3.connect(self.path, timeout=_TIMEOUT_S, isolation_level=None)
            self._connection.executescript(_SCHEMA)
        return self._connection

    def _read(self, connection: sqlite3.Connection, space: Space, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        n_bytes = 4 * space.embedding_dim
        number = self._space_id(connection, space)
        if number is None:
            return found
        now = int(time.time())
        for start in range(0, len(keys), _MAX_VALUES):
            some = keys[start : start + _MAX_VALUES]
            marks = ",".join("?" * len(some))
            where = f"WHERE space = ? AND key IN ({marks})"
            selected = connection.execute(f"SELECT key, row FROM embedding {where}", (number, *some)).fetchall()
            # Anything can be in a row: others may be able to write to the file.
            found.update((key, row) for key, row in selected if isinstance(row, bytes) and len(row) == n_bytes)
            connection.execute(
                f"UPDATE embedding SET used = ? {where} AND used < ?", (now, number, *some, now - _USE_RESOLUTION_S)
            )
        return found

    def _write(self, connection: sqlite3.Connection, space: Space, keys: Sequence[bytes], rows: "FloatArray") -> None:
        now = int(time.time())
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute(
                "INSERT OR IGNORE INTO space (encoder, fingerprint, precision) VALUES (?, ?, ?)",
                (space.encoder, space.fingerprint, space.precision),
            )
            number = self._space_id(connection, space)
            values = np.ascontiguousarray(rows, dtype="<f4")
            connection.executemany(
                "INSERT OR REPLACE INTO embedding VALUES (?, ?, ?, ?)",
                [(number, key, now, row.tobytes()) for key, row in zip(keys, values, strict=True)],
            )
            self._make_room(connection)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _make_room(self, connection: sqlite3.Connection) -> None:
        """Drop the least recently used rows if the file is full; SQLite reuses their space."""
        page_size, n_pages, n_free = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "page_count", "freelist_count")
        )
        n_bytes = page_size * (n_pages - n_free)
        if n_bytes <= self._max_bytes:
            return
        n_rows = connection.execute("SELECT COUNT(*) FROM embedding").fetchone()[0]
        n_dropped = int(n_rows * (1 - _KEPT_SHARE * self._max_bytes / n_bytes)) + 1
        connection.execute(
            "DELETE FROM embedding WHERE rowid IN (SELECT rowid FROM embedding ORDER BY used, rowid LIMIT ?)",
            (n_dropped,),
        )

    @staticmethod
    def _space_id(connection: sqlite3.Connection, space: Space) -> int | None:
        row = connection.execute(
            "SELECT id FROM space WHERE fingerprint = ? AND precision = ?", (space.fingerprint, space.precision)
        ).fetchone()
        return None if row is None else int(row[0])


def _is_damaged(error: sqlite3.DatabaseError) -> bool:
    # The lowest byte is the kind of error, the others say more; errors of the Python module itself have no code.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def _default_gb() -> float:
    text = os.environ.get(SIZE_VARIABLE, str(_DEFAULT_GB))
    try:
        return float(text)
    except ValueError as error:
        raise ValueError(f"The environment variable {SIZE_VARIABLE} must be a number of GB; found {text!r}.") from error
