"""Cross-validation of new models, with their modalities alone and simple predictors. A factory makes the models."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from io import StringIO
from itertools import product
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from scmpt_scverse._checks import check_choice, check_positive, list_some
from scmpt_scverse.evaluation._comparison import BaselineCells, compare_baselines, results_of
from scmpt_scverse.metrics import classification_metrics, paired_differences, replicate_summary

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import IntArray, StrArray

#: The paper's grid is over learning rate, batch size and epochs. Here the best epoch is found by early stopping.
DEFAULT_GRID: dict[str, Sequence[Any]] = {"lr": (1e-5, 1e-4, 1e-3), "batch_size": (64, 256)}
_HEAD = ("fusion", "n_hidden", "n_layers", "dropout_rate")
_PLAN = ("lr", "weight_decay")
_TRAIN = ("batch_size", "max_epochs", "class_weight")
ALL = "all modalities"


class Trainable(Protocol):
    """A model that is trained on the cells that it was created with."""

    history: Mapping[str, pd.DataFrame]
    validation_indices: Any

    def train(self, **options: Any) -> None:
        """Train on these cells."""
        ...

    def predict(self, adata: Any = None, indices: Any = None, soft: Any = False) -> Any:
        """Labels, or probabilities with `soft`."""
        ...


def check_train_options(options: Mapping[str, Any]) -> None:
    """Raise `ValueError` for options of `train` that can only apply to one model, where many are trained."""
    if options.get("checkpoints") is not None:
        raise ValueError(
            f"`checkpoints` is the folder of one training; found {str(options['checkpoints'])!r} for many models. "
            "Leave it out, and pass it to `train`."
        )


def cross_validate(
    make_model: "Callable[[AnnData, Sequence[str]], Trainable]",
    baseline_cells: "Callable[[AnnData], BaselineCells]",
    cells: "AnnData",
    truth: "StrArray",
    splits: "Sequence[tuple[IntArray, IntArray]]",
    modalities: Sequence[str],
    *,
    unlabeled: str,
    own_name: str,
    baselines: Sequence[str],
    modalities_alone: bool,
    seed: int,
    **train_options: Any,
) -> pd.DataFrame:
    """Train a new model on every split, and predict the cells that it holds out.

    Parameters
    ----------
    make_model
        Gives a new model from training cells and the modalities that it fuses.
    baseline_cells
        Gives what baselines read of some cells.
    cells
        Labelled cells.
    truth
        Their labels, shape `(n_obs,)`.
    splits
        `(train, test)` rows.
    modalities
        Modalities of the model.
    unlabeled
        Label of cells without a prediction.
    own_name
        Name of the model itself in the results.
    baselines
        Names of the simple predictors.
    modalities_alone
        Also evaluate a model of each modality alone, where there are several.
    seed
        Seed of the baselines.
    **train_options
        Options of `train`.

    Returns
    -------
    One row per split and predictor: `replicate`, `predictor`, then metrics.
    """
    alone = [[name] for name in modalities] if modalities_alone and len(modalities) > 1 else []
    rows: list[pd.Series] = []
    for replicate, (train_rows, test_rows) in enumerate(splits):
        train, test = cells[train_rows].copy(), cells[test_rows].copy()
        predictions = {}
        for some in (list(modalities), *alone):
            name = own_name if len(some) == len(modalities) else f"{own_name} ({some[0]} alone)"
            model = trained(make_model(train, some), train_options)
            predictions[name] = model.predict(test, soft=True)
        predictions |= compare_baselines(
            baselines, baseline_cells(train), truth[train_rows], baseline_cells(test), seed=seed
        )
        rows.extend(
            results_of(truth[test_rows], soft, unlabeled).rename((replicate, name))
            for name, soft in predictions.items()
        )
    table = pd.DataFrame(rows)
    table.index = pd.MultiIndex.from_tuples(table.index, names=["replicate", "predictor"])
    return table.reset_index()


def search(
    make_model: "Callable[..., Trainable]",
    truth: "StrArray",
    grid: Mapping[str, Sequence[Any]],
    **train_options: Any,
) -> tuple[pd.DataFrame, Any]:
    """Train a model for every combination of settings, all on the same training and validation cells.

    Parameters
    ----------
    make_model
        Gives a new model from options of the head.
    truth
        Labels of the cells, shape `(n_obs,)`.
    grid
        Setting to values.
    **train_options
        Options of `train`, the same for all models.

    Returns
    -------
    One row per combination, lowest validation loss first; and the model of the first row.

    Raises
    ------
    ValueError
        There are no validation cells.
    """
    plan = train_options.pop("plan_kwargs", None) or {}
    rows, best, least = [], None, float("inf")
    for values in product(*grid.values()):
        settings = dict(zip(grid, values, strict=True))
        options = {**train_options, **_only(settings, _TRAIN), "plan_kwargs": {**plan, **_only(settings, _PLAN)}}
        model = trained(make_model(**_only(settings, _HEAD)), options)
        validation = np.asarray(model.validation_indices)
        if not len(validation):
            raise ValueError("Expected validation cells to compare on; found none. Pass `train_size` below 1.")
        results = classification_metrics(truth[validation], model.predict(None, validation))
        loss = float(model.history["validation_loss"].min().iloc[0])
        rows.append(
            {
                **settings,
                "validation_loss": loss,
                "validation_accuracy": results["accuracy"],
                "validation_macro_f1": results["macro_f1"],
            }
        )
        if best is None or loss < least:
            best, least = model, loss
    return pd.DataFrame(rows).sort_values("validation_loss", kind="stable", ignore_index=True), best


def checked_grid(grid: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    """Settings to try; `ValueError` for one that is unknown or has no values."""
    known = (*_HEAD, *_PLAN, *_TRAIN)
    if not grid:
        raise ValueError(f"Expected settings to try; found none. Pass some of {list_some(known, 9)}.")
    for name, values in grid.items():
        check_choice(name, known, "grid")
        if isinstance(values, str) or not isinstance(values, Sequence) or not values:
            raise ValueError(f"`grid` must give a list of values for {name!r}; found {values!r}.")
    return {name: list(values) for name, values in grid.items()}


def subsample(truth: "StrArray", unlabeled: str, max_cells: int, seed: int) -> "IntArray":
    """Rows of at most `max_cells` labelled cells, ascending, with every label in proportion."""
    check_positive(max_cells, "max_cells")
    order = np.random.default_rng(seed).permutation(np.flatnonzero(truth != unlabeled))
    order = order[np.argsort(truth[order], kind="stable")]
    # At equal intervals along the sorted labels, so that each contributes its share.
    chosen = np.linspace(0, len(order), min(max_cells, len(order)), endpoint=False).astype(int)
    return np.sort(order[chosen])


def advice_from(table: pd.DataFrame, own_name: str, modalities: Sequence[str]) -> pd.DataFrame:
    """Which choice of modalities does best in a cross-validation, best first; see :meth:`SCMPT.advise`."""
    names = {own_name: ALL} | {f"{own_name} ({name} alone)": f"{name} alone" for name in modalities}
    table = table.assign(predictor=table["predictor"].map(names))
    summary = replicate_summary(table[["replicate", "predictor", "macro_f1"]]).set_index("predictor")
    advice = summary[["mean", "lower", "upper"]].rename(columns={"mean": "macro_f1"})
    if len(advice) > 1:
        gaps = paired_differences(table, reference=ALL, metric="macro_f1")
        advice["difference"] = gaps["mean"]
        advice["difference_lower"], advice["difference_upper"] = gaps["lower"], gaps["upper"]
    return advice.rename_axis("choice").sort_values("macro_f1", ascending=False, kind="stable")


def trained(model: Trainable, options: Mapping[str, Any]) -> Trainable:
    """The model after training, which prints nothing."""
    with redirect_stdout(StringIO()):  # scvi-tools prints why training stopped
        model.train(**{"enable_progress_bar": False, **options})
    return model


def _only(settings: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name in names}
