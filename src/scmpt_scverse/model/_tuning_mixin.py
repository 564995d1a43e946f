"""Choose settings of the head, and whether to fuse at all."""

from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from io import StringIO
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scmpt_scverse._checks import check_choice, check_key, check_positive, list_some
from scmpt_scverse.metrics import classification_metrics, paired_differences, replicate_summary
from scmpt_scverse.model._evaluation_mixin import EvaluationMixin
from scmpt_scverse.model._fields import as_text

if TYPE_CHECKING:
    from anndata import AnnData

#: The paper's grid is over learning rate, batch size and epochs. Here the best epoch is found by early stopping.
_DEFAULT_GRID: dict[str, Sequence[Any]] = {"lr": (1e-5, 1e-4, 1e-3), "batch_size": (64, 256)}
_HEAD = ("fusion", "n_hidden", "n_layers", "dropout_rate")
_PLAN = ("lr", "weight_decay")
_TRAIN = ("batch_size", "max_epochs", "class_weight")
#: What a model takes over from the best one beside what scvi-tools saves of it.
_TAKEN_OVER = frozenset({"module", "train_indices", "validation_indices", "test_indices", "_model_summary_string"})


class TuningMixin(EvaluationMixin):
    """Search of settings."""

    history: dict[str, pd.DataFrame]

    def tune(self, grid: Mapping[str, Sequence[Any]] | None = None, **train_kwargs: Any) -> pd.DataFrame:
        """Train a head for every combination of settings, and become the best of them.

        Parameters
        ----------
        grid
            Settings to the values to try: `fusion`, `n_hidden`, `n_layers`, `dropout_rate`, `lr`, `weight_decay`,
            `batch_size`, `max_epochs`, `class_weight`. `None` takes the learning rates 1e-5, 1e-4 and 1e-3 with
            batches of 64 and 256 cells.
        **train_kwargs
            Options of :meth:`train` that all have in common.

        Returns
        -------
        One row a combination, the best first: the settings, then `validation_loss`, `validation_accuracy` and
        `validation_macro_f1`. The model is then the one of the first row, trained, as if it had been made that way.

        Raises
        ------
        ValueError
            A setting is unknown or has no values, there would be no validation cells, or the head is a stacked one,
            which finds its settings itself.

        Notes
        -----
        All combinations see the same training and validation cells, and the least cross-entropy on the latter decides.
        Figures on these cells are therefore a little too good: judge the result on others. Embeddings are computed
        once.

        Examples
        --------
        >>> from scmpt_scverse import SCMPT, datasets
        >>> adata = datasets.pbmc68k_reduced()
        >>> SCMPT.setup_anndata(adata, labels_key="bulk_labels", obsm_keys={"expression": "X_pca"})
        >>> model = SCMPT(adata, n_hidden=32)
        >>> table = model.tune({"lr": [1e-3, 1e-2]}, max_epochs=3)
        >>> model.is_trained
        True
        """
        grid = _checked_grid(_DEFAULT_GRID if grid is None else grid)
        if self.init_params_["non_kwargs"]["fusion"] == "stacked" and "fusion" not in grid:
            raise ValueError("A stacked head finds its settings itself. Call `train`, or pass `fusion` in the grid.")
        if train_kwargs.get("train_size", 0.9) == 1:
            raise ValueError("Expected validation cells to compare on; found `train_size=1`. Pass less, such as 0.9.")
        adata = self._adata_or_own(None)
        self._inputs(adata)  # embeds what is missing, once for all
        cells = adata[np.arange(adata.n_obs)].copy()
        truth = as_text(cells.obs[self.registry["setup_args"]["labels_key"]], self.unlabeled_category)
        plan_kwargs = train_kwargs.pop("plan_kwargs", None) or {}
        rows, best, least = [], None, float("inf")
        for values in product(*grid.values()):
            settings = dict(zip(grid, values, strict=True))
            head = self._fresh(cells, list(self._modalities), **_only(settings, _HEAD))
            with redirect_stdout(StringIO()):  # scvi-tools prints why training stopped
                head.train(
                    plan_kwargs={**plan_kwargs, **_only(settings, _PLAN)},
                    **{"enable_progress_bar": False, **train_kwargs, **_only(settings, _TRAIN)},
                )
            validation = np.asarray(head.validation_indices)
            figures = classification_metrics(truth[validation], head.predict(cells, validation))
            loss = float(head.history["validation_loss"].min().iloc[0])
            rows.append(
                {
                    **settings,
                    "validation_loss": loss,
                    "validation_accuracy": figures["accuracy"],
                    "validation_macro_f1": figures["macro_f1"],
                }
            )
            if best is None or loss < least:
                best, least = head, loss
        assert best is not None  # the grid has a combination
        taken = {name for name in vars(best) if name.endswith("_") and not name.startswith("_")} - {"registry_"}
        for name in taken | _TAKEN_OVER:
            setattr(self, name, getattr(best, name))
        return pd.DataFrame(rows).sort_values("validation_loss", kind="stable", ignore_index=True)

    def advise(
        self,
        adata: "AnnData | None" = None,
        *,
        max_cells: int = 2000,
        group_key: str | None = None,
        n_splits: int = 5,
        seed: int = 0,
    ) -> pd.DataFrame:
        """Tell from a subsample which modality will do best, and whether fusing helps, before the full run.

        Parameters
        ----------
        adata
            Labelled cells; `None` takes the data that the model was made with. Not changed; only the cells of the
            subsample are embedded. The model need not be trained, and is not changed.
        max_cells
            Cells of the subsample, every label in proportion.
        group_key, n_splits, seed
            As in :meth:`cross_validate`.

        Returns
        -------
        One row a choice, the best first, index `choice`: `"all modalities"`, or one alone. Columns `macro_f1` with
        `lower` and `upper`, its 95 % interval over splits; `difference` to all modalities on the same splits, with
        `difference_lower` and `difference_upper`. Where the interval of a difference holds 0, there is no telling.

        Raises
        ------
        KeyError, ValueError
            As :meth:`cross_validate`.

        Notes
        -----
        By stacked heads, whatever the head of the model: they take seconds and have nothing to tune.
        """
        check_positive(max_cells, "max_cells")
        adata = self._adata_or_own(adata)
        labels_key = self.registry["setup_args"]["labels_key"]
        check_key(labels_key, adata.obs.columns, "adata.obs")
        text = as_text(adata.obs[labels_key], self.unlabeled_category)
        order = np.random.default_rng(seed).permutation(np.flatnonzero(text != self.unlabeled_category))
        order = order[np.argsort(text[order], kind="stable")]
        # At even distances along the labels, so each gives its share.
        rows = order[np.linspace(0, len(order), min(max_cells, len(order)), endpoint=False).astype(int)]
        cells = adata[np.sort(rows)].copy()
        stacked = self._fresh(cells, list(self._modalities), fusion="stacked")
        table = stacked.cross_validate(
            cells, group_key=group_key, n_splits=n_splits, seed=seed, baselines=(), train_size=1.0
        )
        names = {"scmpt": "all modalities"} | {f"scmpt ({name} alone)": f"{name} alone" for name in self._modalities}
        table["predictor"] = table["predictor"].map(names)
        summary = replicate_summary(table[["replicate", "predictor", "macro_f1"]]).set_index("predictor")
        advice = summary[["mean", "lower", "upper"]].rename(columns={"mean": "macro_f1"})
        if len(advice) > 1:
            gaps = paired_differences(table, reference="all modalities", metric="macro_f1")
            advice["difference"] = gaps["mean"]
            advice["difference_lower"], advice["difference_upper"] = gaps["lower"], gaps["upper"]
        return advice.rename_axis("choice").sort_values("macro_f1", ascending=False, kind="stable")


def _checked_grid(grid: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    if not grid:
        known = list_some((*_HEAD, *_PLAN, *_TRAIN), 9)
        raise ValueError(f"Expected settings to try; found none. Pass some of {known}.")
    for name, values in grid.items():
        check_choice(name, (*_HEAD, *_PLAN, *_TRAIN), "grid")
        if isinstance(values, str) or not isinstance(values, Sequence) or not values:
            raise ValueError(f"`grid` must give a list of values for {name!r}; found {values!r}.")
    return {name: list(values) for name, values in grid.items()}


def _only(settings: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name in names}
