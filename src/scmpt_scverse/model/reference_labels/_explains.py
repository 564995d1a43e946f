"""Which genes decided: per label, per cell and per modality."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scmpt_scverse import attribution
from scmpt_scverse._checks import check_positive, list_some
from scmpt_scverse._labels import label_text
from scmpt_scverse._slots import (
    DEFAULT_ATTRIBUTIONS_KEY,
    DEFAULT_KEY_ADDED,
    AttributionKeys,
    PredictionKeys,
    check_ranking_is_ours,
    check_writable,
    write_slots,
)
from scmpt_scverse.attribution import Attributor
from scmpt_scverse.explain import (
    Explainer,
    GeneRemoval,
    OwnRanking,
    checked_groupby,
    contribution_table,
    curve_table,
    one_cell,
    sample_cells,
    wanted_groups,
    write_attributions,
)

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import StrArray
    from scmpt_scverse.modalities import Modalities
    from scmpt_scverse.module import FusionClassifier
    from scmpt_scverse.pp import Organism


class ExplainsMixin:
    """Explanations of a trained model."""

    module: "FusionClassifier"
    modalities: "Modalities"
    labels: "StrArray"
    unlabeled_category: str
    _unlabeled_names: list[str]
    labels_key: str
    _query: "Callable[[AnnData | None, str | None, str | None, Organism | None], tuple[AnnData, Modalities]]"
    _check_if_trained: Callable[..., None]

    def rank_attributions(
        self,
        adata: "AnnData | None" = None,
        *,
        groupby: str | None = None,
        groups: Sequence[str] | None = None,
        method: "str | type[Attributor] | Attributor" = "integrated_gradients",
        n_cells_per_group: int | None = 30,
        key_added: str = DEFAULT_ATTRIBUTIONS_KEY,
        per_cell: bool = False,
        layer: str | None = None,
        gene_symbols: str | None = None,
        organism: "Organism | None" = None,
        device: str = "auto",
        seed: int = 0,
        progress: bool = True,
        **options: Any,
    ) -> None:
        """Rank genes by what they contribute to each label.

        Parameters
        ----------
        adata
            Cells with expression; `None` takes the data that the model was made with.
        groupby
            Column of `.obs`. Where a group is called like a label of the model, that label's logit is explained in its
            cells, else the label that each cell is given. `None` takes what :meth:`annotate` wrote, or the column of
            labels if it did not.
        groups
            The groups to explain; `None` takes all.
        method
            `"integrated_gradients"`, `"occlusion"`, `"lime"`, `"kernel_shap"`, `"random"` as a control, or an
            attributor (class or instance).
        n_cells_per_group
            Cells of each group that are explained, at random; `None` takes all.
        key_added
            Key of `.uns`, and of `.layers`; what an earlier call wrote there is replaced.
        per_cell
            Also write the scores of the explained cells.
        layer, gene_symbols, organism
            As for :meth:`SCMPT.predict`.
        device
            Where to compute; `"auto"` is where the model is. The model stays there.
        seed
            Of the choice of cells and of what the method draws.
        progress
            Show a progress bar.
        **options
            Options of the method: `n_steps` of integrated gradients, `n_samples` of LIME and KernelSHAP.

        Returns
        -------
        Nothing; writes

        `adata.uns["scmpt_attributions"]`
            The form of `sc.tl.rank_genes_groups`, which all `sc.pl.rank_genes_groups*` and `sc.get` read: `names`
            (`var_names`), `scores` (mean contribution to the logit), `logfoldchanges` (of expression, against the other
            explained cells), `pvals` and `pvals_adj` (t-test of the cells' contributions against 0), `params` (with
            method, cells, and the median completeness error as a share of the logit difference), and `by_modality`.
        `adata.layers["scmpt_attributions"]`
            With `per_cell`: sparse, shape `(n_obs, n_vars)`; cells that were not explained have empty rows. Without,
            that of an earlier call is removed.

        Genes of a modality that you bring and that `"counts"` reads, such as gene activity, are ranked by themselves:
        under the same keys of that modality of a MuData, or in `adata.uns["scmpt_attributions_<modality>"]` where it is
        a table of `.obsm`.

        Raises
        ------
        RuntimeError
            The model is not trained.
        KeyError
            The column is missing.
        ValueError
            A group without cells, more groups than a file can hold, a `key_added` that cannot be written or where
            something else stands, an unknown method, a method that needs gradients where an encoder has none, or no
            modality whose columns can be traced to genes.

        Notes
        -----
        Other modalities that you pass as arrays stay at their values: nothing is known about their genes.
        """
        self._check_if_trained(warn=False)
        adata, modalities = self._query(adata, layer, gene_symbols, organism)
        keys = AttributionKeys.from_key(key_added)
        check_writable(adata, key_added, keys.slots)
        check_ranking_is_ours(adata, keys)
        beside = [OwnRanking(adata, modalities, name, key_added) for name in modalities.genes.present(adata)]
        if n_cells_per_group is not None:
            check_positive(n_cells_per_group, "n_cells_per_group")
        written = PredictionKeys.from_prefix(DEFAULT_KEY_ADDED).prediction
        groupby = checked_groupby(adata, groupby, written, self.labels_key)
        column, wanted = wanted_groups(adata, groupby, groups, self._unlabeled_names)
        attributor = attribution.get(method, seed=seed, **options)
        explainer = self._explainer(adata, modalities, attributor, device)
        chosen = sample_cells(column, wanted, explainer.is_readable, n_cells_per_group, seed)
        rows = np.sort(np.concatenate(list(chosen.values())))
        labels = np.where(np.isin(column, self.labels), column, explainer.predicted)[rows]
        attributions = explainer.explain(rows, labels, progress=progress)
        params = {"groupby": groupby, "method": attribution.method_name(method)}
        written_with: dict[str, Any] = {
            "groups": {group: np.searchsorted(rows, cells) for group, cells in chosen.items()},
            "params": {**params, "modalities": list(attributions.by_modality), "seed": seed, **options},
            "per_cell": per_cell,
        }
        parts = explainer.genes.split(attributions)
        write_slots(adata, keys.slots, {})  # of an earlier call
        if parts[""].by_modality:  # not where arrays of the user's alone are read
            write_attributions(adata, parts[""], keys=keys, symbols=modalities.source.symbols(adata), **written_with)
        for place in beside:
            place.write(parts[place.name], explainer.genes.symbols(place.name), **written_with)

    def explain_cell(
        self,
        adata: "AnnData | None",
        obs_name: str,
        *,
        label: str | None = None,
        method: "str | type[Attributor] | Attributor" = "integrated_gradients",
        layer: str | None = None,
        gene_symbols: str | None = None,
        organism: "Organism | None" = None,
        device: str = "auto",
        seed: int = 0,
        **options: Any,
    ) -> pd.DataFrame:
        """What each gene of one cell contributes to its label.

        Parameters
        ----------
        adata
            Cells with expression; `None` takes the data that the model was made with.
        obs_name
            Name of the cell, which only one cell has.
        label
            The label to explain; `None` takes the one that the model gives.
        layer, gene_symbols, organism
            As for :meth:`SCMPT.predict`.
        method, device, seed, **options
            As for :meth:`rank_attributions`.

        Returns
        -------
        One row per gene that the cell expresses, highest contribution first; columns `total`, then a column for each
        modality, and `value`, its expression in the data. Genes of a modality that you bring and that `"counts"` reads
        are called `"<modality>:<gene>"`. `.attrs` holds `label`, `difference` (what all genes
        together add to the logit) and `completeness_error`.

        Raises
        ------
        KeyError
            No such cell.
        ValueError
            The model does not know the label, or no encoder can read the cell; else as :meth:`rank_attributions`.
        """
        self._check_if_trained(warn=False)
        adata, modalities = self._query(adata, layer, gene_symbols, organism)
        cell = one_cell(adata, obs_name)
        label = None if label is None else label_text(label)
        if label is not None and label not in self.labels:
            raise ValueError(f"The model does not know the label {label!r}; it knows {list_some(self.labels)}.")
        explainer = self._explainer(cell, modalities, attribution.get(method, seed=seed, **options), device)
        if not explainer.is_readable[0]:
            raise ValueError(f"The encoders cannot read the cell {obs_name!r}: it expresses no gene that they know.")
        target = explainer.predicted[:1] if label is None else np.array([label], dtype=object)
        found = explainer.explain(np.array([0]), target, progress=False)
        return contribution_table(found)

    def deletion_curves(
        self,
        adata: "AnnData | None" = None,
        *,
        methods: "Sequence[str | type[Attributor] | Attributor]" = ("integrated_gradients", "random"),
        n_cells: int = 50,
        counts: Sequence[int] = (0, 1, 2, 5, 10, 20, 50),
        layer: str | None = None,
        gene_symbols: str | None = None,
        organism: "Organism | None" = None,
        device: str = "auto",
        seed: int = 0,
        progress: bool = True,
    ) -> pd.DataFrame:
        """Probability of the predicted label as the top genes are removed from cells, or as only they are kept.

        Cells are read and embedded again without the genes, whatever the method.

        Parameters
        ----------
        adata
            Cells with expression; `None` takes the data that the model was made with.
        methods
            As for :meth:`rank_attributions`; `"random"` is the control.
        n_cells
            How many cells, at random.
        counts
            How many genes, one point of the curve each.
        layer, gene_symbols, organism
            As for :meth:`SCMPT.predict`.
        device
            As for :meth:`rank_attributions`.
        seed
            Of the choice of cells and of what a method draws.
        progress
            Show a progress bar.

        Returns
        -------
        Tidy: `method`, `kind` (`"deletion"` or `"insertion"`), `n_genes`, `row` (number of the cell), `cell` (its
        name), `label`, `probability` of the label that the model gives the whole cell.
        :func:`scmpt_scverse.tl.faithfulness` sums it up.
        """
        self._check_if_trained(warn=False)
        check_positive(n_cells, "n_cells")
        adata, modalities = self._query(adata, layer, gene_symbols, organism)
        tables = []
        for method in methods:
            explainer = self._explainer(adata, modalities, attribution.get(method, seed=seed), device)
            rows = sample_cells(
                np.full(adata.n_obs, "all", dtype=object), ["all"], explainer.is_readable, n_cells, seed
            )["all"]
            found = explainer.explain(rows, explainer.predicted[rows], progress=progress)
            curves = curve_table(found, explainer.curves(found, list(counts)), counts, adata.obs_names)
            tables.append(curves.assign(method=attribution.method_name(method)))
        columns = ["method", "kind", "n_genes", "row", "cell", "label", "probability"]
        return pd.concat(tables, ignore_index=True)[columns]

    def counterfactual(
        self,
        adata: "AnnData | None",
        obs_name: str,
        *,
        method: "str | type[Attributor] | Attributor" = "integrated_gradients",
        max_genes: int = 100,
        layer: str | None = None,
        gene_symbols: str | None = None,
        organism: "Organism | None" = None,
        device: str = "auto",
        seed: int = 0,
    ) -> pd.DataFrame:
        """A small set of genes without which the cell would get another label.

        Genes are taken out in the order of their scores until the label changes; then each is put back if the label
        stays changed without it. So each of them is needed, though a smaller set may exist.

        Parameters
        ----------
        adata
            Cells with expression; `None` takes the data that the model was made with.
        obs_name
            Name of the cell, which only one cell has.
        method, device, seed
            As for :meth:`explain_cell`.
        max_genes
            Give up after this many.
        layer, gene_symbols, organism
            As for :meth:`SCMPT.predict`.

        Returns
        -------
        One row per gene, in the order of scores: `score`. `.attrs` holds `label`, `new_label` (`None`, and no rows,
        where `max_genes` did not change it), and `probability` of the old label without the genes.
        """
        check_positive(max_genes, "max_genes")
        adata, modalities = self._query(adata, layer, gene_symbols, organism)
        cell = one_cell(adata, obs_name)
        table = self.explain_cell(
            cell,
            obs_name,
            method=method,
            layer=layer,
            gene_symbols=gene_symbols,
            organism=modalities.source.organism,
            device=device,
            seed=seed,
        )
        asked = GeneRemoval(self._explainer(cell, modalities, attribution.get("random"), device))
        genes, new_label, probability = asked.fewest(list(table.index[:max_genes]), table.attrs["label"])
        found = table.loc[genes, ["total"]].rename(columns={"total": "score"})
        found.attrs = {"label": table.attrs["label"], "new_label": new_label, "probability": probability}
        return found

    def _explainer(self, adata: "AnnData", modalities: "Modalities", attributor: Attributor, device: str) -> Explainer:
        return Explainer(self.module, modalities, self.labels, adata, attributor, device=device)
