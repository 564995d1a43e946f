"""What a text model learns from, its own labelled cells, further studies and tables of markers, and its stages."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, get_args

import numpy as np
import pandas as pd
from lightning.pytorch.accelerators import AcceleratorRegistry

from scmpt_scverse._checks import check_cells, check_choice, check_key, errors_named
from scmpt_scverse._folders import check_new_folder
from scmpt_scverse._h5ad import read_cells
from scmpt_scverse._labels import checked_unlabeled, labels_or, warn_of_doubtful_labels
from scmpt_scverse._slots import check_measured
from scmpt_scverse.description import fit_writer, texts_of_cells
from scmpt_scverse.generation import fit_generator
from scmpt_scverse.knowledge import merge_markers
from scmpt_scverse.llm import LanguageModel
from scmpt_scverse.modalities import ExpressionSource
from scmpt_scverse.model._training import seed_or_default
from scmpt_scverse.module import (
    GeneratorOptions,
    TowerOptions,
    TrainingPrecision,
    TrainingRun,
    WriterOptions,
    check_adapter,
)
from scmpt_scverse.pp import ExpressionReader
from scmpt_scverse.zero_shot import (
    MarkerProfiles,
    StudySource,
    TextModel,
    fit_alignment,
    sources_of,
    training_studies,
)

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import StrArray, StrPath
    from scmpt_scverse.description import TaughtWriter
    from scmpt_scverse.generation import TextGenerator, TextReader
    from scmpt_scverse.llm import GivenLanguageModel
    from scmpt_scverse.model.text_labels._embeddings import TextEmbeddings
    from scmpt_scverse.module import TextAlignment

OptionsT = TypeVar("OptionsT", TowerOptions, GeneratorOptions, WriterOptions)
#: Tables of marker genes as :meth:`scmpt_scverse.SCMMGPT.train` takes them.
Markers: TypeAlias = "pd.DataFrame | Iterable[StrPath | pd.DataFrame | Mapping[str, Sequence[str]]]"


@dataclass(frozen=True)
class OwnCells:
    """The labelled cells that a model was set up with.

    Attributes
    ----------
    adata
        The cells.
    setup
        Arguments of `setup_anndata`.
    source
        Where their expression is.
    """

    adata: "AnnData"
    setup: Mapping[str, Any]
    source: ExpressionSource

    def labels_and_groups(self, name: str) -> "tuple[StrArray, StrArray]":
        """See :func:`_labels_and_groups`."""
        return _labels_and_groups(self.adata, self.setup, name)

    @property
    def reader(self) -> "Callable[[AnnData], ExpressionReader]":
        """What reads the expression of these cells, and of others that are organised alike."""
        return partial(ExpressionReader, **self.source.arguments)


def _labels_and_groups(adata: "AnnData", setup: Mapping[str, Any], name: str) -> "tuple[StrArray, StrArray]":
    """Label of each cell, `None` for none, and its study, which is `name` where no column says it.

    Parameters
    ----------
    adata
        Labelled cells.
    setup
        Arguments of `setup_anndata`.
    name
        Of the study.
    """
    batch_key, unlabeled = setup["batch_key"], checked_unlabeled(setup["unlabeled_category"])
    for key in (setup["labels_key"], *([] if batch_key is None else [batch_key])):
        check_key(key, adata.obs.columns, "adata.obs")
    labels = labels_or(adata.obs[setup["labels_key"]], unlabeled)
    labels[labels == unlabeled[0]] = None
    is_one = batch_key is None
    return labels, np.full(len(labels), name, dtype=object) if is_one else labels_or(adata.obs[batch_key], "")


def training_sources(own: OwnCells, studies: "Iterable[StrPath | AnnData]") -> list[StudySource]:
    """The cells that a model was set up with, then further ones, study by study; files stay on disk.

    Warns
    -----
    UserWarning
        Labels of further studies read like missing values, or are spelled otherwise than those before.
    """
    reader, setup = own.reader, own.setup
    sources = sources_of(own.adata, reader, *own.labels_and_groups("adata"))
    for name, cells in _named_cells(studies):
        with errors_named(name):
            check_measured(cells, allow_synthetic=setup.get("allow_synthetic", False))
            labels, groups = _labels_and_groups(cells, setup, name)
            known = {label for source in sources for label in source.labels if label is not None}
            named = np.array([label or "" for label in labels], dtype=object)
            unlabeled = checked_unlabeled(setup["unlabeled_category"])
            warn_of_doubtful_labels(named, f"the labels of {name}", unlabeled=unlabeled, known=known)
            sources += sources_of(cells, reader, labels, groups)
    return sources


def _named_cells(studies: "Iterable[StrPath | AnnData]") -> "Iterator[tuple[str, AnnData]]":
    """Each study and what messages call it."""
    for study in studies:
        if isinstance(study, str | PathLike):
            yield str(study), read_cells(Path(study), backed=True)
        else:
            check_cells(study)
            yield "`studies`", study


def known_markers(markers: "Markers", organism: str, sources: Sequence[StudySource]) -> MarkerProfiles:
    """Tables of markers as profiles; merged with the genes of the studies, unless they were merged before."""
    is_merged = isinstance(markers, pd.DataFrame) and "term" in markers
    if not is_merged:
        genes = dict.fromkeys(gene for source in sources for gene in source.reader.genes)
        markers = merge_markers(markers, genes=genes)
    return MarkerProfiles.of(markers, organism)


def stage_options(given: Any, kind: "type[OptionsT]", seed: int | None, stage: str) -> "OptionsT":
    """Options of a stage, with the seed."""
    if given is not None and not isinstance(given, kind):
        raise TypeError(f"Expected {kind.__name__} as `options` of stage {stage!r}; found {given!r}. Pass these.")
    if given is None or seed is not None:
        return replace(given or kind(), seed=seed_or_default(seed))
    return given


def checked_run(
    accelerator: str,
    devices: int | list[int] | str,
    precision: TrainingPrecision,
    *,
    progress: bool,
    folder: "StrPath | None",
) -> TrainingRun:
    """Where a stage is trained; raises as :meth:`scmpt_scverse.SCMMGPT.train`, before anything is read."""
    check_choice(accelerator, ["auto", "gpu", *AcceleratorRegistry.available_accelerators()], "accelerator")
    check_choice(precision, get_args(TrainingPrecision), "precision")
    numbers = devices.split(",") if isinstance(devices, str) else devices if isinstance(devices, list) else [devices]
    if len(numbers) != 1 or (not isinstance(devices, list) and str(devices) != "1"):
        raise ValueError(
            f"Expected one device as `devices`; found {devices!r}. Pass 1, or the number of a device in a list, [0]."
        )
    if folder is not None:
        check_new_folder(Path(folder))
    return TrainingRun(accelerator, devices, precision, progress, None if folder is None else Path(folder))


def fit_own_tower(
    own: OwnCells,
    studies: "Iterable[StrPath | AnnData]",
    markers: "Markers",
    marker_organism: str,
    encode: "TextEmbeddings",
    options: TowerOptions,
    run: TrainingRun,
) -> TextModel:
    """A text model that learned from cells and tables of markers; arguments as of :meth:`scmpt_scverse.SCMMGPT.train`.

    `encode` reads the texts of labels.
    """
    sources = training_sources(own, studies)
    known = known_markers(markers, marker_organism, sources)
    learned_from, wordings = training_studies(sources, known, encode)
    alignment = fit_alignment(wordings, known.values, learned_from, options, run=run)
    return TextModel(alignment, known.types, known.genes, encode)


def fit_own_generator(
    own: OwnCells,
    reader: "TextReader",
    descriptions: "Mapping[str, str | Sequence[str]] | None",
    options: GeneratorOptions,
    run: TrainingRun,
) -> "TextGenerator":
    """A generator that learned from the cells that a model was set up with.

    Parameters
    ----------
    own
        The cells.
    reader
        Reads texts of labels.
    descriptions
        Of labels, in the words of the user.
    options
        How it is built and trained.
    run
        Where it is trained.
    """
    return fit_generator(
        own.reader(own.adata), *own.labels_and_groups(""), reader, options, descriptions=descriptions, run=run
    )


def fit_own_writer(
    own: OwnCells,
    trained: TextModel,
    language_model: "GivenLanguageModel | None",
    options: WriterOptions,
    run: TrainingRun,
    *,
    descriptions: "Mapping[str, str | Sequence[str]] | None",
    text_key: str | None,
    share: float,
) -> "TaughtWriter":
    """A writer that learned from the cells that a model was set up with.

    Parameters
    ----------
    own
        The cells.
    trained
        Whose axes cells are read on.
    language_model, descriptions, text_key
        As `language_model`, `texts` and `text_key` of :meth:`scmpt_scverse.SCMMGPT.train`.
    options
        How it is built and trained.
    run
        Where it is trained.
    share
        Of the background in what cells are compared with.
    """
    if language_model is None:
        raise ValueError(
            "Expected a causal language model to teach; found `language_model=None`. Pass the folder of one as "
            "transformers saves it, a hub id, or a pair of network and tokenizer."
        )
    if text_key is not None:
        check_key(text_key, own.adata.obs.columns, "adata.obs")
    check_adapter(options.lora_rank)
    language = LanguageModel.open(language_model)
    labels, groups = own.labels_and_groups("")
    written = None if text_key is None else labels_or(own.adata.obs[text_key], "")
    texts = texts_of_cells(labels, descriptions, own.reader(own.adata).genes, written)
    studies = sources_of(own.adata, own.reader, texts, groups)
    return fit_writer(studies, trained, language, options, share=share, run=run)


def loss_history(
    alignment: "TextAlignment", writer: "TaughtWriter | None", generator: "TextGenerator | None"
) -> dict[str, pd.DataFrame] | None:
    """The loss of every step of all stages, as `model.history` gives it; `None` where none was kept."""
    losses = {"train_loss": alignment.losses} if len(alignment.losses) else {}
    if writer is not None and len(writer.cells.losses):
        losses["writer_loss"] = writer.cells.losses
    if generator is not None:
        losses["generator_loss"] = generator.cells.losses
    steps = {name: pd.RangeIndex(len(values), name="step") for name, values in losses.items()}
    return {name: pd.DataFrame({name: values}, index=steps[name]) for name, values in losses.items()} or None
