"""What helps to decide before a model is used: how right it would be, on which genes, and with which settings."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from scmpt_scverse._checks import check_seed
from scmpt_scverse.evaluation import (
    DEFAULT_BASELINES,
    advice_from,
    check_baselines,
    check_train_options,
    sample_of_types,
    subsample,
)
from scmpt_scverse.modalities import gene_coverage
from scmpt_scverse.model.reference_labels._new_models import (
    ModelKind,
    checked_search,
    cross_validated,
    panel_advice,
    truth_and_groups,
    tuned,
)

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import FloatArray, StrArray
    from scmpt_scverse.modalities import Modalities
    from scmpt_scverse.pp import Organism


class AdvisesMixin:
    """Estimates by new models of the same kind, and what the data offer; the model need not be trained."""

    adata: Any
    modalities: "Modalities"
    labels_key: str
    batch_key: str | None
    unlabeled_category: str
    _unlabeled_names: list[str]
    _own_name: str
    _kind: ModelKind
    _cells: "Callable[[AnnData | None], AnnData]"
    _query: "Callable[[AnnData | None, str | None, str | None, Organism | None], tuple[AnnData, Modalities]]"
    _become: Callable[[Any], None]

    def cross_validate(
        self,
        adata: "AnnData | None" = None,
        *,
        group_key: "str | Literal[False] | None" = None,
        n_splits: int = 5,
        n_repeats: int = 1,
        baselines: Sequence[str] = DEFAULT_BASELINES,
        modalities_alone: bool = True,
        layer: str | None = None,
        gene_symbols: str | None = None,
        organism: "Organism | None" = None,
        seed: int = 0,
        **train_kwargs: Any,
    ) -> pd.DataFrame:
        """Train a new head of the same kind on every split, and compare it with its parts and simpler predictors.

        Parameters
        ----------
        adata
            Labelled cells; `None` takes the data that the model was made with. The model itself need not be trained,
            and is not changed.
        group_key
            Column of `.obs` with donors, batches or studies; none of them is on both sides of a split. `None` takes the
            `batch_key` of :meth:`setup_anndata`, and splits by cell where there is none; `False` splits by cell in any
            case.
        n_splits, n_repeats, seed
            As in :func:`scmpt_scverse.evaluation.cell_splits`.
        baselines
            As in :meth:`evaluate`.
        modalities_alone
            Also train a head on each modality alone, where there are several.
        layer, gene_symbols, organism
            As for :meth:`predict`.
        **train_kwargs
            Options of :meth:`train`, such as `max_epochs`.

        Returns
        -------
        One row per split and predictor: columns `replicate`, `predictor`, then those of :meth:`evaluate`.
        :func:`scmpt_scverse.metrics.replicate_summary` makes means with intervals of it, and
        :func:`scmpt_scverse.metrics.paired_differences` compares two predictors.

        Raises
        ------
        KeyError
            `group_key` or the label column is missing.
        ValueError
            As :meth:`train` and :func:`scmpt_scverse.evaluation.cell_splits`; before anything is embedded or trained.

        Warns
        -----
        UserWarning
            Cells are copies of others that are trained on while they are tested.

        Notes
        -----
        Embeddings are computed once, since no encoder sees a label. Everything that learns sees only the training
        cells of the split. For labels with few cells, see :func:`scmpt_scverse.evaluation.cell_splits`.

        Examples
        --------
        >>> from scmpt_scverse import SCMPT, datasets, metrics
        >>> adata = datasets.pbmc68k_reduced()
        >>> SCMPT.setup_anndata(adata, labels_key="bulk_labels", obsm_keys={"expression": "X_pca"})
        >>> table = SCMPT(adata).cross_validate(n_splits=3)
        >>> summary = metrics.replicate_summary(table)
        """
        check_baselines(baselines)
        check_train_options(train_kwargs)
        adata, modalities, truth, groups = self._labelled_query(adata, layer, gene_symbols, organism, group_key)
        return cross_validated(
            self._kind,
            adata,
            modalities,
            truth,
            groups,
            n_splits=n_splits,
            n_repeats=n_repeats,
            own_name=self._own_name,
            baselines=baselines,
            modalities_alone=modalities_alone,
            seed=seed,
            **train_kwargs,
        )

    def tune(self, grid: Mapping[str, Sequence[Any]] | None = None, **train_kwargs: Any) -> pd.DataFrame:
        """Train a head for every combination of settings, and keep the best of them.

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
        One row per combination, the best first: the settings, then `validation_loss`, `validation_accuracy` and
        `validation_macro_f1`. The model is then the one of the first row, trained, as if it had been made that way.

        Raises
        ------
        ValueError
            A setting is unknown or has no values, there would be no validation cells, or the head is a stacked one,
            which finds its settings itself.

        Notes
        -----
        All combinations see the same training and validation cells, and the least cross-entropy on the latter decides.
        Metrics on these cells are therefore a little too good: judge the result on others. Embeddings are computed
        once.

        Examples
        --------
        >>> from scmpt_scverse import SCMPT, datasets
        >>> adata = datasets.pbmc68k_reduced()
        >>> SCMPT.setup_anndata(adata, labels_key="bulk_labels", obsm_keys={"expression": "X_pca"})
        >>> model = SCMPT(adata, fusion="concat", n_hidden=32)
        >>> table = model.tune({"lr": [1e-3, 1e-2]}, max_epochs=3)
        >>> model.is_trained
        True
        """
        check_train_options(train_kwargs)
        settings = checked_search(self._kind, grid, train_kwargs)
        adata = self._cells(None)
        truth, _ = truth_and_groups(adata, self.labels_key, None, self._unlabeled_names, warn=False)
        table, best = tuned(self._kind, adata, self.modalities, truth, settings, **train_kwargs)
        self._become(best)
        return table

    def advise(
        self,
        adata: "AnnData | None" = None,
        *,
        max_cells: int = 2000,
        group_key: "str | Literal[False] | None" = None,
        n_splits: int = 5,
        layer: str | None = None,
        gene_symbols: str | None = None,
        organism: "Organism | None" = None,
        seed: int = 0,
    ) -> pd.DataFrame:
        """Estimate from a subsample which modality will do best, and whether fusing helps, before the full run.

        Parameters
        ----------
        adata
            Labelled cells; `None` takes the data that the model was made with. Not changed; only the cells of the
            subsample are embedded. The model need not be trained, and is not changed.
        max_cells
            Cells of the subsample, every label in proportion.
        group_key, n_splits, layer, gene_symbols, organism, seed
            As in :meth:`cross_validate`.

        Returns
        -------
        One row per choice, the best first, index `choice`: `"all modalities"`, or one alone. Columns `macro_f1` with
        `lower` and `upper`, its 95 % interval over splits; `difference` to all modalities on the same splits, with
        `difference_lower` and `difference_upper`. If the interval of a difference contains 0, the data do not decide.

        Raises
        ------
        KeyError, ValueError
            As :meth:`cross_validate`.

        Notes
        -----
        Uses stacked heads, whatever the head of the model: they take seconds and have nothing to tune.
        """
        check_seed(seed)
        adata, modalities, truth, _ = self._labelled_query(adata, layer, gene_symbols, organism, group_key)
        cells = adata[subsample(truth, self.unlabeled_category, max_cells, seed)].copy()
        modalities.read(cells)  # computes missing embeddings, with ties between genes broken as for the model
        stacked = self._kind.untrained(cells, modalities.quiet(), fusion="stacked")
        table = stacked.cross_validate(cells, group_key=group_key, n_splits=n_splits, seed=seed, baselines=())
        return advice_from(table, self._own_name, self.modalities.names)

    def advise_panel(
        self,
        adata: "AnnData | None" = None,
        *,
        genes: Iterable[object],
        max_cells: int = 2000,
        group_key: "str | Literal[False] | None" = None,
        n_splits: int = 5,
        layer: str | None = None,
        gene_symbols: str | None = None,
        organism: "Organism | None" = None,
        seed: int = 0,
    ) -> pd.DataFrame:
        """Estimate from labelled cells how well each type can be told apart on a panel of genes, before using it.

        Parameters
        ----------
        adata
            Labelled cells; `None` takes the data that the model was made with. Not changed; only the cells of a
            subsample are embedded, twice. The model need not be trained, and is not changed.
        genes
            Names of the genes of the panel, such as `query.var_names`, as `genes` of the class. Nothing else of a query
            is looked at.
        max_cells
            Cells of the subsample, about: every label in proportion, but no fewer than 30 cells of a rare one.
        group_key, n_splits, layer, gene_symbols, organism, seed
            As in :meth:`cross_validate`.

        Returns
        -------
        One row per label, the worst first, index `label`. Columns `n_cells` of the subsample; `is_told_apart`, whether
        `f1` is at least 0.5, so that the label is more often right than wrong or missed; `recall` and `f1` on the genes
        of the panel; `confused_with`, the label that its cells get most often by mistake, blank for none, and
        `confused_share`, the share of its cells that do; then the same four on all genes, with the suffix
        `_all_genes`. NaN for a label on fewer cells than splits.

        Raises
        ------
        KeyError, ValueError
            As :meth:`cross_validate`; also where fewer than two of the genes are in the data, where an encoder knows
            too few of them, or where no modality reads genes.

        Warns
        -----
        UserWarning
            Some of the genes are not in the data.

        Notes
        -----
        Out of fold, by stacked heads on the modalities that read genes, whatever the head of the model. Arrays that you
        brought are left out: no panel changes them. The estimate holds for a query that differs from these cells in
        nothing but the genes; another technology or donor costs more.

        Examples
        --------
        >>> from scmpt_scverse import SCMPT, datasets
        >>> adata = datasets.pbmc68k_reduced()
        >>> SCMPT.setup_anndata(adata, labels_key="bulk_labels")
        >>> model = SCMPT(adata, encoders={"counts": "counts"})
        >>> table = model.advise_panel(genes=adata.var_names[:100], n_splits=3)
        >>> table.loc["Dendritic", "is_told_apart"]
        np.True_
        """
        check_seed(seed)
        adata, modalities, truth, groups = self._labelled_query(adata, layer, gene_symbols, organism, group_key)
        panel = modalities.source.found(genes, adata)
        rows = sample_of_types(truth, self.unlabeled_category, max_cells, seed)
        groups = None if groups is None else groups[rows]
        return panel_advice(
            self._kind, adata[rows].copy(), modalities, panel, truth[rows], groups, n_splits=n_splits, seed=seed
        )

    def gene_coverage(
        self,
        adata: "AnnData | None" = None,
        *,
        layer: str | None = None,
        gene_symbols: str | None = None,
        organism: "Organism | None" = None,
    ) -> pd.DataFrame:
        """Show how many genes of some cells each modality can read; nothing is embedded.

        Parameters
        ----------
        adata, layer, gene_symbols, organism
            As for :meth:`predict`; labels are not needed, nor a trained model.

        Returns
        -------
        One row per modality that reads genes, index `modality`. Columns `n_genes` that the data have, of those that the
        model reads; `n_known` and `share_known`, those that it knows; `n_needed`, the fewest that it must know;
        `genes_per_cell`, the known genes that the median cell expresses; `share_of_expression`, the share of the
        expression of the median cell that they have; `n_empty_cells`, cells without any; `can_read`, whether these
        cells would be embedded rather than refused; and `reason`, why they would be refused, blank where they are not.

        Raises
        ------
        KeyError, ValueError
            There is no expression, or no gene that the model reads.
        """
        adata, modalities = self._query(adata, layer, gene_symbols, organism)
        return gene_coverage(modalities, adata)

    def _labelled_query(
        self,
        adata: "AnnData | None",
        layer: str | None,
        gene_symbols: str | None,
        organism: "Organism | None",
        group_key: "str | Literal[False] | None",
    ) -> "tuple[AnnData, Modalities, StrArray, FloatArray | None]":
        """Cells, the modalities that read them, their labels, and the groups that splits keep together, if any."""
        # Of doubtful labels, those that the model was set up with were warned of then.
        is_new = adata is not None and adata is not self.adata
        adata, modalities = self._query(adata, layer, gene_symbols, organism)
        group_key = self.batch_key if group_key is None else group_key
        truth, groups = truth_and_groups(adata, self.labels_key, group_key or None, self._unlabeled_names, warn=is_new)
        return adata, modalities, truth, groups
