"""SCMMGPT: annotate and search cells by text, without a labelled reference."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, overload

import numpy as np
import pandas as pd
from scvi.data import AnnDataManager
from scvi.model.base import BaseModelClass

from scmpt_scverse import encoders
from scmpt_scverse._checks import check_cells, check_choice, check_key, check_share, did_you_mean, list_some
from scmpt_scverse._labels import as_categorical, checked_unlabeled, labels_or, warn_of_doubtful_labels
from scmpt_scverse._saved_files import write_model
from scmpt_scverse._slots import Slot, TextLabelKeys, check_writable, write_slots
from scmpt_scverse._storable import storable_names
from scmpt_scverse.encoders import TextEncoder
from scmpt_scverse.evaluation import decode
from scmpt_scverse.knowledge import merge_markers
from scmpt_scverse.modalities import ExpressionSource, registered_fields
from scmpt_scverse.model._predictions import rows_of
from scmpt_scverse.model._saving import make_folder, read_saved, undamaged
from scmpt_scverse.model._training import seed_or_default
from scmpt_scverse.module import TextAlignment, TowerOptions
from scmpt_scverse.pp import ExpressionReader
from scmpt_scverse.zero_shot import (
    REFINEMENTS,
    Candidates,
    Labels,
    MarkerProfiles,
    Query,
    Refine,
    RegisteredTypes,
    candidates_of,
    embedded,
    fit_alignment,
    label_probabilities,
    label_scores,
    markers_in_words,
    query_components,
    registered_candidates,
    search_scores,
    training_studies,
)

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import FloatArray, IntArray, StrArray, StrPath

_STAGES = ("align",)
_CONTENT = ("model", "registry", "init_params", "is_trained", "genes", "types", "text_encoder_fingerprint")
#: Models that come with this package.
_BUNDLED = Path(__file__).parent / "bundled"
_UNKNOWN = "Unknown"


class SCMMGPT(BaseModelClass):
    """Annotate and search cells by text :cite:p:`shi2025scmmgpt`: labels are names, descriptions or markers.

    A text tower writes a gene profile for each text; a cell is scored by how far it lies, from the mean of its query,
    in the direction of a profile. Markers enter as genes, not as words.

    Parameters
    ----------
    adata
        Data registered by :meth:`setup_anndata`; only needed for training.
    registry
        Registry of a saved model; passed by :meth:`load`.
    text_encoder
        What reads texts: the name, folder or hub id of a sentence-transformers model, or an encoder.

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
    ) -> None:
        super().__init__(adata, registry)
        self._text_encoder = _text_encoder(text_encoder)
        # As it can be saved: a folder with its whole path, like a name; an encoder by its name.
        if isinstance(text_encoder, str | PathLike):
            is_folder = Path(text_encoder).is_dir()
            text_encoder = str(Path(text_encoder).resolve()) if is_folder else fspath(text_encoder)
        else:
            text_encoder = self._text_encoder.name
        self.alignment: TextAlignment | None = None
        self.types: RegisteredTypes | None = None
        self.genes: StrArray = np.empty(0, dtype=object)
        self._model_summary_string = f"SCMMGPT reading texts by {self._text_encoder.name!r}"
        self.init_params_ = self._get_init_params(locals())

    @classmethod
    def from_pretrained(cls, name: "StrPath") -> Self:
        """Open a pretrained model: `"scmmgpt-mini"`, which comes with this package, or a folder.

        Parameters
        ----------
        name
            Name, or folder that :meth:`save` wrote.

        Raises
        ------
        FileNotFoundError
            There is no such model.
        """
        folder = pretrained_folder(name)
        if not folder.is_dir():
            known = pretrained_names()
            raise FileNotFoundError(
                f"Expected a pretrained model of this package ({list_some(known)}) or the folder of a saved one; found "
                f"nothing at {folder}.{did_you_mean(str(name), known)} Check the name or the path."
            )
        return cls.load(str(folder), adata=False)

    @classmethod
    def setup_anndata(
        cls,
        adata: "AnnData",
        labels_key: str,
        *,
        unlabeled_category: "str | Sequence[str]" = _UNKNOWN,
        layer: str | None = None,
        gene_symbols: str | None = None,
        batch_key: str | None = None,
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
        batch_key
            Column of `.obs` with studies; each is standardised by itself, and left out once to calibrate on.
        **kwargs
            Passed by :meth:`load`.

        Raises
        ------
        KeyError
            A column or layer is not there.
        ValueError
            Fewer than two labels, or `adata` is a view.
        """
        setup_method_args = cls._get_setup_method_args(**locals())
        check_cells(adata)
        if adata.is_view:
            raise ValueError("Expected data that can be written to; found a view. Pass `adata.copy()`.")
        unlabeled = checked_unlabeled(unlabeled_category)
        setup_method_args["setup_args"].update(unlabeled_category=unlabeled)
        if batch_key is not None and "source_registry" not in kwargs:
            check_key(batch_key, adata.obs.columns, "adata.obs")
        fields = registered_fields(labels_key, unlabeled, layer, gene_symbols, batch_key, None)
        manager = AnnDataManager(fields=fields, setup_method_args=setup_method_args)
        manager.register_fields(adata, **kwargs)
        if "source_registry" not in kwargs:
            where = f"adata.obs[{labels_key!r}]"
            warn_of_doubtful_labels(labels_or(adata.obs[labels_key], ""), where, unlabeled=unlabeled)
        cls.register_manager(manager)

    def train(
        self,
        stage: Literal["align"] = "align",
        *,
        markers: "pd.DataFrame | Iterable[StrPath | pd.DataFrame | Mapping[str, Sequence[str]]]",
        organism: str = "human",
        options: TowerOptions | None = None,
        accelerator: str = "auto",
        progress: bool = True,
    ) -> None:
        """Train the text tower on marker tables and labelled cells, and calibrate on studies that were left out.

        Parameters
        ----------
        stage
            `"align"`.
        markers
            Tables of marker genes, each as :func:`scmpt_scverse.knowledge.read_markers` takes or gives it; or one that
            :func:`scmpt_scverse.knowledge.merge_markers` made of them.
        organism
            Rows of the tables of another organism are left out.
        options
            How the tower is built and trained; `None` takes the defaults, with the seed of `scvi.settings`.
        accelerator
            As in Lightning.
        progress
            Show progress bars.

        Raises
        ------
        ValueError
            Too few types have markers, no cell is labelled, or the data share too few genes with the tables.
        """
        check_choice(stage, _STAGES, "stage")
        adata, setup = self._cells(None), self.registry["setup_args"]
        is_merged = isinstance(markers, pd.DataFrame) and "term" in markers
        known = MarkerProfiles.of(markers if is_merged else merge_markers(markers), organism)
        labels = labels_or(adata.obs[setup["labels_key"]], setup["unlabeled_category"])
        batch_key = setup["batch_key"]
        groups = labels_or(adata.obs[batch_key], "") if batch_key else np.full(len(labels), "", dtype=object)
        labels[labels == setup["unlabeled_category"][0]] = None
        reader = partial(ExpressionReader, layer=setup["layer"], gene_symbols=setup["gene_symbols"])
        studies, texts = training_studies(adata, reader, labels, groups, known, self._encode)
        self.alignment = fit_alignment(
            texts,
            known.values,
            studies,
            options or TowerOptions(seed=seed_or_default()),
            accelerator=accelerator,
            progress=progress,
        )
        self.types, self.genes = known.types, known.genes
        self.module, self.is_trained_ = self.alignment.tower, True

    @overload
    def predict(
        self,
        adata: "AnnData | None" = None,
        indices: "Sequence[int] | IntArray | None" = None,
        soft: Literal[False] = False,
        *,
        labels: "Labels | None" = None,
        tissue: str | None = None,
        refine: Refine = "self-train",
        layer: str | None = None,
        gene_symbols: str | None = None,
    ) -> "StrArray": ...

    @overload
    def predict(
        self,
        adata: "AnnData | None" = None,
        indices: "Sequence[int] | IntArray | None" = None,
        *,
        soft: Literal[True],
        labels: "Labels | None" = None,
        tissue: str | None = None,
        refine: Refine = "self-train",
        layer: str | None = None,
        gene_symbols: str | None = None,
    ) -> pd.DataFrame: ...

    def predict(
        self,
        adata: "AnnData | None" = None,
        indices: "Sequence[int] | IntArray | None" = None,
        soft: bool = False,
        *,
        labels: "Labels | None" = None,
        tissue: str | None = None,
        refine: Refine = "self-train",
        layer: str | None = None,
        gene_symbols: str | None = None,
    ) -> "StrArray | pd.DataFrame":
        """The label of each cell, of those that you name.

        Parameters
        ----------
        adata
            Cells with expression, counts or log-normalised; `None` takes the data that the model was made with. They
            are compared with one another, so pass all cells of a study.
        indices
            Row numbers or a mask of the cells that are wanted; all are read. `None` takes all.
        soft
            Give probabilities instead of labels.
        labels
            Names of cell types, ids of the Cell Ontology, or a mapping of names to a description or to a list of marker
            genes. `None` takes all types that the model knows, or those of a tissue.
        tissue
            Take the types that marker tables name for a tissue, such as `"pancreas"`; not with `labels`.
        refine
            What other cells of the query may add: `"self-train"` averages scores over neighbours, then lets the surest
            cells of each label teach the others; `"smooth"` averages only; `"none"` judges each cell by its own genes.
        layer, gene_symbols
            Where the expression of these cells is: key of `.layers`, `"X"` for `.X`, and column of `.var` with gene
            symbols, `"var_names"` for the names of the columns. `None` takes what :meth:`setup_anndata` was given.

        Returns
        -------
        Labels of shape `(n_cells,)`; with `soft`, a DataFrame `(n_cells, n_labels)` of probabilities. Cells without
        expression of any gene that the model knows get `"Unknown"`, or NaN.

        Raises
        ------
        RuntimeError
            The model is not trained.
        ValueError
            Fewer than two labels, no such tissue, or hardly any gene that the model knows.
        """
        check_choice(refine, REFINEMENTS, "refine")
        query, candidates = self._query(adata, layer, gene_symbols), self._candidates(labels, tissue)
        cells = self._cells(adata)
        rows = rows_of(cells, indices)
        probabilities = self._label_probabilities(query, candidates, refine)[rows]
        table = pd.DataFrame(probabilities, index=cells.obs_names[rows], columns=pd.Index(candidates.names))
        return table if soft else decode(table, _UNKNOWN)

    def annotate(
        self,
        adata: "AnnData | None" = None,
        labels: "Labels | None" = None,
        *,
        tissue: str | None = None,
        refine: Refine = "self-train",
        min_confidence: float = 0.0,
        key_added: str = "scmmgpt",
        layer: str | None = None,
        gene_symbols: str | None = None,
    ) -> None:
        """Write the label of each cell into AnnData, of those that you name.

        Parameters
        ----------
        adata, labels, tissue, refine, layer, gene_symbols
            As for :meth:`predict`.
        min_confidence
            Cells of lower confidence get `"Unknown"`, in [0, 1].
        key_added
            Prefix of the slots.

        Returns
        -------
        Nothing; writes

        `adata.obs["<key_added>_prediction"]`
            Categorical: the most probable label, or `"Unknown"`.
        `adata.obs["<key_added>_confidence"]`
            Its probability, calibrated on studies that the model was not trained on, in [0, 1].
        `adata.obs["<key_added>_ontology_id"]`
            Its id in the Cell Ontology, missing where it has none.
        `adata.obsm["<key_added>_scores"]`
            DataFrame `(n_obs, n_labels)` of probabilities. A slash in a label is written as `|`.

        Raises
        ------
        RuntimeError, ValueError
            As :meth:`predict`; also for data that cannot be written to.
        """
        cells = self._cells(adata)
        keys = TextLabelKeys.from_prefix(key_added)
        check_writable(cells, key_added, keys.slots, reads=self._read_slots())
        check_choice(refine, REFINEMENTS, "refine")
        check_share(min_confidence, "min_confidence")
        query = self._query(adata, layer, gene_symbols)
        candidates = self._candidates(labels, tissue)
        probabilities = self._label_probabilities(query, candidates, refine)
        confidence = probabilities.max(axis=1)
        predicted = decode(pd.DataFrame(probabilities, columns=pd.Index(candidates.names)), _UNKNOWN)
        predicted[confidence < min_confidence] = _UNKNOWN
        terms = dict(zip(candidates.names, candidates.terms, strict=True))
        columns = storable_names(candidates.names, reserved=cells.obs_names.name)
        values = {
            keys.prediction: as_categorical(predicted, [*candidates.names, _UNKNOWN]),
            keys.confidence: confidence,
            keys.ontology_id: pd.Categorical([terms.get(label) for label in predicted]),
            keys.scores: pd.DataFrame(probabilities, index=cells.obs_names, columns=columns),
        }
        write_slots(cells, keys.slots, {slot: values[slot.key] for slot in keys.slots})

    def search(
        self,
        adata: "AnnData | None",
        text: str,
        *,
        key_added: str = "scmmgpt_search",
        layer: str | None = None,
        gene_symbols: str | None = None,
    ) -> None:
        """Score cells by how well a text fits them, beside how well the texts of all other cell types do.

        Parameters
        ----------
        adata
            Cells, as for :meth:`predict`.
        text
            What to look for: `"cells that secrete insulin"`, or genes, `"expresses CD3E and CD8A"`.
        key_added
            Column of `.obs`.
        layer, gene_symbols
            As for :meth:`predict`.

        Returns
        -------
        Nothing; writes `adata.obs[key_added]`, in [0, 1]: the share of the cell types that the model knows whose text
        fits the cell less well. Near 1 for cells that the text describes; if no cell is near 1, there is none.

        Raises
        ------
        RuntimeError, ValueError
            As :meth:`annotate`; also for an empty text.
        """
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"Expected a text to search for; found {text!r}.")
        cells, slot = self._cells(adata), Slot("obs", key_added)
        check_writable(cells, key_added, [slot], reads=self._read_slots())
        query = self._query(adata, layer, gene_symbols)
        alignment, _ = self._trained()
        markers = markers_in_words({"text": text}, self.genes).get("text", np.zeros(len(self.genes)))
        scores = search_scores(query, alignment, embedded([[text]], alignment, self._encode)[0], markers)
        write_slots(cells, [slot], {slot: scores})

    @property
    def text_encoder(self) -> TextEncoder:
        """What reads texts."""
        return self._text_encoder

    def embed_text(self, texts: "Sequence[str]") -> "FloatArray":
        """Embeddings of texts by the text encoder, float32 of shape `(n_texts, dim)`."""
        return self._encode(list(texts))

    def save(
        self, dir_path: str, prefix: str | None = None, overwrite: bool = False, *, half_precision: bool = False
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
        half_precision
            Weights in float16: half the size, and scores that differ in the third or fourth digit.

        Raises
        ------
        ValueError
            The folder is there, without `overwrite`.
        """
        alignment, types = self._trained()
        folder = Path(dir_path)
        make_folder(folder, overwrite=overwrite)
        content = {
            "model": type(self).__name__,
            "registry": self.registry,
            "init_params": self.init_params_["non_kwargs"],
            "is_trained": self.is_trained_,
            "genes": self.genes,
            "types": types.state(),
            "text_encoder_fingerprint": self._text_encoder.fingerprint,
        }
        dtype = np.float16 if half_precision else np.float32
        arrays = {name: values.astype(dtype) if values.ndim else values for name, values in alignment.arrays().items()}
        write_model(folder, prefix or "", content, arrays)

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
            Data to attach; `None` and `False` for none.
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
        folder = Path(dir_path)
        content, arrays = read_saved(cls, folder, prefix or "", _CONTENT)
        with undamaged(folder):
            options, registry = dict(content["init_params"]), content["registry"]
            setup_options = {"source_registry": registry, **registry["setup_args"]}
        if text_encoder is not None:
            options["text_encoder"] = text_encoder
        if adata is None or adata is False:
            model = cls(registry=registry, **options)
        else:
            cls.setup_anndata(adata, **setup_options)
            model = cls(adata, **options)
        if model._text_encoder.fingerprint != content["text_encoder_fingerprint"]:
            raise ValueError(
                f"The text encoder {model._text_encoder.name!r} on this machine is not the one that the model was "
                "trained with: its files differ. Install the version it was trained with, or train again."
            )
        with undamaged(folder, ValueError):
            model.alignment = TextAlignment.from_arrays(arrays)
            model.types, model.genes = RegisteredTypes.from_state(content["types"]), content["genes"]
            one = np.ones(len(model.genes), dtype=bool)
            registered = registered_candidates(model.alignment, model.types)
            model.alignment.profiles(registered.texts[:1], registered.markers[:1], one)  # shows whether sizes agree
        model.module, model.is_trained_ = model.alignment.tower, True
        return model

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

    def _query(self, adata: "AnnData | None", layer: str | None, gene_symbols: str | None) -> Query:
        self._trained()
        setup = self.registry["setup_args"]
        source = ExpressionSource(setup["layer"], setup["gene_symbols"], self.genes).of_query(layer, gene_symbols)
        query = Query(source.reader(self._cells(adata)), self.genes)
        query.warn_if_small()
        return query

    def _candidates(self, labels: "Labels | None", tissue: str | None) -> Candidates:
        alignment, types = self._trained()
        if labels is None:
            return registered_candidates(alignment, types, tissue)
        if tissue is not None:
            raise ValueError("Pass either `labels=` or `tissue=`: a tissue stands for the types that it has.")
        labels = labels if isinstance(labels, Mapping) else [labels] if isinstance(labels, str) else list(labels)
        if _UNKNOWN in labels:
            raise ValueError(
                f"{_UNKNOWN!r} is what cells without a label get. Leave it out, or call the type otherwise."
            )
        return candidates_of(labels, alignment, types, self.genes, self._encode)

    def _label_probabilities(self, query: Query, candidates: Candidates, refine: Refine) -> "FloatArray":
        alignment, _ = self._trained()
        scores = label_scores(query, alignment, candidates)
        components = None if refine == "none" else query_components(query)
        return label_probabilities(scores, alignment.scale, refine, components)

    def _encode(self, texts: list[str]) -> "FloatArray":
        # A label is encoded once for many cells, so that exactness costs nothing.
        return self._text_encoder.encode_texts(texts, precision="float32")

    def _trained(self) -> tuple[TextAlignment, RegisteredTypes]:
        if self.alignment is None or self.types is None:
            raise RuntimeError(
                'The model is not trained. Open one, `SCMMGPT.from_pretrained("scmmgpt-mini")`, or call `train`.'
            )
        return self.alignment, self.types


def pretrained_names() -> list[str]:
    """Names of the models that come with this package."""
    return sorted(path.name for path in _BUNDLED.iterdir() if path.is_dir()) if _BUNDLED.is_dir() else []


def pretrained_folder(name: "StrPath") -> Path:
    """The folder of a model: of one that comes with this package, where it is the name of one, else the path itself."""
    # Not any path below `_BUNDLED`: "." and "" are folders there, too.
    return _BUNDLED / str(name) if str(name) in pretrained_names() else Path(name).expanduser()


def _text_encoder(given: "StrPath | TextEncoder") -> TextEncoder:
    encoder = given if isinstance(given, TextEncoder) else encoders.get(given)
    if not isinstance(encoder, TextEncoder):
        raise TypeError(
            f"Expected an encoder of texts, with a method `encode_texts`; found {encoder.name!r}. Pass a "
            'sentence-transformers model, such as "minilm".'
        )
    return encoder
