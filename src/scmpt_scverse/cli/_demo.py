"""`scmpt demo`: annotate real cells with the recommended model, compare it, and write a page about it."""

import time
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import scvi
from sklearn.metrics import roc_auc_score

from scmpt_scverse import SCMPT, datasets, evaluation, metrics, pl, tl
from scmpt_scverse.cli._demo_page import (
    BASELINE,
    LABELS_KEY,
    RECOMMENDED,
    REPORT_NAME,
    DemoResults,
    comparison,
    mean_scores,
    write_page,
)
from scmpt_scverse.cli._files import save_cells
from scmpt_scverse.cli._group import is_interactive, quiet_libraries
from scmpt_scverse.cli._tables import table_of

if TYPE_CHECKING:
    from anndata import AnnData
    from rich.console import Console

#: The paper's kind of encoders: sentences, and a small scGPT.
_SENTENCES, _EXPRESSION = "minilm", "scgpt-mini"
#: What the recommended model reads beside that scGPT and expression itself.
_TEXT, _KNOWLEDGE = "minilm-genes", "knowledge"
_ALPHA = 0.1
#: Enough for the best-known genes of a label to come out, in a few seconds.
_N_EXPLAINED_PER_LABEL, _N_STEPS = 2, 4
_N_TOP_GENES = 6


def recommended_model(train: "AnnData") -> SCMPT:
    """The model that `SCMPT` recommends, not yet trained."""
    return SCMPT(train)


_PAPER = "paper's head (concat)"
#: What is trained on every split, in the order of the table.
_MODELS: dict[str, Callable[["AnnData"], SCMPT]] = {
    RECOMMENDED: recommended_model,
    _PAPER: partial(SCMPT, encoders={"text": _SENTENCES, "expression": _EXPRESSION}, fusion="concat"),
    "text alone": partial(SCMPT, encoders={"text": _TEXT}, fusion="stacked"),
    "knowledge alone": partial(SCMPT, encoders={"knowledge": _KNOWLEDGE}, fusion="stacked"),
    "scGPT alone": partial(SCMPT, encoders={"expression": _EXPRESSION}, fusion="stacked"),
    "genes alone": partial(SCMPT, encoders={"counts": "counts"}, fusion="stacked"),
}
#: Simpler predictors, by their names in `evaluation.baseline_probabilities`.
_BASELINES = {
    BASELINE: "logistic_regression",
    "PCA, logistic regression": "pca_logistic_regression",
    "CellTypist": "celltypist",
    "majority label": "majority",
}


def run_demo(out: Path, *, seed: int, n_splits: int, max_epochs: int | None, console: "Console") -> None:
    """Run the demo and write its files into the folder `out`, over those of an earlier run.

    Raises
    ------
    ImportError
        The text encoder, of the extra `offline`, is not installed.
    ValueError
        `n_splits` is below 2.
    """
    started = time.perf_counter()
    quiet_libraries()
    say = partial(console.print, highlight=False, markup=False, soft_wrap=True)
    cells = datasets.pbmc68k_reduced()
    splits = evaluation.cell_splits(cells.obs[LABELS_KEY], n_splits=n_splits, seed=seed)
    say(
        f"{cells.n_obs} blood cells of {cells.obs[LABELS_KEY].nunique()} types, which ship with scanpy (PBMC, Zheng et "
        f"al. 2017).\nEmbedding them, then training on {n_splits} splits ..."
    )
    for encoder in (_SENTENCES, _TEXT, _KNOWLEDGE, _EXPRESSION):
        tl.embed(cells, encoder, progress=is_interactive())

    scores, sets, annotated, models = {}, [], [], []
    for number, (train, test) in enumerate(splits):
        scvi.settings.seed = seed + number
        model, held_out, scores[number] = _run_split(cells[train].copy(), cells[test].copy(), max_epochs)
        sets.append(model.predict_sets(held_out, _ALPHA, allow_empty=True))
        held_out.obs["split"] = number
        annotated.append(held_out)
        models.append(model)
    genes, n_explained = _deciding_genes(models[0], annotated[0])
    held_out = ad.concat(annotated, merge="same", uns_merge="same")
    held_out.uns["scmpt_attributions"] = annotated[0].uns["scmpt_attributions"]
    in_set, set_size = _label_sets(pd.concat(sets), held_out)
    hidden = _hide_a_label(cells, *splits[0])
    results = DemoResults(
        scores=pd.concat(scores, names=["split"]),
        in_set=in_set,
        set_size=set_size,
        alpha=_ALPHA,
        hidden_label=hidden.uns["hidden_label"],
        trained_labels=hidden.uns["trained_labels"],
        novelty_auroc=_auroc(hidden, "scmpt_novelty"),
        doubt_auroc=_auroc(hidden, "doubt"),
        n_hidden=int(hidden.obs["is_hidden"].sum()),
        n_known=int((~hidden.obs["is_hidden"]).sum()),
        genes=genes,
        n_explained=n_explained,
    )

    say("")  # before the files, of which one may fail
    title = f"Held-out cells, mean of {n_splits} splits"
    console.print(table_of(mean_scores(results.scores), title, index="predictor"))
    say(comparison(results.scores))
    out.mkdir(parents=True, exist_ok=True)
    models[0].save(str(out / "model"), overwrite=True)
    results.scores.to_csv(out / "metrics.csv")
    results.write_json(out / "results.json")
    write_page(out / "index.html", results, held_out, hidden)
    # After the page: with the colours of its plots.
    pl.report(held_out, out / REPORT_NAME, title="Held-out blood cells of the scmpt demo")
    save_cells(held_out, out / "annotated.h5ad")
    say(f"\nDone in {time.perf_counter() - started:.0f} s. Now open the page that explains the results:")
    say(f"  {(out / 'index.html').absolute()}")
    say(f"It links to an interactive report of the cells, {REPORT_NAME} beside it.")


