"""The official scGPT package as a peer; run by `benchmarks/run.py` in a process of its own.

`python -m benchmarks._official_scgpt PACKAGE_FOLDER CHECKPOINT CELLS.h5ad DEVICE` prints seconds of the official
`embed_data`.
"""

import sys
import time
from importlib import import_module
from pathlib import Path

import anndata
from tests.parity._torchtext_stand_in import install


def main(checkpoint: Path, cells: Path, device: str) -> None:
    """Embed the cells once; what is imported first does not count."""
    install()
    embed_data = import_module("scgpt.tasks").embed_data
    adata = anndata.read_h5ad(cells)
    embed_data(adata[:2].copy(), checkpoint, gene_col="index", device=device, use_fast_transformer=False)
    start = time.perf_counter()
    embed_data(adata, checkpoint, gene_col="index", device=device, use_fast_transformer=False)
    print(time.perf_counter() - start)


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    main(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
