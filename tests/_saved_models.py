"""Small saved models of this format, which later versions still have to open: `tests/fixtures/models`.

Made once per format, by `python -m tests._saved_models`, and not again where only the code changes: a test opens them
and compares what they say of a few cells with what they said when they were made.
"""

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse
from tests._zero_shot import LABELS, SEEN, WordEncoder, markers, study, two_studies

from scmpt_scverse import SCMMGPT, SCMPT
from scmpt_scverse.module import TowerOptions

FOLDER = Path(__file__).parent / "fixtures" / "models"
#: Beside each model: cells, and what the model says of them.
EXPECTED = "expected.json"
_PROTEINS = "X_protein"


def labelled_cells() -> AnnData:
    """Cells of five types, with a measurement of the user's."""
    cells = study(SEEN, n_each=12, seed=1)
    codes = pd.Categorical(cells.obs["cell_type"]).codes
    noise = np.random.default_rng(0).normal(size=(cells.n_obs, 5))
    cells.obsm[_PROTEINS] = (np.eye(5)[codes] + noise).astype(np.float32)
    return cells


def cells_of(folder: Path) -> AnnData:
    """The cells beside a saved model."""
    stored = json.loads((folder / EXPECTED).read_text())
    matrix = sparse.csr_matrix(np.array(stored["counts"], dtype=np.float32))
    cells = AnnData(matrix, obs=pd.DataFrame(index=stored["cells"]), var=pd.DataFrame(index=stored["genes"]))
    for key, values in stored["obsm"].items():
        cells.obsm[key] = np.array(values, dtype=np.float32)
    return cells


def answers_of(model: SCMPT | SCMMGPT, cells: AnnData) -> dict[str, Any]:
    """Probabilities and labels of some cells, as plain values."""
    if isinstance(model, SCMPT):
        soft, labels = model.predict(cells, soft=True), model.predict(cells)
    else:
        given: dict[str, Any] = {"labels": LABELS, "refine": "none"}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Cells are compared, in part, with the mean of the query")  # of few cells
            soft, labels = model.predict(cells, soft=True, **given), model.predict(cells, **given)
    return {"columns": list(soft.columns), "probabilities": soft.to_numpy().tolist(), "labels": list(labels)}


def opened(folder: Path) -> SCMPT | SCMMGPT:
    """The saved model of a folder, named by its class."""
    if folder.name == "SCMPT":
        return SCMPT.load(str(folder), adata=False)
    return SCMMGPT.load(str(folder), adata=False, text_encoder=WordEncoder())


def _write(model: SCMPT | SCMMGPT, cells: AnnData, **options: Any) -> None:
    folder = FOLDER / type(model).__name__
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    model.save(str(folder), **options)
    stored = {
        "cells": list(cells.obs_names),
        "genes": list(cells.var_names),
        "counts": cells.X.toarray().astype(int).tolist(),
        "obsm": {key: np.asarray(values).tolist() for key, values in cells.obsm.items()},
    }
    (folder / EXPECTED).write_text(json.dumps(stored))
    said = answers_of(opened(folder), cells_of(folder))
    (folder / EXPECTED).write_text(json.dumps({**stored, **said}) + "\n")


def make_all() -> None:
    """Write the models."""
    cells = labelled_cells()
    SCMPT.setup_anndata(cells, "cell_type", obsm_keys={"protein": _PROTEINS})
    model = SCMPT(cells, encoders={"counts": {"encoder": "counts", "n_genes": 40}}, fusion="stacked")
    model.train(enable_progress_bar=False)
    model.min_confidence, model.max_novelty = 0.4, 0.995
    # Fewer than the default, so that the file stays small.
    _write(model, labelled_cells()[::10].copy())

    studies = two_studies()
    SCMMGPT.setup_anndata(studies, "cell_type", batch_key="study")
    text_model = SCMMGPT(studies, text_encoder=WordEncoder())
    options = TowerOptions(n_hidden=16, n_axes=8, n_steps=60, types_per_step=8, lr=5e-3)
    text_model.train(markers=markers(), options=options, progress=False, accelerator="cpu")
    _write(text_model, ad.concat([study(LABELS, n_each=3, seed=3)]), half_precision=True)


if __name__ == "__main__":
    make_all()
