"""Which model it was: the record that is written beside labels, descriptions and scores of a search."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Protocol

from scmpt_scverse import __version__
from scmpt_scverse._slots import Slot, write_record
from scmpt_scverse.modalities import COUNTS
from scmpt_scverse.module import fusion_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData

    from scmpt_scverse.modalities import ExpressionSource
    from scmpt_scverse.model.reference_labels import PredictsLabelsMixin
    from scmpt_scverse.model.text_labels import TextEmbeddings
    from scmpt_scverse.zero_shot import TextModel

#: Libraries that results may depend on.
_LIBRARIES = ("torch", "scvi-tools", "anndata", "numpy")


class _LabelsByText(Protocol):
    """What is read of a model that takes labels as texts."""

    background: float
    _loaded_from: str
    _trained_on: str
    _encode: "TextEmbeddings"
    _trained: "Callable[[], TextModel]"


def today() -> str:
    """The day in UTC, such as `"2026-11-27"`."""
    return datetime.now(UTC).date().isoformat()


def facts_of_reference_model(model: "PredictsLabelsMixin") -> dict[str, Any]:
    """What is recorded of a model that learned labels from cells."""
    modalities = model.modalities
    own = {name: {"encoder": COUNTS, "obsm_key": modalities.keys[name]} for name in modalities.genes.of_arrays}
    known = {**{name: {"encoder": COUNTS} for name in modalities.of_genes}, **own, **modalities.trained_with}
    return {
        "model": type(model).__name__,
        "loaded_from": model._loaded_from,
        "trained_on": model.record.date,
        "encoders": {name: known.get(name, {"obsm_key": key}) for name, key in modalities.keys.items()},
        "fusion": fusion_name(model._fusion),
        "labels_key": model.labels_key,
        "n_labels": len(model.labels),
        "n_reference_cells": max(len(model.record.rows), len(model.record.cells)),
    }


def facts_of_text_model(model: "_LabelsByText") -> dict[str, Any]:
    """What is recorded of a model that takes labels as texts."""
    return {
        "model": type(model).__name__,
        "loaded_from": model._loaded_from,
        "trained_on": model._trained_on,
        "encoders": {"text": model._encode.identity},
        "background": float(model.background),
        "n_registered_types": len(model._trained().types.names),
    }


def write_model_record(
    adata: "AnnData",
    section: str,
    key_added: str,
    slots: Iterable[Slot],
    source: "ExpressionSource",
    *,
    model: str,
    loaded_from: str,
    trained_on: str,
    encoders: Mapping[str, Mapping[str, str]],
    **facts: Any,
) -> None:
    """Write `adata.uns["scmpt"][section][key_added]`.

    Parameters
    ----------
    adata
        Cells that the model read.
    section
        One of :data:`UNS_KEYS`.
    key_added
        What was written, or its prefix.
    slots
        All that may have been written; those that are there are recorded.
    source
        Where expression was read.
    model
        Class of the model.
    loaded_from
        Name or folder of the model; blank where it was not loaded.
    trained_on
        Day of its training; blank where that is not known.
    encoders
        Modality to the name and fingerprint of its encoder.
    **facts
        What else decided. Blank and missing ones are left out.
    """
    record = {
        "model": model,
        "loaded_from": loaded_from,
        "trained_on": trained_on,
        "version": __version__,
        "encoders": {name: dict(each) for name, each in encoders.items()},
        **source.names,
        **facts,
        "written": [str(slot) for slot in slots if slot.key in getattr(adata, slot.container)],
        "libraries": _versions(),
    }
    known = {name: value for name, value in record.items() if value is not None and value != "" and value != {}}
    write_record(adata, section, key_added, known)


def _versions() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # as where a distribution has another name
            continue
    return found
