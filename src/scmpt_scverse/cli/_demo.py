"""`scmpt demo`: annotate real cells from end to end, beside simpler predictors on the same split."""

import time
from contextlib import redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scanpy as sc
import scvi
from sklearn.model_selection import train_test_split

from scmpt_scverse import SCMPT, datasets, metrics, pl, tl
from scmpt_scverse.cli._files import write_cells
from scmpt_scverse.cli._group import is_interactive, quiet_libraries
from scmpt_scverse.cli._tables import table_of

if TYPE_CHECKING:
    from anndata import AnnData
    from rich.console import Console

_LABELS_KEY = "bulk_labels"
_TEST_SIZE = 0.3
_ENCODER = "minilm"
_EXPRESSION_KEY = "X_pca"
_DPI = 120

_INTRODUCTION = f"""\
700 blood cells of 10 types (PBMC, Zheng et al. 2017; they ship with scanpy).
Text:       each cell as a sentence of gene names, read by the frozen encoder {_ENCODER!r}.
Expression: the principal components that come with the data. They were computed on all cells, without
            labels; held-out cells took part, so figures that rest on them are a little kind."""


def run_demo(out: Path, *, seed: int, max_epochs: int | None, console: "Console") -> None:
    """Run the demo and write its files into the folder `out`, over those of an earlier run.

    Raises
    ------
    ImportError
        The text encoder of the extra `offline` is not installed.
    """
    started = time.perf_counter()
    quiet_libraries()
    out.mkdir(parents=True, exist_ok=True)
    say = partial(console.print, highlight=False, markup=False, soft_wrap=True)
    say(_INTRODUCTION)
    cells = datasets.pbmc68k_reduced()
    tl.embed(cells, _ENCODER, progress=is_interactive())
    train, test = _split(cells, seed)
    say(f"\nLearning from {train.n_obs} cells, annotating the {test.n_obs} held-out ones ...\n")

    fit = partial(_fit, train, seed=seed, max_epochs=max_epochs)
    model = fit(encoders={"text": _ENCODER}, obsm_keys={"expression": _EXPRESSION_KEY})
    model.annotate(test)
    baselines = metrics.baseline_predictions(train.X, train.obs[_LABELS_KEY], test.X)
    predictions = {
        "majority label": baselines["majority"],
        "logistic regression": baselines["logistic_regression"],
        "text only": fit(obsm_keys={"text": f"X_{_ENCODER}"}).predict(test),
        "expression only": fit(obsm_keys={"expression": _EXPRESSION_KEY}).predict(test),
        "scMPT (fused)": test.obs["scmpt_prediction"],
    }
    truth = test.obs[_LABELS_KEY]
    scores = pd.DataFrame(
        {name: metrics.classification_metrics(truth, predicted) for name, predicted in predictions.items()}
    ).T
    console.print(table_of(scores.drop(columns="n_cells"), f"On the {test.n_obs} held-out cells", index="predictor"))
    say("Logistic regression reads the log-normalised expression of all genes.\n")

    for path, content in _save(out, model, test, scores).items():
        say(f"  {path!s:<{len(str(out)) + 22}}  {content}")
    say(f"Done in {time.perf_counter() - started:.0f} s.")


def _split(cells: "AnnData", seed: int) -> "tuple[AnnData, AnnData]":
    """Training and held-out cells, every type in proportion."""
    train, test = train_test_split(
        np.arange(cells.n_obs), test_size=_TEST_SIZE, stratify=cells.obs[_LABELS_KEY], random_state=seed
    )
    return cells[np.sort(train)].copy(), cells[np.sort(test)].copy()


def _fit(
    train: "AnnData",
    *,
    obsm_keys: dict[str, str],
    encoders: dict[str, str] | None = None,
    seed: int,
    max_epochs: int | None,
) -> SCMPT:
    """A model of `train` with these modalities."""
    scvi.settings.seed = seed
    SCMPT.setup_anndata(train, _LABELS_KEY, obsm_keys=obsm_keys)
    model = SCMPT(train, encoders=encoders)
    with redirect_stdout(StringIO()):  # scvi-tools prints why training stopped; the training curve shows it
        model.train(max_epochs=max_epochs, enable_progress_bar=False)
    return model


def _save(out: Path, model: SCMPT, test: "AnnData", scores: pd.DataFrame) -> dict[Path, str]:
    """Write everything; paths with what is in them."""
    model.save(str(out / "model"), overwrite=True)
    scores.to_csv(out / "metrics.csv", index_label="predictor")
    plt.switch_backend("agg")  # files only, also where there is no display
    _umap(test)
    plt.savefig(out / "umap.png", dpi=_DPI)
    pl.confusion_matrix(test, _LABELS_KEY, show=False)
    plt.savefig(out / "confusion_matrix.png", dpi=_DPI)
    pl.training_curve(model.history, show=False)
    plt.savefig(out / "training_curve.png", dpi=_DPI)
    plt.close("all")
    write_cells(test, out / "annotated.h5ad")  # after the pictures: with the colours that they chose
    return {
        out / "model": "the trained model",
        out / "annotated.h5ad": "held-out cells with embeddings and predictions",
        out / "metrics.csv": "the table above",
        out / "umap.png": "true labels, predictions and confidence",
        out / "confusion_matrix.png": "which types are taken for which",
        out / "training_curve.png": "loss and accuracy by epoch",
    }


def _umap(test: "AnnData") -> None:
    """Draw true labels, predictions in the same colours, and confidence."""
    truth, predicted = test.obs[_LABELS_KEY].cat, test.obs["scmpt_prediction"].cat
    colours = dict(zip(truth.categories, test.uns[f"{_LABELS_KEY}_colors"], strict=True))
    test.uns["scmpt_prediction_colors"] = [colours[label] for label in predicted.categories]
    _, (left, middle, right) = plt.subplots(1, 3, figsize=(15, 4.2), layout="constrained")
    draw = partial(sc.pl.umap, test, size=60, show=False)
    draw(color=_LABELS_KEY, title="true label", legend_loc="none", ax=left)
    draw(color="scmpt_prediction", title="predicted label", ax=middle)
    draw(color="scmpt_confidence", title="confidence", ax=right)
