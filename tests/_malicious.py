"""A file that runs a command when it is unpickled."""

import os
import pickle
from pathlib import Path


class Malicious:
    """Creates the file `witness` when it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.witness}",)


def assert_is_harmful(pickled: bytes, witness: Path) -> None:
    """That unpickling would have run the command, and nothing has: else a test proves nothing."""
    assert not witness.exists()
    pickle.loads(pickled)
    assert witness.exists()
