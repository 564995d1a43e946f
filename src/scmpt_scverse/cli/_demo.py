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
_ENCODERS = {"text": "minilm", "expression": "scgpt-mini"}
_DPI = 120
_FUSED = "scMPT (fused)"
#: The models that are compared, by the encoders that they use.
_MODELS = {f"{modality} only": {modality: encoder} for modality, encoder in _ENCODERS.items()} | {_FUSED: _ENCODERS}

_INTRODUCTION = f"""\
700 blood cells of 10 types (PBMC, Zheng et al. 2017; they ship with scanpy).
Text:       each cell as a sentence of gene names, read by the frozen encoder {_ENCODERS["text"]!r}.
Expression: each cell as genes with values, read by the frozen encoder {_ENCODERS["expression"]!r}, which was
            pre-trained on other cells."""


def run_demo(out: Path, *, seed: int, n_splits: int, max_epochs: int | None, console: "Console") -> None:
    """Run the demo and write its files into the folder `out`, over those of an earlier run.

    Raises
    ------
    ImportError
        The text encoder, of the extra `offline`, is not installed.
    """
    started = time.perf_counter()
    quiet_libraries()
    out.mkdir(parents=True, exist_ok=True)
    say = partial(console.print, highlight=False, markup=False, soft_wrap=True)
    say(_INTRODUCTION)
    cells = datasets.pbmc68k_reduced()
    for encoder in _ENCODERS.values():
        tl.embed(cells, encoder, progress=is_interactive())

    splits = [_split(cells, seed + number) for number in range(n_splits)]
    train, test = splits[0]
    say(f"\nLearning from {train.n_obs} cells, annotating the {test.n_obs} held-out ones; {n_splits} splits ...\n")
    models = [_fit(train, _MODELS[_FUSED], seed, max_epochs) for train, _ in splits]
    scores = pd.concat(
        [_scores(model, *split, seed, max_epochs) for model, split in zip(models, splits, strict=True)],
        keys=pd.RangeIndex(n_splits, name="split"),
    )
    mean = scores.groupby("predictor", sort=False).mean()
    title = f"On {test.n_obs} held-out cells, mean of {n_splits} splits"
    console.print(table_of(mean.drop(columns="n_cells"), title, index="predictor"))
    say("Logistic regression reads the log-normalised expression of all genes.")
    for single in _MODELS:
        if single == _FUSED:
            continue
        wins = (scores["macro_f1"].xs(_FUSED, level=1) > scores["macro_f1"].xs(single, level=1)).sum()
        say(f"scMPT has a higher macro F1 than {single} on {wins} of {n_splits} splits.")

    models[0].annotate(test)
    say("\nFrom the first split:")
    for path, content in _save(out, models[0], test, scores).items():
        say(f"  {path!s:<{len(str(out)) + 22}}  {content}")
    say(f"Done in {time.perf_counter() - started:.0f} s.")


def _scores(model: SCMPT, train: "AnnData", test: "AnnData", seed: int, max_epochs: int | None) -> pd.DataFrame:
    """Figures of the fused model and of simpler predictors on the held-out cells of one split."""
    baselines = metrics.baseline_predictions(train.X, train.obs[_LABELS_KEY], test.X)
    predictions = {"majority label": baselines["majority"], "logistic regression": baselines["logistic_regression"]}
    for name, encoders in _MODELS.items():
        predictions[name] = (model if name == _FUSED else _fit(train, encoders, seed, max_epochs)).predict(test)
    truth = test.obs[_LABELS_KEY]
    table = {name: metrics.classification_metrics(truth, predicted) for name, predicted in predictions.items()}
    return pd.DataFrame(table).T.rename_axis("predictor")


def _split(cells: "AnnData", seed: int) -> "tuple[AnnData, AnnData]":
    """Training and held-out cells, every type in proportion."""
    train, test = train_test_split(
        np.arange(cells.n_obs), test_size=_TEST_SIZE, stratify=cells.obs[_LABELS_KEY], random_state=seed
    )
    return cells[np.sort(train)].copy(), cells[np.sort(test)].copy()


def _fit(train: "AnnData", encoders: dict[str, str], seed: int, max_epochs: int | None) -> SCMPT:
    """A model of `train`, whose embeddings by these encoders are there already."""
    scvi.settings.seed = seed
    SCMPT.setup_anndata(train, _LABELS_KEY)
    model = SCMPT(train, encoders=encoders)
    with redirect_stdout(StringIO()):  # scvi-tools prints why training stopped; the training curve shows it
        model.train(max_epochs=max_epochs, enable_progress_bar=False)
    return model


def _save(out: Path, model: SCMPT, test: "AnnData", scores: pd.DataFrame) -> dict[Path, str]:
    """Write everything; paths with what is in them."""
    model.save(str(out / "model"), overwrite=True)
    scores.to_csv(out / "metrics.csv")
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
        out / "metrics.csv": "the figures of every split",
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
