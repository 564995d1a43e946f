"""What `scmpt info` tells of a machine, a model and a file."""

import platform
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pandas as pd

from scmpt_scverse._h5ad import read_cells
from scmpt_scverse._labels import checked_unlabeled
from scmpt_scverse._slots import provenance
from scmpt_scverse.cli._models import is_text_model, read_model, read_text_model
from scmpt_scverse.cli._tables import table_of

if TYPE_CHECKING:
    from rich.console import Console

    from scmpt_scverse.zero_shot import RegisteredTypes

_HUMAN = "human"
_PACKAGES = ("scmpt-scverse", "scvi-tools", "scanpy", "anndata", "torch", "sentence-transformers")
#: Enough of a sha256 to tell encoders apart by eye.
_FINGERPRINT_LENGTH = 12


def describe_machine(console: "Console") -> None:
    """Versions, device, and the registered encoders."""
    from scmpt_scverse import encoders
    from scmpt_scverse._hardware import has_fast_bfloat16, resolve_device

    device = resolve_device("auto")
    facts = {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}
    facts["device"] = str(device)
    facts["precision that 'auto' takes"] = "bfloat16" if has_fast_bfloat16(device) else "float32"
    _print_facts(console, facts)
    table = encoders.list_encoders()
    columns = ["modality", "embedding_dim", "is_available_offline", "description"]
    console.print(table_of(table[columns], "Encoders (here: on this machine already)", index="encoder"))


def describe_model(path: Path, console: "Console") -> None:
    """Modalities, where their embeddings come from, and labels of a saved model; or what a text model knows."""
    if is_text_model(path):
        _describe_text_model(path, console)
        return
    model = read_model(path)
    setup, panel = model.registry["setup_args"], model.modalities.source.panel
    _print_facts(
        console,
        {
            "model": str(path),
            "labels_key": setup["labels_key"],
            "layer": setup["layer"] or ".X",
            "organism": setup.get("organism", _HUMAN),
            "unlabeled_category": ", ".join(checked_unlabeled(setup["unlabeled_category"])),
            "cells learned from": str(sum(model.record.label_counts.values())),
            "genes": "all" if panel is None else f"a panel of {len(panel)}",
        },
    )
    modalities = model.modalities
    rows = {
        name: {"obsm_key": key, "dim": modalities.dims[name], **_origin(modalities.trained_with.get(name))}
        for name, key in modalities.keys.items()
    }
    console.print(table_of(pd.DataFrame.from_dict(rows, orient="index"), "Modalities", index="modality"))
    counts = pd.DataFrame({"training cells": pd.Series(dict(model.record.label_counts))})
    console.print(table_of(counts, "Labels", index="label"))


def _describe_text_model(path: Path, console: "Console") -> None:
    model = read_text_model(path)
    types = cast("RegisteredTypes", model.types)  # no model is saved before it is trained
    encoder = model.text_encoder
    setup = model.registry["setup_args"]
    _print_facts(
        console,
        {
            "model": str(path),
            "text encoder": f"{encoder.name}, {encoder.fingerprint[:_FINGERPRINT_LENGTH]}",
            "genes": str(len(model.genes)),
            "types": str(len(types.names)),
            "labels_key": setup["labels_key"],
            "organism": setup.get("organism", _HUMAN),
            "tissues": ", ".join(sorted({tissue for each in types.tissues for tissue in each})) or "none",
        },
    )
    rows = {
        name: {"ontology id": term or "", "tissues": ", ".join(tissues)}
        for name, term, tissues in zip(types.names, types.terms, types.tissues, strict=True)
    }
    console.print(table_of(pd.DataFrame.from_dict(rows, orient="index"), "Types", index="type"))


def describe_cells(path: Path, console: "Console") -> None:
    """Shape, columns, and embeddings with their provenance of an .h5ad file."""
    from scmpt_scverse.pp import species_told

    adata = read_cells(path)
    _print_facts(
        console,
        {
            "file": str(path),
            "cells": str(adata.n_obs),
            "genes": str(adata.n_vars),
            "species by names of genes": species_told(adata, None) or "not told",
            "layers": ", ".join(key for key in adata.layers if key is not None) or "none",
            "obs": ", ".join(map(str, adata.obs.columns)) or "none",
        },
    )
    rows = {
        key: {"dim": values.shape[1] if values.ndim > 1 else 1, **_origin(provenance(adata, key))}
        for key, values in adata.obsm.items()
    }
    if rows:
        console.print(table_of(pd.DataFrame.from_dict(rows, orient="index"), "Embeddings (.obsm)", index="key"))


def _origin(record: dict[str, Any] | None) -> dict[str, str]:
    if record is None:
        return {"encoder": "not recorded", "fingerprint": ""}
    return {"encoder": record["encoder"], "fingerprint": record["fingerprint"][:_FINGERPRINT_LENGTH]}


def _print_facts(console: "Console", facts: dict[str, str]) -> None:
    width = max(map(len, facts))
    for name, value in facts.items():
        console.print(f"{name:<{width}}  {value}", highlight=False, markup=False, soft_wrap=True)
