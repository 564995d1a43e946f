"""Runs the official scGPT package; started by `test_scgpt_parity.py` in a process of its own.

`python -m tests.parity._run_official_scgpt PACKAGE_FOLDER WORK_FOLDER` reads in the work folder what the test wrote:

- `values.npz` (`values`, `indptr`): bins of every row by the official `binning` go to `bins.npy`;
- each `CHECKPOINT/tokens.npz` (`gene_ids`, `values`): the official `<cls>` rows go to `CHECKPOINT/cls.npy`;
- `cells.h5ad` and the checkpoint `small`: what the official `embed_data` gives in three runs goes to `embedded.npy`.
"""

import json
import multiprocessing
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import torch
from tests.parity._torchtext_stand_in import install


def load_model(folder: Path) -> tuple[Any, Any]:
    """As the official `embed_data` does, which keeps the model to itself."""
    args = json.loads((folder / "args.json").read_text())
    vocabulary = import_module("scgpt.tokenizer").GeneVocab.from_file(folder / "vocab.json")
    model = import_module("scgpt.model").TransformerModel(
        ntoken=len(vocabulary),
        d_model=args["embsize"],
        nhead=args["nheads"],
        d_hid=args["d_hid"],
        nlayers=args["nlayers"],
        nlayers_cls=args["n_layers_cls"],
        vocab=vocabulary,
        dropout=args["dropout"],
        pad_token=args["pad_token"],
        pad_value=args["pad_value"],
        do_mvc=True,
    )
    weights = torch.load(folder / "best_model.pt", weights_only=True)
    import_module("scgpt.utils").load_pretrained(model, weights, verbose=False)
    return model.eval(), vocabulary


def cls_rows(folder: Path) -> np.ndarray[Any, Any]:
    model, vocabulary = load_model(folder)
    tokens = np.load(folder / "tokens.npz")
    gene_ids = torch.from_numpy(tokens["gene_ids"])
    with torch.no_grad():
        rows = model._encode(gene_ids, torch.from_numpy(tokens["values"]), gene_ids.eq(vocabulary["<pad>"]))[:, 0]
    normalised: np.ndarray[Any, Any] = (rows / rows.norm(dim=1, keepdim=True)).numpy()
    return normalised


def main(work: Path) -> None:
    install()
    binning, embed_data = import_module("scgpt.preprocess").binning, import_module("scgpt.tasks").embed_data
    rows = np.load(work / "values.npz")
    pieces = np.split(rows["values"], rows["indptr"][1:-1])
    np.save(work / "bins.npy", np.concatenate([binning(piece, n_bins=51) for piece in pieces]))
    for tokens in work.glob("*/tokens.npz"):
        np.save(tokens.parent / "cls.npy", cls_rows(tokens.parent))
    torch.manual_seed(0)  # from which the data loader's processes seed numpy, and so the draws of bins
    np.save(work / "embedded.npy", [embed(embed_data, work) for _ in range(3)])


def embed(embed_data: Any, work: Path) -> np.ndarray[Any, Any]:
    cells = anndata.read_h5ad(work / "cells.h5ad")
    cells = embed_data(cells, work / "small", gene_col="index", device="cpu", use_fast_transformer=False)
    embeddings: np.ndarray[Any, Any] = cells.obsm["X_scGPT"]
    return embeddings


if __name__ == "__main__":
    multiprocessing.set_start_method("fork")  # the default until Python 3.14, and what the official code needs
    sys.path.insert(0, sys.argv[1])
    main(Path(sys.argv[2]))
