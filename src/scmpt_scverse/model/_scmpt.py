"""SCMPT: the model class that users hold in hand; thin, calls the rooms."""

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import rich.pretty  # noqa: F401  (scvi-tools 1.4 prints setup arguments with it but forgets to import it)
import torch
from scvi.data import AnnDataManager
from scvi.model.base import BaseModelClass

from scmpt_scverse._checks import check_key, check_name, check_positive
from scmpt_scverse.model._attribution_mixin import AttributionMixin
from scmpt_scverse.model._fields import embedding_field, label_text, registered_fields
from scmpt_scverse.model._late_fusion_mixin import LateFusionMixin
from scmpt_scverse.model._modalities import describe_encoders, modalities_of
from scmpt_scverse.model._mudata import EXPRESSION, JoinedField, checked_modalities, pull_hint
from scmpt_scverse.model._training_mixin import random_seed
from scmpt_scverse.model._tuning_mixin import TuningMixin
from scmpt_scverse.module._scmpt_module import SCMPTModule

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from scmpt_scverse._types import StrPath
    from scmpt_scverse.encoders import Encoder


class SCMPT(AttributionMixin, LateFusionMixin, TuningMixin, BaseModelClass):
    """Annotate cells by fusing frozen embeddings of text and expression :cite:p:`palayew2025scmpt`.

    Parameters
    ----------
    adata
        Data registered by :meth:`setup_anndata` or :meth:`setup_mudata`.
    registry
        Registry of a saved model; passed by :meth:`load`.
    encoders
        Modality to frozen encoder: a registered name (:func:`scmpt_scverse.encoders.list_encoders`), a hub id, a
        folder, or `{"encoder": one of these, **options}`; or `"counts"`, which stands for log-normalised expression of
        the `n_genes` (4000) genes that vary most among the training cells, without an encoder. `None` is the
        pair of the paper, `{"text": "ember-v1", "expression": "scgpt-human"}`, or no encoder
        where `obsm_keys` of :meth:`setup_anndata` brings the modalities.
    fusion
        How modalities are fused: `"concat"` is the paper's; `"gated"`, `"attention"` or `"stacked"`, which combines one
        logistic regression per modality.
    n_hidden
        Width of a hidden layer of the head; a stacked head has none.
    n_layers
        Number of hidden layers, at least 1.
    dropout_rate
        Dropout after a hidden layer, in [0, 1).

    Raises
    ------
    ValueError
        An unknown encoder or fusion, no modality, a modality given twice, or a size out of range.

    Notes
    -----
    Embeddings are standardised with mean and spread of the training cells and scaled so that every modality weighs the
    same, concatenated, and classified by dense layers with ReLU and a softmax. Only these layers are trained. Initial
    weights, split and shuffling follow `scvi.settings.seed`, which counts as 0 where it is not set: the same data and
    seed give the same model.

    Examples
    --------
    >>> from scmpt_scverse import SCMPT, datasets
    >>> adata = datasets.pbmc68k_reduced()
    >>> SCMPT.setup_anndata(adata, labels_key="bulk_labels", obsm_keys={"expression": "X_pca"})
    >>> model = SCMPT(adata)
    >>> model.train(max_epochs=5, enable_progress_bar=False)
    >>> model.predict().shape
    (700,)
    """

    _module_cls = SCMPTModule

    def __init__(
        self,
        adata: "AnnData | None" = None,
        registry: dict[str, Any] | None = None,
        encoders: "Mapping[str, StrPath | Mapping[str, Any]] | None" = None,
        fusion: str = "concat",
        n_hidden: int = 4096,
        n_layers: int = 1,
        dropout_rate: float = 0.0,
    ) -> None:
        super().__init__(adata, registry)
        check_positive(n_hidden, "n_hidden")
        check_positive(n_layers, "n_layers")
        if not 0 <= dropout_rate < 1:
            raise ValueError(f"`dropout_rate` must be in [0, 1); found {dropout_rate}.")
        obsm_keys = self.registry["setup_args"]["obsm_keys"] or {}
        # Rebound, so that what is saved does not depend on folders of this machine.
        fields = self.registry["field_registries"]
        n_vars = len(fields["X"]["state_registry"]["column_names"])
        encoders = describe_encoders(encoders, obsm_keys, n_vars)
        columns = {name: fields[embedding_field(name)]["state_registry"]["column_names"] for name in obsm_keys}
        self._modalities = modalities_of(encoders, obsm_keys, columns)
        self._encoders: dict[str, Encoder] = {}
        self.encoder_ids_: dict[str, dict[str, str]] = {}
        self.label_counts_: dict[str, int] = {}
        self.training_digest_ = ""
        self.trained_on_ = np.empty(0, dtype=np.int64)
        self.expression_genes_: list[str] = []
        self.calibration_cells_: dict[str, Any] = {}
        self.fold_heads_: list[dict[str, torch.Tensor]] = []
        with torch.random.fork_rng():
            torch.manual_seed(random_seed())
            self.module = self._module_cls(
                {name: modality.embedding_dim for name, modality in self._modalities.items()},
                self.summary_stats.n_labels,
                fusion=fusion,
                n_hidden=n_hidden,
                n_layers=n_layers,
                dropout_rate=dropout_rate,
                of_genes=[name for name, modality in self._modalities.items() if modality.is_counts],
            )
        fused = ", ".join(f"{name}: {modality.obsm_key}" for name, modality in self._modalities.items())
        self._model_summary_string = (
            f"SCMPT fusing {{{fused}}} by {fusion!r}, n_hidden: {n_hidden}, n_layers: {n_layers}, "
            f"dropout_rate: {dropout_rate}, n_labels: {self.summary_stats.n_labels}"
        )
        self.init_params_ = self._get_init_params(locals())

    @classmethod
    def setup_anndata(
        cls,
        adata: "AnnData",
        labels_key: str,
        *,
        unlabeled_category: str = "Unknown",
        layer: str | None = None,
        gene_symbols: str | None = None,
        batch_key: str | None = None,
        obsm_keys: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        """Register what the model reads. Runs no encoder; embeddings may come later.

        Parameters
        ----------
        adata
            Cells; not a view. Nothing of it changes: codes are added to `.obs` and an identifier to `.uns`, under
            names that begin with `_scvi`.
        labels_key
            Column of `.obs` with labels. Missing values count as unlabelled; other values are read as text.
        unlabeled_category
            The label that stands for "no label" in that column, and that predictions use for cells that cannot be read.
        layer
            Key of `.layers` with expression for the encoders; `None` reads `.X`.
        gene_symbols
            Column of `.var` with gene symbols; `None` takes `var_names`.
        batch_key
            Column of `.obs` with batches, donors or studies.
        obsm_keys
            Modalities that you bring: any name to a key of `.obsm`.
        **kwargs
            Passed by :meth:`load`.

        Raises
        ------
        KeyError
            A column, layer or key is not there.
        ValueError
            Fewer than two labels, `adata` is a view, or an embedding of `obsm_keys` is not a finite matrix.
        """
        setup_method_args = cls._get_setup_method_args(**locals())
        if not isinstance(labels_key, str):
            raise TypeError(f"`labels_key` must be the name of a column, a text; found {labels_key!r}.")
        for name in obsm_keys or {}:
            check_name(name, "modality")
        unlabeled_category = label_text(unlabeled_category)
        if adata.is_view:
            raise ValueError("Expected data that can be written to; found a view. Pass `adata.copy()`.")
        obsm_keys = dict(obsm_keys) if obsm_keys is not None else None  # a plain value, because it is saved
        setup_method_args["setup_args"].update(unlabeled_category=unlabeled_category, obsm_keys=obsm_keys)
        if batch_key is not None and "source_registry" not in kwargs:  # a query needs no batches
            check_key(batch_key, adata.obs.columns, "adata.obs")
        fields = registered_fields(labels_key, unlabeled_category, layer, batch_key, obsm_keys)
        manager = AnnDataManager(fields=fields, setup_method_args=setup_method_args)
        manager.register_fields(adata, **kwargs)
        cls.register_manager(manager)

    @classmethod
    def setup_mudata(
        cls,
        mdata: "MuData",
        labels_key: str,
        *,
        modalities: Mapping[str, str],
        unlabeled_category: str = "Unknown",
        layer: str | None = None,
        gene_symbols: str | None = None,
        batch_key: str | None = None,
        obsm_keys: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        """Register a MuData, such as RNA and surface proteins of the same cells (CITE-seq). Runs no encoder.

        Every method of the model then takes a MuData in place of an AnnData. Embeddings are written to `.obsm` of the
        RNA, their provenance to its `.uns`, and predictions to `.obs` and `.obsm` of the MuData.

        Parameters
        ----------
        mdata
            Cells; not a view. All modalities hold the same cells in the same order.
        labels_key
            Column of `mdata.obs` with labels, as in :meth:`setup_anndata`.
        modalities
            `"expression"` names the modality whose expression the encoders read. Under any other name, the `.X` of a
            modality is fused as it is: `{"expression": "rna", "protein": "prot"}`. It should be normalised; it is
            standardised on the training cells and held in memory.
        unlabeled_category, batch_key
            As in :meth:`setup_anndata`; a column of `mdata.obs`.
        layer, gene_symbols, obsm_keys
            As in :meth:`setup_anndata`, of the RNA.
        **kwargs
            Passed by :meth:`load`.

        Raises
        ------
        TypeError
            Not a MuData.
        KeyError
            A modality, column, layer or key is not there.
        ValueError
            As :meth:`setup_anndata`; also where modalities hold other cells, or a name is given twice.

        Examples
        --------
        >>> from anndata import AnnData
        >>> from mudata import MuData
        >>> from scmpt_scverse import SCMPT, datasets
        >>> rna = datasets.pbmc68k_reduced()
        >>> mdata = MuData({"rna": rna[:, 20:].copy(), "prot": rna[:, :20].copy()})
        >>> mdata.obs["cell_type"] = rna.obs["bulk_labels"]
        >>> SCMPT.setup_mudata(mdata, "cell_type", modalities={"expression": "rna", "protein": "prot"})
        >>> model = SCMPT(mdata, encoders={"expression": "scgpt-mini"}, n_hidden=64)
        """
        setup_method_args = cls._get_setup_method_args(**locals())
        if not isinstance(labels_key, str):
            raise TypeError(f"`labels_key` must be the name of a column, a text; found {labels_key!r}.")
        modalities = checked_modalities(mdata, modalities)
        unlabeled_category = label_text(unlabeled_category)
        is_query = "source_registry" in kwargs
        beside = {name: key for name, key in modalities.items() if name != EXPRESSION}
        if not is_query:
            for key in beside.values():
                check_key(key, mdata.mod, "mdata.mod")
            for column in (labels_key, *([] if batch_key is None else [batch_key])):
                check_key(column, mdata.obs.columns, "mdata.obs", hint=pull_hint(mdata, column))
        for name in {**(obsm_keys or {}), **beside}:
            check_name(name, "modality")
        obsm_keys = {**(obsm_keys or {}), **beside}
        setup_method_args["setup_args"].update(
            unlabeled_category=unlabeled_category, modalities=modalities, obsm_keys=obsm_keys
        )
        fields = registered_fields(labels_key, unlabeled_category, layer, batch_key, obsm_keys)
        manager = AnnDataManager(
            fields=[JoinedField(field, modalities) for field in fields], setup_method_args=setup_method_args
        )
        manager.register_fields(mdata, **kwargs)
        cls.register_manager(manager)

    @classmethod
    def load(cls, dir_path: str, adata: "AnnData | bool | None" = None, **kwargs: Any) -> Self:
        """Load a saved model.

        Parameters
        ----------
        dir_path
            Folder that `save` wrote. Load only models that you trust: like every scvi-tools model, it is a pickle.
        adata
            Data to attach; any genes in any order, with or without labels. `None` takes the data saved with the model,
            `False` none at all: then pass `adata=` to the methods.
        **kwargs
            Options of :meth:`scvi.model.base.BaseModelClass.load`.

        Returns
        -------
        The model. Encoders are not part of it: they are found again by name or folder when cells have to be embedded,
        and refused if they are not the ones trained on.
        """
        with warnings.catch_warnings():
            # The head reads embeddings, so other genes in a query are no cause for alarm.
            warnings.filterwarnings("ignore", message="`?var_names`? for")
            model: Self = super().load(dir_path, adata=adata, **kwargs)
        return model

    @classmethod
    def setup_annbatch(cls, *args: Any, **kwargs: Any) -> None:
        """Not available: annbatch streams expression, and this model trains on embeddings."""
        raise NotImplementedError(
            "SCMPT trains on embeddings in `.obsm`, which annbatch does not stream. Use setup_anndata."
        )