def _run_split(train: "AnnData", test: "AnnData", max_epochs: int | None) -> "tuple[SCMPT, AnnData, pd.DataFrame]":
    """The recommended model, the test cells annotated by it, and metrics of each predictor on these."""
    options = {_PAPER: {"max_epochs": max_epochs}}
    models = {name: _trained(make, train, **options.get(name, {})) for name, make in _MODELS.items()}
    probabilities = {name: model.predict(test, soft=True) for name, model in models.items()}
    for name, baseline in _BASELINES.items():
        probabilities[name] = evaluation.baseline_probabilities(baseline, train.X, train.obs[LABELS_KEY], test.X)
    truth = test.obs[LABELS_KEY]
    scores = {
        name: pd.concat(
            [
                metrics.classification_metrics(truth, soft.idxmax(axis=1)),
                metrics.calibration_metrics(truth, soft)[["ece"]],
            ]
        )
        for name, soft in probabilities.items()
    }
    models[RECOMMENDED].annotate(test)
    return models[RECOMMENDED], test, pd.DataFrame(scores).T.rename_axis("predictor")


def _trained(make: Callable[["AnnData"], SCMPT], train: "AnnData", **options: Any) -> SCMPT:
    """A trained model of `train`, which holds the embeddings already."""
    SCMPT.setup_anndata(train, LABELS_KEY)
    model = make(train)
    with redirect_stdout(StringIO()):  # scvi-tools prints why training stopped
        model.train(**options, enable_progress_bar=False)
    return model


def _hide_a_label(cells: "AnnData", train: "np.ndarray", test: "np.ndarray") -> "AnnData":
    """The test cells as annotated by a model that was trained without the label of the most cells."""
    labels = cells.obs[LABELS_KEY]
    hidden_label = labels.value_counts().index[0]
    known, held_out = cells[train[(labels.iloc[train] != hidden_label).to_numpy()]].copy(), cells[test].copy()
    model = _trained(recommended_model, known)
    model.annotate(held_out)
    held_out.obs["is_hidden"] = (held_out.obs[LABELS_KEY] == hidden_label).to_numpy()
    baseline = evaluation.baseline_probabilities(
        _BASELINES[BASELINE], known.X, known.obs[LABELS_KEY].astype(object), held_out.X
    )
    held_out.obs["doubt"] = 1 - baseline.max(axis=1).to_numpy()
    held_out.uns |= {"hidden_label": hidden_label, "trained_labels": list(model.labels)}
    return held_out


def _auroc(hidden: "AnnData", score: str) -> float:
    return float(roc_auc_score(hidden.obs["is_hidden"], hidden.obs[score]))


def _label_sets(sets: pd.DataFrame, held_out: "AnnData") -> tuple[list[bool], list[int]]:
    """For each held-out cell, whether its label is in its set, and how many labels are."""
    truth = held_out.obs[LABELS_KEY]
    columns = sets.columns.get_indexer(pd.Index(truth.astype(object)))
    chosen = sets.loc[held_out.obs_names].to_numpy(dtype=bool)
    return chosen[np.arange(len(chosen)), columns].tolist(), chosen.sum(axis=1).tolist()


def _deciding_genes(model: SCMPT, held_out: "AnnData") -> tuple[dict[str, list[str]], int]:
    """The genes that speak most for each label, and how many cells they were computed from."""
    model.rank_attributions(
        held_out, groupby=LABELS_KEY, n_cells_per_group=_N_EXPLAINED_PER_LABEL, n_steps=_N_STEPS, progress=False
    )
    ranking = held_out.uns["scmpt_attributions"]
    names = ranking["names"]
    genes = {label: [str(gene) for gene in names[label][:_N_TOP_GENES]] for label in names.dtype.names}
    return genes, int(sum(ranking["params"]["n_cells"]))
