"""Execute tutorials and store what they print and draw: `make tutorials`, or `python tutorials/execute.py NAME ...`.

Each runs in an empty folder with the files beside it that begin with its name, and an empty cache of embeddings.
"""

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

TUTORIALS = Path(__file__).parent
#: Longest time of a cell.
TIMEOUT_S = 600


def executed(path: Path, folder: Path) -> Any:
    """The notebook with the outputs of a run in `folder`, and nothing about when it ran."""
    for file in path.parent.glob(f"{path.stem}_*"):
        shutil.copy(file, folder)
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    NotebookClient(notebook, timeout=TIMEOUT_S, resources={"metadata": {"path": str(folder)}}).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    notebook.metadata = {name: notebook.metadata[name] for name in ("kernelspec", "language_info")}
    return notebook


def main(names: list[str]) -> None:
    """Execute those of these names, or all."""
    os.environ["OMP_NUM_THREADS"] = "1"  # the last digits of a sum depend on how many threads share it
    for path in sorted(TUTORIALS.glob("*.ipynb")):
        if names and path.stem not in names:
            continue
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            os.environ["SCMPT_CACHE"] = str(Path(folder) / "cache")
            notebook = executed(path, Path(folder))
        nbformat.write(notebook, path)
        print(f"{path.name}: {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
