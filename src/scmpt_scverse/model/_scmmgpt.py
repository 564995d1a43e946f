"""SCMMGPT: annotate and search cells by text, without a labelled reference."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import rich.pretty  # noqa: F401  (scvi-tools 1.4 prints setup arguments with it but forgets to import it)
from scvi.model.base import BaseModelClass

from scmpt_scverse import sharing
from scmpt_scverse._checks import check_cells, check_choice, check_seed, check_share
from scmpt_scverse._labels import checked_unlabeled
from scmpt_scverse._slots import Slot
from scmpt_scverse.generation import TextGenerator
from scmpt_scverse.modalities import ExpressionSource, register_anndata
from scmpt_scverse.model._model_record import today
from scmpt_scverse.model._saving import checked_pretrained, load_text_model, save_data, save_text_model
from scmpt_scverse.model.text_labels import (
    AnnotatesByTextMixin,
    ExplainsScoresMixin,
    OwnCells,
    TextEmbeddings,
    TranslatesMixin,
    checked_run,
    fit_own_generator,
    fit_own_tower,
    fit_own_writer,
    learned_labels,
    loss_history,
    refine_text_labels,
    stage_options,
    training_seconds,
)
from scmpt_scverse.module import GeneratorOptions, TextAlignment, TowerOptions, TrainingPrecision, WriterOptions
from scmpt_scverse.pp import HUMAN
from scmpt_scverse.zero_shot import (
    BACKGROUND_SHARE,
    UNKNOWN,
    Query,
    RegisteredTypes,
    TextModel,
)

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import StrArray, StrPath
    from scmpt_scverse.description import TaughtWriter
    from scmpt_scverse.encoders import TextEncoder
    from scmpt_scverse.llm import GivenLanguageModel
    from scmpt_scverse.model.text_labels import Markers
    from scmpt_scverse.pp import Organism

_STAGES = ("align", "describe", "generate")


class SCMMGPT(AnnotatesByTextMixin, ExplainsScoresMixin, TranslatesMixin, BaseModelClass):
    """Annotate and search cells by text :cite:p:`shi2025scmmgpt`: labels are names, descriptions or markers.

    Texts and markers become gene profiles. A cell is scored by how far it lies in the direction of a profile, relative
    to a mean between that of its query and that of the training studies. Markers are used as genes, not as words.

    Parameters
    ----------
    adata
        Data registered by :meth:`setup_anndata`; only needed for training.
    registry
        Registry of a saved model; passed by :meth:`load`.
    text_encoder
        The text encoder: the name, folder or hub id of a sentence-transformers model, or an encoder.
    background
        What cells are compared with, in [0, 1]: 0 for the mean of their query, 1 for the mean of the training studies,
        so that each cell is judged on its own, even in a query of one type. The default is halfway between. It is also
        an attribute: `model.background = 1`.

    Examples
    --------
    >>> from scmpt_scverse import SCMMGPT, datasets
    >>> adata = datasets.pbmc68k_reduced()
    >>> model = SCMMGPT.from_pretrained("scmmgpt-mini")
    >>> model.annotate(adata, labels=["B cell", "monocyte", "natural killer cell", "T cell"])
    >>> adata.obs["scmmgpt_prediction"].nunique()
    4
    """

    def __init__(
        self,
        adata: "AnnData | None" = None,
        registry: dict[str, Any] | None = None,
        text_encoder: "StrPath | TextEncoder" = "minilm",
        background: float = BACKGROUND_SHARE,
    ) -> None:
        check_share(background, "background")
        super().__init__(adata, registry)
        self._encode = TextEmbeddings(text_encoder)
        text_encoder = self._encode.storable
        self.background = background
        self.alignment: TextAlignment | None = None
        self.generator: TextGenerator | None = None
        self.writer: TaughtWriter | None = None
        self.types: RegisteredTypes | None = None
        self.genes: StrArray = np.empty(0, dtype=object)
        self._trained_on = self._loaded_from = ""
        self._model_summary_string = f"SCMMGPT reading texts by {self.text_encoder.name!r}"
        self.init_params_ = self._get_init_params(locals())

    @classmethod
    def from_pretrained(cls, name: "StrPath", adata: "AnnData | None" = None) -> Self:
        """Open a pretrained model: `"scmmgpt-mini"`, which comes with this package, or a folder.

        Parameters
        ----------
        name
            Name, or folder that :meth:`save` wrote.
        adata
            Your cells, registered by :meth:`setup_anndata`, to train a further stage on; `None` for none.

        Raises
        ------
        FileNotFoundError
            There is no such model.
        """
        opened = cls.load(str(checked_pretrained(name, SCMMGPT.__name__)), adata=False)
        opened._loaded_from = str(name)
        if adata is None:
            return opened
        model = cls(adata, text_encoder=opened.text_encoder, background=opened.background)
        model.init_params_ = opened.init_params_
        model.alignment, model.types, model.genes = opened.alignment, opened.types, opened.genes
        model.generator, model.writer = opened.generator, opened.writer
        model._trained_on, model._loaded_from = opened._trained_on, opened._loaded_from
        model._become_trained()
        return model

    @classmethod
    def setup_anndata(
        cls,
        adata: "AnnData",
        labels_key: str,
        *,
        unlabeled_category: "str | Sequence[str]" = UNKNOWN,
        layer: str | None = None,
        gene_symbols: str | None = None,
        organism: "Organism" = HUMAN,
        batch_key: str | None = None,
        allow_synthetic: bool = False,
        **kwargs: Any,
    ) -> None:
        """Register labelled cells to train on. A query needs no setup.

        Parameters
        ----------
        adata
            Cells of one or several studies; not a view.
        labels_key
            Column of `.obs` with labels: names of cell types, or ids of the Cell Ontology.
        unlabeled_category
            The label that stands for "no label" in that column, or several.
        layer
            Key of `.layers` with expression; `None` reads `.X`.
        gene_symbols
            Column of `.var` with gene symbols; `None` takes `var_names`.
        organism
            Species of the cells, as for :meth:`SCMPT.setup_anndata <scmpt_scverse.SCMPT.setup_anndata>`.
        batch_key
            Column of `.obs` with studies; each is standardised by itself, and left out once to calibrate on.
        allow_synthetic
            Learn from cells of :meth:`generate`, too, which are refused otherwise.
        **kwargs
            Passed by :meth:`load`.

        Raises
        ------
        KeyError
            A column or layer is not there.
        ValueError
            Fewer than two labels, `adata` is a view, or some of its cells are synthetic.
        """
        method_args = cls._get_setup_method_args(**locals())
        check_cells(adata)
        method_args["setup_args"].update(unlabeled_category=checked_unlabeled(unlabeled_category))
        cls.register_manager(register_anndata(adata, method_args, **kwargs))

    def train(
        self,
        stage: Literal["align", "describe", "generate"] = "align",
        *,
        markers: "Markers | None" = None,
        studies: "Iterable[StrPath | AnnData]" = (),
        marker_organism: str = "human",
        texts: "Mapping[str, str | Sequence[str]] | None" = None,
        text_key: str | None = None,
        language_model: "GivenLanguageModel | None" = None,
        options: TowerOptions | GeneratorOptions | WriterOptions | None = None,
        seed: int | None = None,
        accelerator: str = "auto",
        devices: "int | list[int] | str" = 1,
        precision: TrainingPrecision = "32-true",
        checkpoints: "StrPath | None" = None,
        progress: bool = True,
    ) -> None:
        """Train a stage: the text tower, a language model that describes cells, or the generator of pseudo-cells.

        Parameters
        ----------
        stage
            `"align"`: the tower, which labels and searches cells, calibrated on studies that were left out.
            After it, `"describe"`: what makes a causal language model write about cells in :meth:`describe`;
            `"generate"`: what :meth:`generate` needs.
        markers
            Of `"align"`. Tables of marker genes, each as :func:`scmpt_scverse.knowledge.read_markers` takes or gives
            it, merged by term with the genes of the data; or one that
            :func:`scmpt_scverse.knowledge.merge_markers` made of them.
        studies
            Of `"align"`. Further studies, organised as the data that the model was set up with: paths of `.h5ad` files,
            which stay on disk, or data in memory or backed. Their genes may differ. All are read in chunks, and some
            hundred cells of each label are kept.
        marker_organism
            Of `"align"`. Rows of the tables of another organism are left out.
        texts
            Of `"describe"` and `"generate"`. Label to a description in your own words or to a list of markers, for
            labels that the Cell Ontology does not know.
        text_key
            Of `"describe"`. Column of `.obs` with a text about each cell, learned in place of the definition of its
            label; cells without a text, or without a label, are left out.
        language_model
            Of `"describe"`. Folder of a causal language model of transformers, hub id whose files are on this machine,
            or a pair of network and tokenizer. It is frozen, and no part of the model that is saved, which names it and
            knows its fingerprint; with `lora_rank` in `options`, what is added to its weights is saved.
        options
            How it is built and trained, :class:`scmpt_scverse.module.TowerOptions`,
            :class:`scmpt_scverse.module.WriterOptions` or :class:`scmpt_scverse.module.GeneratorOptions`; `None` takes
            the defaults.
        seed
            Of initial weights and all draws; `None` takes that of `options`, or without any `scvi.settings.seed`, or 0.
            The same data and seed give the same model.
        accelerator, devices, precision
            As in Lightning; one device.
        checkpoints
            Folder that keeps the state of training, made where it is missing. If training is interrupted, the same call
            goes on from there, and gives the model that it would have given at one go: bit for bit, on one thread. May
            be removed afterwards. `None` keeps none.
        progress
            Show progress bars.

        Raises
        ------
        ValueError
            Too few types have markers, no cell is labelled, or the data share too few genes with the tables; there are
            fewer than two texts, or the language model is none; `checkpoints` holds another training.
        OSError
            There is no such language model on this machine, or `checkpoints` cannot be written to.
        ImportError
            `lora_rank` without the extra `generate`.
        RuntimeError
            `"describe"` or `"generate"` before `"align"`.

        Notes
        -----
        `model.history["train_loss"]` has the loss of every step of `"align"`, `["writer_loss"]` of `"describe"`, and
        `["generator_loss"]` of `"generate"`.
        """
        check_choice(stage, _STAGES, "stage")
        if seed is not None:
            check_seed(seed)
        run = checked_run(accelerator, devices, precision, progress=progress, folder=checkpoints)
        if stage == "generate":
            reader, for_generator = self._text_reader(), stage_options(options, GeneratorOptions, seed, stage)
            self.generator = fit_own_generator(self._own_cells(), reader, texts, for_generator, run)
        elif stage == "describe":
            trained, for_writer = self._trained(), stage_options(options, WriterOptions, seed, stage)
            check_share(self.background, "background")
            self.writer = fit_own_writer(
                self._own_cells(),
                trained,
                language_model,
                for_writer,
                run,
                descriptions=texts,
                text_key=text_key,
                share=self.background,
            )
        else:
            for_tower = stage_options(options, TowerOptions, seed, stage)
            if markers is None:
                raise ValueError(
                    "Expected tables of marker genes to align texts with genes; found `markers=None`. Pass `markers=`, "
                    'or take the tower of a pretrained model: `SCMMGPT.from_pretrained("scmmgpt-mini", adata)`.'
                )
            own = self._own_cells()
            fitted = fit_own_tower(own, studies, markers, marker_organism, self._encode, for_tower, run)
            self.alignment, self.types, self.genes = fitted.alignment, fitted.types, fitted.genes
            self.generator = self.writer = None  # they read what the former tower wrote
            self._trained_on, self._loaded_from = today(), ""
        self._become_trained()

    @property
    def text_encoder(self) -> "TextEncoder":
        """What reads texts."""
        return self._encode.encoder

    def save(
        self,
        dir_path: str,
        prefix: str | None = None,
        overwrite: bool = False,
        save_anndata: bool = False,
        *,
        half_precision: bool = False,
        **anndata_write_kwargs: Any,
    ) -> None:
        """Save the model as JSON and safetensors; nothing in it is code.

        Parameters
        ----------
        dir_path
            Folder to write to.
        prefix
            Of the file names.
        overwrite
            Write into a folder that is there.
        save_anndata
            Also save the data that the model was made with.
        half_precision
            Weights in float16: half the size, and scores that differ in the third or fourth digit.
        **anndata_write_kwargs
            Options of `adata.write`.

        Raises
        ------
        ValueError
            The folder is there, without `overwrite`.
        """
        save_text_model(self, self._trained(), Path(dir_path), prefix or "", overwrite=overwrite, half=half_precision)
        if save_anndata and self.adata is not None:
            save_data(self.adata, Path(dir_path), prefix or "", **anndata_write_kwargs)

    refine = refine_text_labels
    label_report = learned_labels
    expected_seconds = training_seconds
    _shared_kind: ClassVar[sharing.SharedKind] = sharing.TEXT_MODEL
    push_to_hub = sharing.push_to_hub
    from_hub = classmethod(sharing.from_hub)

    @classmethod
    def load(
        cls,
        dir_path: str,
        adata: "AnnData | bool | None" = None,
        prefix: str | None = None,
        *,
        text_encoder: "TextEncoder | None" = None,
    ) -> Self:
        """Load a saved model. Nothing in its files is run.

        Parameters
        ----------
        dir_path
            Folder that :meth:`save` wrote.
        adata
            Data to attach; `None` takes what was saved with the model, if anything was, and `False` none.
        prefix
            Of the file names.
        text_encoder
            The text encoder, where it has no registered name.

        Raises
        ------
        FileNotFoundError
            There is no saved model.
        ValueError
            The files are damaged, from another class or version, or the text encoder is not the one trained with.
        """
        return load_text_model(cls, Path(dir_path), prefix or "", adata, text_encoder=text_encoder)

    @classmethod
    def setup_annbatch(cls, *args: Any, **kwargs: Any) -> None:
        """Not available: studies are standardised as a whole, which annbatch does not stream."""
        raise NotImplementedError(
            "SCMMGPT standardises studies as a whole, which annbatch does not stream. Use setup_anndata."
        )

    def to_device(self, device: Any) -> None:
        """Move the text tower to a device; profiles are written there."""
        self._trained()
        super().to_device(device)

    def _become_trained(self) -> None:
        alignment = self._trained().alignment
        self.module, self.is_trained_ = alignment.tower, True
        self.history_ = loss_history(alignment, self.writer, self.generator)

    def _read_slots(self) -> tuple[Slot, ...]:
        """What the model reads of its own data beside expression, which nothing that it writes may overwrite."""
        setup = self.registry["setup_args"]
        return tuple(Slot("obs", setup[name]) for name in ("labels_key", "batch_key") if setup[name] is not None)

    def _cells(self, adata: "AnnData | None") -> "AnnData":
        given = self.adata if adata is None else adata
        if given is None:
            raise ValueError("Expected cells; this model holds none. Pass `adata=`.")
        check_cells(given)
        return given

    def _source(
        self, adata: "AnnData", layer: str | None, gene_symbols: str | None, organism: "Organism | None"
    ) -> ExpressionSource:
        return self._set_up.of_query(adata, layer, gene_symbols, organism)

    def _query(
        self, adata: "AnnData | None", layer: str | None, gene_symbols: str | None, organism: "Organism | None"
    ) -> Query:
        alignment = self._trained().alignment
        check_share(self.background, "background")
        cells = self._cells(adata)
        reader = self._source(cells, layer, gene_symbols, organism).reader(cells)
        query = Query(reader, self.genes, alignment.background, self.background)
        query.warn_if_small()
        return query

    @property
    def _set_up(self) -> ExpressionSource:
        """Where the expression of the training data is."""
        return ExpressionSource.registered(self.registry, self.genes)

    def _own_cells(self) -> OwnCells:
        return OwnCells(self._cells(None), self._setup_args, self._set_up)

    def _own_data(self) -> "AnnData | None":
        return self.adata

    @property
    def _setup_args(self) -> dict[str, Any]:  # type: ignore[override]
        args: dict[str, Any] = self.registry["setup_args"]
        return args

    @property
    def _unlabeled_names(self) -> list[str]:  # type: ignore[override]
        return checked_unlabeled(self._setup_args["unlabeled_category"])

    def _trained(self) -> TextModel:
        if self.alignment is None or self.types is None:
            raise RuntimeError(
                'The model is not trained. Open one, `SCMMGPT.from_pretrained("scmmgpt-mini")`, or call `train`.'
            )
        return TextModel(self.alignment, self.types, self.genes, self._encode)
