"""Run ablations over splits, with a random seed for each, and return a tidy table."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData
from tqdm import tqdm

from scmpt_scverse._checks import check_key, check_positive, check_seed, list_some, type_name
from scmpt_scverse._labels import distinct_labels, labels_or
from scmpt_scverse.ablation._base import Ablation
from scmpt_scverse.encoders import CacheableCells
from scmpt_scverse.evaluation import cell_splits, check_train_options
from scmpt_scverse.metrics import classification_metrics
from scmpt_scverse.modalities import as_cells

if TYPE_CHECKING:
    from scmpt_scverse._types import FloatArray, IntArray, StrArray
    from scmpt_scverse.modalities import GeneEncoder, Modalities
    from scmpt_scverse.model import SCMPT
    from scmpt_scverse.pp import Organism

#: Cells whose changed inputs are embedded together.
_CHUNK_SIZE = 512
_N_FOLDS = 5
INTACT = "intact"


def run(
    model: "SCMPT",
    adata: AnnData,
    ablations: Sequence[Ablation],
    *,
    n_replicates: int = 5,
    retrain: bool = True,
    group_key: str | None = None,
    layer: str | None = None,
    gene_symbols: str | None = None,
    organism: "Organism | None" = None,
    seed: int = 0,
    progress: bool = True,
    **train_options: Any,
) -> pd.DataFrame:
    """Measure what a model loses with each ablation.

    Parameters
    ----------
    model
        A trained model, of which the encoders, the type of head and its options are used. The modality `"counts"` keeps
        the genes that varied most among the cells that this model was trained on.
    adata
        Labelled cells with expression; a MuData for a model that was set up with one.
    ablations
        What to change; the intact model is always measured as well.
    n_replicates
        Number of splits into training and held-out cells, each with its own random changes: folds of a repeated
        five-fold cross-validation. With fewer than five groups, there is one fold per group; with few groups, there are
        only as many repeats as there are ways to divide them.
    retrain
        Whether to train a new head on the changed cells, which measures the information that is left in them. Otherwise
        the head of `model` predicts the changed cells, which measures its robustness; cells that it was trained on are
        then left out.
    group_key
        Column of `.obs` whose groups, such as donors, are never on both sides of a split.
    layer, gene_symbols, organism
        As for :meth:`scmpt_scverse.SCMPT.predict`.
    seed
        Seed of splits and changes.
    progress
        Show a progress bar.
    **train_options
        Options of :meth:`scmpt_scverse.SCMPT.train`.

    Returns
    -------
    Tidy: `ablation` (first `"intact"`), `replicate`, `metric`, `value`; metrics as in
    :func:`scmpt_scverse.metrics.classification_metrics`, on held-out cells.

    Raises
    ------
    TypeError
        `model`, `adata` or an ablation is something else.
    RuntimeError
        The model is not trained.
    KeyError
        The column of labels or groups is missing.
    ValueError
        Two ablations have the same name, an ablation is for a modality that the model does not have, low depth is asked
        for without counts, no cell is left, or an option is out of range.
    """
    check_positive(n_replicates, "n_replicates")
    check_seed(seed)
    check_train_options(train_options)
    _check(model, ablations)
    cells = as_cells(adata, model.registry["setup_args"].get("modalities"))
    for key in filter(None, (model.labels_key, group_key)):
        check_key(key, cells.obs.columns, "adata.obs")
    modalities = model.modalities.reading(cells, layer, gene_symbols, organism)
    embedder = _Embedder(modalities, cells, progress)
    labels = labels_or(cells.obs[model.labels_key], model.unlabeled_category)
    is_usable = np.isin(labels, model.labels) & embedder.is_readable
    if not retrain:
        is_usable &= ~model.is_training_cell(
            adata, layer=layer, gene_symbols=gene_symbols, organism=modalities.source.organism
        )
    rows = np.flatnonzero(is_usable)
    if not rows.size:
        which = "" if retrain else " and that it was not trained on"
        raise ValueError(f"Expected labelled cells whose labels the model knows{which}; found none. Pass other cells.")
    groups = None if group_key is None else cells.obs[group_key].to_numpy()[rows]
    n_groups = None if group_key is None else _n_groups(cells.obs[group_key].iloc[rows], group_key)
    splits = _splits(labels[rows], groups, n_groups, n_replicates, seed)
    results = []
    for ablation in tqdm([_Intact(), *ablations], desc="Ablations", disable=not progress):
        for replicate, (train, test) in enumerate(splits):
            changed = embedder.embed(ablation, np.random.default_rng([seed, replicate]))
            if retrain:
                neutral = {name: values[rows[train]].mean(0) for name, values in embedder.intact.items()}
            else:
                neutral = {name: model.module.neutral(name).cpu().numpy() for name in changed}
            inputs = {
                # A cell without any gene left has no embedding; the neutral one takes its place.
                name: np.where(np.isnan(values), neutral[name], ablation.embedding(name, values, neutral[name]))
                for name, values in changed.items()
            }
            classifier = model.module
            if retrain:
                train_cells = {name: values[rows[train]] for name, values in inputs.items()}
                classifier = model.fit_new(train_cells, labels[rows[train]], **train_options)
            logits = classifier.logits({name: values[rows[test]] for name, values in inputs.items()})
            predicted = model.labels[logits.argmax(axis=1)]
            scores = classification_metrics(labels[rows[test]], predicted)
            results += [(ablation.name, replicate, metric, value) for metric, value in scores.items()]
    return pd.DataFrame(results, columns=["ablation", "replicate", "metric", "value"])


def _splits(
    labels: "StrArray", groups: "StrArray | None", n_groups: int | None, n_replicates: int, seed: int
) -> "list[tuple[IntArray, IntArray]]":
    """As many splits as asked for, or as few groups allow."""
    n_folds = _N_FOLDS if n_groups is None else min(_N_FOLDS, n_groups)
    n_repeats = -(-n_replicates // n_folds)
    while True:
        try:
            return cell_splits(labels, groups, n_splits=n_folds, n_repeats=n_repeats, seed=seed)[:n_replicates]
        except ValueError:  # few groups can be divided in few ways
            if n_groups is None or n_repeats == 1:
                raise
            n_repeats -= 1


def _n_groups(groups: pd.Series, group_key: str) -> int:
    n_groups = len(distinct_labels(groups))
    if n_groups < 2:
        raise ValueError(
            f"Expected at least two groups in `adata.obs[{group_key!r}]` among these cells; found {n_groups}. Pass "
            "another `group_key=`, or none."
        )
    return n_groups


class _Intact(Ablation):
    name = INTACT


class _Embedder:
    """Embeds the changed cells of one AnnData; inputs that an encoder has read before are not embedded again."""

    def __init__(self, modalities: "Modalities", adata: AnnData, progress: bool) -> None:
        self.intact: dict[str, FloatArray] = {
            name: values[np.arange(adata.n_obs)] for name, values in modalities.read(adata, progress=progress).items()
        }
        self.is_readable = np.all([np.isfinite(values).all(axis=1) for values in self.intact.values()], axis=0)
        self._reader = modalities.source.reader(adata)
        self._encoders = modalities.gene_encoders(self._reader)
        self._known: dict[str, dict[bytes, FloatArray]] = {name: {} for name in self._encoders}
        self._changed: dict[str, dict[bytes, FloatArray]] = {}  # of the ablation of the last call
        self._ablation: Ablation | None = None
        self.embed(_Intact(), np.random.default_rng(0))

    def embed(self, ablation: Ablation, generator: np.random.Generator) -> "dict[str, FloatArray]":
        """Every modality's embedding of all cells, `{modality: (n_obs, dim)}`."""
        if ablation is not self._ablation:
            self._changed, self._ablation = {name: {} for name in self._encoders}, ablation
        chunks: dict[str, list[FloatArray]] = {name: [] for name in self._encoders}
        for start, expression in enumerate(self._reader.chunks(_CHUNK_SIZE)):
            changed = ablation.expression(expression, generator)
            for name, encoder in self._encoders.items():
                rows = slice(start * _CHUNK_SIZE, (start + 1) * _CHUNK_SIZE)
                known = self.intact[name][rows] if isinstance(ablation, _Intact) else None
                chunks[name].append(self._rows(name, encoder, ablation.prepare(encoder, changed, generator), known))
        return {name: np.concatenate(chunks[name]) if name in chunks else self.intact[name] for name in self.intact}

    def _rows(self, name: str, encoder: "GeneEncoder", inputs: Any, known: "FloatArray | None") -> "FloatArray":
        if not isinstance(inputs, CacheableCells):
            return encoder.encode(inputs) if known is None else known
        contents = list(inputs.contents())
        if known is not None:
            self._known[name].update(zip(contents, known, strict=True))
        intact, changed = self._known[name], self._changed[name]
        new = {content: row for row, content in enumerate(contents) if content not in intact and content not in changed}
        if new:
            embedded = encoder.encode(inputs.take(np.fromiter(new.values(), dtype=np.int64)))
            changed.update(zip(new, embedded, strict=True))
        return np.stack([intact[content] if content in intact else changed[content] for content in contents])


def _check(model: object, ablations: object) -> None:
    from scmpt_scverse.model import SCMPT

    if not isinstance(model, SCMPT):
        raise TypeError(
            f"Expected a trained model as `model`; found {type_name(model)}. Pass an `SCMPT`, then the data."
        )
    if not model.is_trained:
        raise RuntimeError("Expected a trained model; found one that is not trained. Run `model.train()` first.")
    if isinstance(ablations, Ablation | str) or not isinstance(ablations, Sequence):
        raise TypeError(
            f"Expected a list of ablations; found {type_name(ablations)}. Pass one such as `[ablation.Shuffle()]`."
        )
    for ablation in ablations:
        if not isinstance(ablation, Ablation):
            found = f"the class {ablation.__name__}" if isinstance(ablation, type) else type_name(ablation)
            raise TypeError(f"Expected instances of `ablation.Ablation`; found {found}. Pass such as `Shuffle()`.")
    names = [INTACT, *(ablation.name for ablation in ablations)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"Two ablations are called {list_some(twice)}. Give one another `name`.")
    for ablation in ablations:
        ablation.check(model.modalities.names)
