"""SCMPT: annotate cells by a reference. The class is thin: it checks, calls functions over its parts, and writes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
import rich.pretty  # noqa: F401  (scvi-tools 1.4 prints setup arguments with it but forgets to import it)
import torch
from scvi.model.base import BaseModelClass

from scmpt_scverse import sharing
from scmpt_scverse._checks import check_key
from scmpt_scverse._labels import checked_unlabeled, labels_or
from scmpt_scverse._slots import Slot
from scmpt_scverse.modalities import (
    DEFAULT_PRESET,
    ExpressionSource,
    Modalities,
    as_cells,
    category_codes,
    check_anndata,
    check_data,
    describe_encoders,
    embedding_field,
    modalities_of,
    one_or_all,
    preset_of,
    register_anndata,
    register_mudata,
)
from scmpt_scverse.model._from_text import model_from_text
from scmpt_scverse.model._saving import checked_pretrained, load_model, save_data, save_model
from scmpt_scverse.model._training import TrainingRequest, appended, learn, seed_or_default
from scmpt_scverse.model.reference_labels import (
    AdvisesMixin,
    ExplainsMixin,
    ModelKind,
    PredictsLabelsMixin,
    refine_reference_labels,
)
from scmpt_scverse.module import FusionClassifier, HeadOptions, fusion_name
from scmpt_scverse.pp import HUMAN
from scmpt_scverse.trust import TrainingRecord

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from scmpt_scverse._types import FloatArray, IntArray, StrArray, StrPath
    from scmpt_scverse.encoders import Encoder
    from scmpt_scverse.module import FusionHead
    from scmpt_scverse.pp import Organism
    from scmpt_scverse.trust import Calibration, Novelty


class SCMPT(PredictsLabelsMixin, ExplainsMixin, AdvisesMixin, BaseModelClass):
    """Annotate cells by fusing frozen embeddings of text and expression :cite:p:`palayew2025scmpt`.

    Parameters
    ----------
    adata
        Data registered by :meth:`setup_anndata` or :meth:`setup_mudata`.
    registry
        Registry of a saved model; passed by :meth:`load`.
    encoders
        Modality to frozen encoder, in place of those of the preset: a registered name
        (:func:`scmpt_scverse.encoders.list_encoders`), a hub id, a folder, an encoder or a class of encoders, or
        `{"encoder": one of these, **options}`; or `"counts"`, which stands for log-normalised expression of the
        `n_genes` (4000) genes that vary most among the training cells, without an encoder. `"counts"` for a modality
        that `modalities` of :meth:`setup_mudata` or `obsm_keys` of :meth:`setup_anndata` bring reads it in this way, by
        the names of its genes: gene activity of ATAC, for instance.
    fusion
        How modalities are fused, in place of the preset's: `"stacked"` combines one logistic regression per modality;
        `"concat"` is the paper's dense head; `"gated"`, `"attention"`; or a subclass or instance of
        :class:`scmpt_scverse.module.FusionHead`.
    preset
        `"mini"`: `"minilm-genes"`, which reads gene names, `"knowledge"`, which knows cell types, `"scgpt-mini"` and
        expression itself, stacked. It needs no download, and
        is the default model of the benchmarks. `"large"`: `"ember-v1"`, `"scgpt-human"` and expression itself, stacked.
        `"paper"`: scMPT as published, `"ember-v1"` and `"scgpt-human"`, concatenated. Where `obsm_keys` of
        :meth:`setup_anndata` brings modalities, these are fused alone unless a preset is passed, `"mini"` included.
    n_hidden
        Width of a hidden layer of the head; a stacked head has none.
    n_layers
        Number of hidden layers, at least 1.
    dropout_rate
        Dropout after a hidden layer, in [0, 1).
    fusion_options
        Further options, of a head that has some.
    genes
        The genes of expression that the model reads, such as `query.var_names` of a targeted panel; `None` takes all.
        Gene names as in the data, or Ensembl ids if a column of `.var` has those of the data. The model reads only
        these genes, of the training cells and of all others: a query with more genes gives the same result as the
        query restricted to these genes.

    Raises
    ------
    ValueError
        An unknown encoder, fusion or preset, no modality, a modality given twice, or a size out of range; fewer than
        two of `genes` are in the data, or no modality reads genes.
    TypeError
        An object that is not an encoder or a head, or an option that the head does not have.

    Notes
    -----
    Embeddings are standardised with mean and standard deviation of the training cells and scaled so that every modality
    weighs the same. Only the head is trained. Cells whose confidence is below `model.min_confidence` or whose novelty
    is above `model.max_novelty` get the unlabeled category; these limits are 0 and 1 in a new model. Initial weights
    follow `scvi.settings.seed`, which counts as 0 where it is not set: the same data and seed give the same model.

    Examples
    --------
    >>> from scmpt_scverse import SCMPT, datasets
    >>> adata = datasets.pbmc68k_reduced()
    >>> SCMPT.setup_anndata(adata, labels_key="bulk_labels", obsm_keys={"expression": "X_pca"})
    >>> model = SCMPT(adata)
    >>> model.train()
    >>> model.predict().shape
    (700,)
    """

    _module_cls = FusionClassifier
    history_: dict[str, pd.DataFrame] | None
    _own_name = "scmpt"

    def __init__(
        self,
        adata: "AnnData | None" = None,
        registry: dict[str, Any] | None = None,
        encoders: "Mapping[str, StrPath | Encoder | type[Encoder] | Mapping[str, Any]] | None" = None,
        fusion: "str | type[FusionHead] | FusionHead | None" = None,
        preset: str = DEFAULT_PRESET,
        n_hidden: int = 4096,
        n_layers: int = 1,
        dropout_rate: float = 0.0,
        fusion_options: Mapping[str, Any] | None = None,
        genes: Iterable[object] | None = None,
    ) -> None:
        if adata is not None:
            check_data(adata)
        super().__init__(adata, registry)
        setup, fields = self.registry["setup_args"], self.registry["field_registries"]
        obsm_keys = setup["obsm_keys"] or {}
        chosen = preset_of(preset)
        if encoders is None:
            encoders = {} if obsm_keys and preset is DEFAULT_PRESET else chosen.encoders
        fusion = chosen.fusion if fusion is None else fusion
        source = ExpressionSource.registered(self.registry)
        if genes is not None:
            if set(encoders) <= set(obsm_keys):
                raise ValueError(
                    "`genes` are those that encoders and expression itself read; this model has neither. Pass "
                    "`encoders=` or `preset=`, or drop `genes`."
                )
            source = replace(source, panel=source.found(genes, self._training_cells()))
        columns = {name: fields[embedding_field(name)]["state_registry"]["column_names"] for name in obsm_keys}
        # Rebound, so that what is saved does not depend on folders of this machine, or on how genes were named.
        encoders, built = describe_encoders(
            encoders, columns, len(source.genes if source.panel is None else source.panel)
        )
        genes = None if source.panel is None else source.panel.tolist()
        self.modalities = Modalities(modalities_of(encoders, obsm_keys, columns), source, built)
        self.record = TrainingRecord()
        self.calibration: Calibration | None = None
        self.novelty: Novelty | None = None
        self.min_confidence, self.max_novelty = 0.0, 1.0
        self._fusion = fusion
        self._loaded_from = ""
        fusion = fusion_name(fusion)
        fused = ", ".join(f"{name}: {key}" for name, key in self.modalities.keys.items())
        # A stacked head has no hidden layers.
        sizes = f"n_hidden: {n_hidden}, n_layers: {n_layers}, dropout_rate: {dropout_rate}, "
        self._model_summary_string = (
            f"SCMPT fusing {{{fused}}} by {fusion!r}, {'' if fusion == 'stacked' else sizes}"
            f"n_labels: {self.summary_stats.n_labels}" + ("" if genes is None else f", n_genes: {len(genes)}")
        )
        self.init_params_ = self._get_init_params(locals())
        self.module = self._new_classifier()

    @classmethod
    def setup_anndata(
        cls,
        adata: "AnnData",
        labels_key: str,
        *,
        unlabeled_category: str | Sequence[str] = "Unknown",
        layer: str | None = None,
        gene_symbols: str | None = None,
        organism: "Organism" = HUMAN,
        batch_key: str | None = None,
        obsm_keys: Mapping[str, str] | None = None,
        allow_synthetic: bool = False,
        **kwargs: Any,
    ) -> None:
        """Register what the model reads. Runs no encoder; embeddings may come later.

        Parameters
        ----------
        adata
            Cells; not a view. Nothing of it changes: codes are added to `.obs` and an identifier to `.uns`, under
            names that begin with `_scvi`.
        labels_key
            Column of `.obs` with labels. Missing values count as unlabelled; other values are read as text. A warning
            names labels that read like missing values ("nan", "Unassigned") and labels that differ only in how they are
            spelled ("B cell", "B-cell "); no label is changed.
        unlabeled_category
            The label that stands for "no label" in that column, and that predictions use for cells that cannot be read.
            Of several, predictions use the first.
        layer
            Key of `.layers` with expression for the encoders; `None` reads `.X`.
        gene_symbols
            Column of `.var` with gene symbols; `None` takes `var_names`.
        organism
            Species of the cells. Genes of any but `"human"` are read under the names of their human orthologs, which
            encoders know, and so that cells of other species can be annotated: `"mouse"`,
            :class:`scmpt_scverse.pp.Orthologs` of others, or `"auto"`, which warns of what it took. `"native"` reads
            symbols of any species as they are. Cells of another species than was said are refused.
        batch_key
            Column of `.obs` with batches, donors or studies. They are the groups that :meth:`cross_validate` and
            :meth:`advise` keep on one side of a split, and :meth:`evaluate` warns of cells from batches that were
            trained on. Batch effects are not corrected.
        obsm_keys
            Modalities that you bring: any name to a key of `.obsm`.
        allow_synthetic
            Learn from cells of :meth:`SCMMGPT.generate <scmpt_scverse.SCMMGPT.generate>`, too, which are refused
            otherwise.
        **kwargs
            Passed by :meth:`load`.

        Raises
        ------
        KeyError
            A column, layer or key is not there.
        ValueError
            Fewer than two labels, `adata` is a view, some of its cells are synthetic, or an embedding of `obsm_keys` is
            not a finite matrix.
        """
        method_args = cls._get_setup_method_args(**locals())
        check_anndata(adata)
        method_args["setup_args"].update(  # plain values, because they are saved
            unlabeled_category=one_or_all(unlabeled_category), obsm_keys=None if obsm_keys is None else dict(obsm_keys)
        )
        cls.register_manager(register_anndata(adata, method_args, **kwargs))

    @classmethod
    def setup_mudata(
        cls,
        mdata: "MuData",
        labels_key: str,
        *,
        modalities: Mapping[str, str],
        unlabeled_category: str | Sequence[str] = "Unknown",
        layer: str | None = None,
        gene_symbols: str | None = None,
        organism: "Organism" = HUMAN,
        batch_key: str | None = None,
        obsm_keys: Mapping[str, str] | None = None,
        allow_synthetic: bool = False,
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
            standardised on the training cells and held in memory. A modality of genes, such as gene activity, is
            read as expression where `encoders` of the model says `"counts"` for it, and may be counts then.
        unlabeled_category, batch_key
            As in :meth:`setup_anndata`; a column of `mdata.obs`.
        layer, gene_symbols, organism, obsm_keys, allow_synthetic
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
        method_args = cls._get_setup_method_args(**locals())
        method_args["setup_args"].update(unlabeled_category=one_or_all(unlabeled_category))
        cls.register_manager(register_mudata(mdata, method_args, **kwargs))

    @classmethod
    def from_pretrained(cls, name: "StrPath") -> Self:
        """Open a trained model, without the data that it was made with.

        Parameters
        ----------
        name
            Folder that :meth:`save` wrote, or `"hf:org/name"` on the Hugging Face hub.

        Raises
        ------
        FileNotFoundError
            There is no such model.
        ValueError
            It is of another class, such as a text model.
        """
        opened = cls.load(str(checked_pretrained(name, SCMPT.__name__)), adata=False)
        opened._loaded_from = str(name)
        return opened

    from_text = classmethod(model_from_text)
    refine = refine_reference_labels

    @property
    def labels(self) -> "StrArray":  # type: ignore[override]
        """The labels that the model knows, in the order of its probabilities; shape `(n_labels,)`."""
        return self._categories[:-1]

    @property
    def unlabeled_category(self) -> str:  # type: ignore[override]
        """The label of cells without one, and of cells about which nothing can be said."""
        return str(self._categories[-1])

    @property
    def _unlabeled_names(self) -> list[str]:  # type: ignore[override]
        """All labels that stand for "no label" in the column of labels; the first is `unlabeled_category`."""
        return checked_unlabeled(self.registry["setup_args"]["unlabeled_category"])

    @property
    def labels_key(self) -> str:  # type: ignore[override]
        """Column of `.obs` with labels."""
        return str(self.registry["setup_args"]["labels_key"])

    @property
    def batch_key(self) -> str | None:  # type: ignore[override]
        """Column of `.obs` with batches, donors or studies, where the model knows of some."""
        key: str | None = self.registry["setup_args"]["batch_key"]
        return key

    def embed(
        self,
        adata: "AnnData | None" = None,
        *,
        layer: str | None = None,
        gene_symbols: str | None = None,
        organism: "Organism | None" = None,
        **options: Any,
    ) -> None:
        """Write the embeddings of every encoder of the model, where they are missing or come from another encoder.

        Parameters
        ----------
        adata
            Cells; `None` takes the data that the model was made with. Where an embedding is missing for some of them
            only, these are embedded.
        layer, gene_symbols, organism
            As for :meth:`predict`.
        **options
            `batch_size`, `device`, `precision`, `cache`, `executor` and `progress` of :func:`scmpt_scverse.tl.embed`.

        Returns
        -------
        Nothing; writes `adata.obsm["X_<encoder>"]` and its provenance as :func:`scmpt_scverse.tl.embed` does.

        Raises
        ------
        ValueError
            The encoder on this machine is not the one that the model was trained on, or `.obsm` holds an array of that
            name that this package did not write.
        """
        adata, modalities = self._query(adata, layer, gene_symbols, organism)
        modalities.embed(adata, **options)

    def train(
        self,
        max_epochs: int | None = None,
        *,
        accelerator: str = "auto",
        devices: int | list[int] | str = "auto",
        train_size: float | None = None,
        validation_size: float | None = None,
        shuffle_set_split: bool = True,
        max_cells_per_label: int | None = None,
        batch_size: int = 256,
        early_stopping: bool = True,
        class_weight: "Literal['balanced'] | Mapping[Any, float] | None" = None,
        seed: int | None = None,
        datasplitter_kwargs: dict[str, Any] | None = None,
        plan_kwargs: dict[str, Any] | None = None,
        checkpoints: "StrPath | None" = None,
        **trainer_kwargs: Any,
    ) -> None:
        """Compute missing embeddings, train the head on the labelled cells, then calibrate its probabilities.

        The default head, `"stacked"`, is not trained in epochs but solved at once: `max_epochs`, `batch_size`,
        `early_stopping`, `plan_kwargs` and options of the trainer mean nothing to it.

        Parameters
        ----------
        max_epochs
            `None` takes 400 for up to 20,000 cells and fewer for more.
        accelerator, devices
            As in Lightning; `"auto"` uses a GPU if there is one.
        train_size, validation_size
            Shares of the labelled cells, every label in proportion; `validation_size=None` takes the rest, and what
            both leave is kept for testing. The first cell of each label always trains. `train_size=None` takes 1 for a
            stacked head, which learns out of fold and needs no validation cells, and 0.9 for others.
        shuffle_set_split
            Split at random. `False` takes the first labelled cells for validation, the next ones for training and the
            last ones for testing, as scvi-tools does.
        max_cells_per_label
            Most cells of a label that are split so; of more, some are chosen at random, from each batch in turn where
            the model knows of batches. `None` takes all. It saves time where a few labels have most cells, and the
            model then expects all labels as often as it was shown them.
        batch_size
            Cells per minibatch.
        early_stopping
            Stop when the validation loss has not fallen by 0.001 (`early_stopping_min_delta`) for 20 epochs
            (`early_stopping_patience`). The weights of the best epoch are kept in any case, unless there is no
            validation cell.
        class_weight
            `"balanced"` gives every label the same weight in the loss, however few cells it has; a mapping gives the
            weight of a cell of each label, 1 where it says nothing.
        seed
            Seeds split, folds, shuffling and dropout; `None` takes `scvi.settings.seed`, or 0 where that is not set.
            The same data and seed give the same model.
        datasplitter_kwargs
            Not supported: cells are split by label, see `train_size`.
        plan_kwargs
            `lr` (default 1e-4) and `weight_decay` (default 0).
        checkpoints
            Of a stacked head. Folder, made where it is missing, that keeps what was gathered of the cells: their
            principal axes, up to 2 GB for each modality. If training is interrupted, the same call goes on from there,
            and gives the same model. May be removed afterwards. `None` keeps nothing.
        **trainer_kwargs
            Options of :class:`scvi.train.Trainer`. `precision` is `"bf16-mixed"` where the device multiplies bfloat16
            natively, else 32 bit.

        Raises
        ------
        ValueError
            No cell is left to train on, a share is out of range, or there is no such device; `checkpoints` holds
            another training, or the head is not stacked; for embeddings, as :meth:`predict`.
        OSError
            `checkpoints` cannot be written to.
        TypeError
            An option that neither the trainer nor the training plan has.
        """
        request = TrainingRequest.checked(
            self.module,
            self.labels,
            max_epochs=max_epochs,
            accelerator=accelerator,
            devices=devices,
            train_size=train_size,
            validation_size=validation_size,
            shuffle_set_split=shuffle_set_split,
            max_cells_per_label=max_cells_per_label,
            batch_size=batch_size,
            early_stopping=early_stopping,
            class_weight=class_weight,
            seed=seed,
            datasplitter_kwargs=datasplitter_kwargs,
            plan_kwargs=plan_kwargs,
            checkpoints=checkpoints,
            **trainer_kwargs,
        )
        adata = self._cells(None)
        for key in (self.labels_key, *([] if self.batch_key is None else [self.batch_key])):
            check_key(key, adata.obs.columns, "adata.obs")
        is_further = self.is_trained
        # Not the codes in `.obs`: they are those of whichever model was set up last on these data.
        codes = self._label_codes(adata)
        batches = labels_or(adata.obs[self.batch_key], "") if self.batch_key else None
        learned = learn(
            self.module, self.modalities, self.record, adata, codes, self.labels, batches, request, further=is_further
        )
        split = learned.split
        self.train_indices, self.validation_indices, self.test_indices = split.train, split.validation, split.test
        self.record, self.calibration, self.novelty = learned.record, learned.calibration, learned.novelty
        self.history_ = appended(self.history_, learned.history) if is_further else learned.history
        self.is_trained_, self._loaded_from = True, ""

    def fit_new(self, inputs: "Mapping[str, FloatArray]", labels: "StrArray", **train_options: Any) -> FusionClassifier:
        """A new classifier of the same kind, fitted on arrays; the model does not change.

        Parameters
        ----------
        inputs
            Modality to rows of labelled cells, `{modality: (n_obs, dim)}`.
        labels
            Their labels, which the model knows, shape `(n_obs,)`.
        **train_options
            Of :meth:`train`.
        """
        classifier = self._new_classifier()
        request = TrainingRequest.checked(classifier, self.labels, **{"enable_progress_bar": False, **train_options})
        codes = pd.Index(self.labels).get_indexer(labels_or(labels, self._unlabeled_names))
        classifier.fit(inputs, codes, request.split(codes, np.flatnonzero(codes >= 0)), request.options)
        return classifier

    def save(
        self,
        dir_path: str,
        prefix: str | None = None,
        overwrite: bool = False,
        save_anndata: bool = False,
        **anndata_write_kwargs: Any,
    ) -> None:
        """Save the model as JSON and safetensors: nothing in it is code.

        Parameters
        ----------
        dir_path
            Folder to write `model.json` and `model.safetensors` to.
        prefix
            Of the file names.
        overwrite
            Write into a folder that is there.
        save_anndata
            Also save the data that the model was made with.
        **anndata_write_kwargs
            Options of `adata.write`.

        Raises
        ------
        ValueError
            The folder is there, without `overwrite`.
        """
        save_model(self, Path(dir_path), prefix or "", overwrite=overwrite)
        if save_anndata and self.adata is not None:
            save_data(self.adata, Path(dir_path), prefix or "", **anndata_write_kwargs)

    _shared_kind: ClassVar[sharing.SharedKind] = sharing.REFERENCE_MODEL
    push_to_hub = sharing.push_to_hub
    from_hub = classmethod(sharing.from_hub)

    @classmethod
    def load(
        cls,
        dir_path: str,
        adata: "AnnData | bool | None" = None,
        accelerator: str = "auto",
        device: int | str = "auto",
        prefix: str | None = None,
        *,
        encoders: "Mapping[str, Encoder] | None" = None,
        fusion: "type[FusionHead] | None" = None,
    ) -> Self:
        """Load a saved model. Nothing in its files is run.

        Parameters
        ----------
        dir_path
            Folder that `save` wrote.
        adata
            Data to attach; any genes in any order, with or without labels. `None` takes the data saved with the model,
            `False` none at all: then pass `adata=` to the methods.
        accelerator, device
            Where the model goes; `"auto"` is a GPU if there is one.
        prefix
            Of the file names.
        encoders
            Modality to encoder, where a model was made with an encoder that has no registered name.
        fusion
            The class of the head, where it has no registered name.

        Returns
        -------
        The model. Encoders are not part of it: they are found again by name or folder when cells have to be embedded,
        and refused if they are not the ones trained on.

        Raises
        ------
        FileNotFoundError
            There is no saved model.
        ValueError
            The files are damaged, or from another class or version; or `adata` is `None`, and the data in the folder
            are missing, or are not those that the model was trained on.
        """
        return load_model(
            cls, Path(dir_path), prefix or "", adata, accelerator, device, encoders=encoders, fusion=fusion
        )

    @classmethod
    def setup_annbatch(cls, *args: Any, **kwargs: Any) -> None:
        """Not needed: a collection of annbatch is lazy AnnData, which :meth:`setup_anndata` takes."""
        raise NotImplementedError(
            "SCMPT reads a collection of annbatch in blocks of its own. Open its datasets with "
            "`anndata.experimental.read_lazy`, join them with `anndata.concat`, and use setup_anndata."
        )

    @property
    def _categories(self) -> "StrArray":
        state: dict[str, Any] = self.registry["field_registries"]["labels"]["state_registry"]
        return np.asarray(state["categorical_mapping"], dtype=object)

    def _cells(self, adata: "AnnData | None") -> "AnnData":
        """What was given, or the data that the model was made with; a MuData as the one AnnData that is read."""
        given = self.adata if adata is None else adata
        if given is None:
            raise ValueError("This model was loaded without data. Pass `adata=`.")
        return as_cells(given, self.registry["setup_args"].get("modalities"))

    def _query(
        self, adata: "AnnData | None", layer: str | None, gene_symbols: str | None, organism: "Organism | None"
    ) -> "tuple[AnnData, Modalities]":
        """Cells, and the modalities that read them where their expression is."""
        cells = self._cells(adata)
        return cells, self.modalities.reading(cells, layer, gene_symbols, organism)

    def _training_cells(self) -> "AnnData | None":
        return None if self.adata is None else self._cells(None)

    def _read_slots(self) -> tuple[Slot, ...]:
        """What the model reads of cells beside expression, which nothing that it writes may overwrite."""
        columns = [Slot("obs", key) for key in (self.labels_key, self.batch_key) if key is not None]
        return (*columns, *(Slot("obsm", key) for key in self.modalities.keys.values()))

    def _label_codes(self, adata: "AnnData") -> "IntArray":
        """Code of the label of each cell, shape `(n_obs,)`; -1 where it has none that the model knows."""
        codes = category_codes(adata, self.labels_key, self._categories)
        return np.where(codes == len(self.labels), -1, codes)

    @property
    def _kind(self) -> ModelKind:  # type: ignore[override]
        """How untrained models of the same kind are made."""
        options = {**self.init_params_["non_kwargs"], "fusion": self._fusion}
        return ModelKind(type(self), self.registry["setup_args"], options, self.unlabeled_category)

    def _new_classifier(self) -> FusionClassifier:
        """An untrained classifier over the modalities of the model."""
        options = self.init_params_["non_kwargs"]
        sizes = (options["n_hidden"], options["n_layers"], options["dropout_rate"])
        with torch.random.fork_rng():
            torch.manual_seed(seed_or_default())
            return self._module_cls(
                self.modalities.dims,
                self.summary_stats.n_labels,
                fusion=self._fusion,
                options=HeadOptions(*sizes, dict(options["fusion_options"] or {})),
                of_genes=[*self.modalities.of_genes, *self.modalities.genes.of_arrays],
            )

    def _become(self, other: Self) -> None:
        """Take over everything that another model of the same data learned."""
        for name in (
            *("module", "modalities", "record", "calibration", "novelty", "history_", "is_trained_", "init_params_"),
            *("train_indices", "validation_indices", "test_indices", "_model_summary_string", "_fusion"),
            "_loaded_from",
        ):
            setattr(self, name, getattr(other, name))
