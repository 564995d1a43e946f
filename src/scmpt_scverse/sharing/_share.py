"""Share a model: its files, and a card made of what it knows of itself."""

import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scmpt_scverse import __version__
from scmpt_scverse._checks import list_some, warn_user
from scmpt_scverse._hub import fetched, repository_of, send
from scmpt_scverse.knowledge import map_labels
from scmpt_scverse.sharing._card import ModelCard

if TYPE_CHECKING:
    from scmpt_scverse._types import StrPath

_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")
_PACKAGE = "scmpt_scverse"
_Metrics = dict[str, dict[str, float]]


@dataclass(frozen=True)
class SharedKind:
    """What the card of a kind of model says; classes that are made from a model inherit its kind.

    Attributes
    ----------
    call
        Code that annotates cells with `model`.
    cite
        The paper.
    parts
        Gives facts, labels and metrics of a model.
    """

    call: str
    cite: str
    parts: Callable[[Any], tuple[dict[str, str], pd.DataFrame, _Metrics]]


def push_to_hub(
    self: Any,
    repo: "StrPath",
    *,
    license: str,
    description: str = "",
    evaluation: pd.DataFrame | None = None,
    private: bool = False,
    token: str | None = None,
) -> str:
    """Share the trained model: on the Hugging Face hub, or in a folder that others can reach.

    Two files of weights and plain values are uploaded, with a card that is generated from the model's own records: no
        cells, and nothing that can run code. The files contain names and numbers from the training data: genes,
        labels, batches, and digests by which its cells are recognised.

    Parameters
    ----------
    repo
        `"org/name"` on the hub, or the path of a folder.
    license
        As the hub calls it: `"mit"`, `"cc-by-4.0"`, `"other"`. Required.
    description
        For the card, in your words: which cells, from where, for what.
    evaluation
        A table of `model.evaluate` on cells that were not trained on, for the card.
    private
        Whether a new repository is private.
    token
        Of the hub; `None` takes that of `hf auth login`.

    Returns
    -------
    Where it is: a link, or the path of the folder.

    Raises
    ------
    RuntimeError
        The model is not trained.
    ImportError
        `huggingface_hub`, from the extra `download`, is not installed.
    TypeError
        `description` or `evaluation` is of another type.
    ValueError
        There is no licence.
    FileExistsError
        The folder holds something else.
    OSError
        The hub cannot be reached, or refuses.
    """
    self._check_if_trained(warn=False)
    if not isinstance(license, str) or not _LICENSE.fullmatch(license):
        raise ValueError(
            f"A shared model needs a licence, as the hub calls it: 'mit', 'cc-by-4.0', 'other'; found {license!r}. "
            "Pass `license=`; what the training data allow is for you to say."
        )
    if not isinstance(description, str):
        raise TypeError(f"`description` must be a text; found {type(description).__name__}.")
    repository = repository_of(repo)
    name = repository or Path(repo).expanduser().resolve().name
    place = f"hf:{repository}" if repository else name
    card = _card(self, self._shared_kind, name, place, license, description, _metrics(evaluation))
    with tempfile.TemporaryDirectory() as folder:
        self.save(folder, overwrite=True, save_anndata=False)
        (Path(folder) / "README.md").write_text(card.text(), encoding="utf-8")
        message = f"{type(self).__name__} by scmpt-scverse {__version__}"
        return send(Path(folder), repo, private=private, token=token, message=message)


def from_hub(
    cls: Any,
    repo: "StrPath",
    *,
    revision: str | None = None,
    token: str | None = None,
    adata: Any = None,
) -> Any:
    """Open a model that was shared by `push_to_hub`.

    Parameters
    ----------
    repo
        `"org/name"` on the hub, or the path of a folder. What is fetched is kept in the hub's cache.
    revision
        Branch, tag or commit of a repository; pin a commit for answers that stay the same.
    token
        Of the hub, for a private repository.
    adata
        Data to open it with; `None` opens it without.

    Raises
    ------
    ImportError
        `huggingface_hub`, from the extra `download`, is not installed.
    FileNotFoundError
        There is no such folder, or no model in it.
    OSError
        The hub cannot be reached, or has no such model.
    ValueError
        It is not a model of this class, is damaged, or was saved by a later version in another format.
    """
    folder = fetched(repo, revision=revision, token=token)
    return cls.load(str(folder), adata=False if adata is None else adata)


def _card(
    model: Any,
    kind: SharedKind,
    name: str,
    place: str,
    license: str,
    description: str,
    metrics: Mapping[str, Mapping[str, float]],
) -> ModelCard:
    """The card of a trained model; `place` is what `from_hub` takes."""
    name_of_class, module = type(model).__name__, type(model).__module__
    source = _PACKAGE if module.startswith(f"{_PACKAGE}.") else module
    use = f'from {source} import {name_of_class}\n\nmodel = {name_of_class}.from_hub("{place}")\n{kind.call}'
    facts, labels, own = kind.parts(model)
    return ModelCard(name, name_of_class, license, description, use, facts, labels, {**own, **metrics}, [kind.cite])


def _reference_parts(model: Any) -> tuple[dict[str, str], pd.DataFrame, _Metrics]:
    """Of a model that learned its labels from cells."""
    encoders = [
        f"{modality} by {trained['encoder']} ({trained['fingerprint'][:12]})"
        for modality, trained in model.modalities.trained_with.items()
    ]
    others = [name for name in model.modalities.names if name not in model.modalities.trained_with]
    source = model.modalities.source
    facts = {
        "modalities": "; ".join([*encoders, *others]),
        "genes of the training data": f"{len(source.genes):,}",
        **({} if source.panel is None else {"genes that it reads": f"{len(source.panel):,}"}),
        "species of the training data": source.names["organism"],
        "training cells": f"{len(model.record.cells):,} (digest {model.record.digest[:12]})",
        **({"batches": list_some(model.record.batches)} if model.record.batches else {}),
    }
    labels = _with_terms(pd.DataFrame({"training cells": pd.Series(dict(model.record.label_counts), dtype=object)}))
    metrics = {}
    if model.calibration is not None:
        held_out = model.calibration
        # Settings, weights of modalities and the temperature were chosen on these cells, so this is the upper end.
        metrics[
            f"{len(held_out.is_correct):,} training cells, each by a head that was fitted without it (optimistic)"
        ] = {
            "accuracy": float(np.mean(held_out.is_correct)),
            "mean confidence": float(np.mean(held_out.confidence)),
        }
    return facts, labels, metrics


def _text_parts(model: Any) -> tuple[dict[str, str], pd.DataFrame, _Metrics]:
    """Of a model that takes labels as texts."""
    facts = {
        "text encoder": f"{model.text_encoder.name} ({model.text_encoder.fingerprint[:12]})",
        "genes": f"{len(model.genes):,}",
        "cell types that it knows": f"{len(model.types.names):,}; texts name others",
    }
    if model.writer is not None:
        writer = model.writer
        facts["language model that it taught"] = f"{Path(writer.source).name} ({writer.fingerprint[:12]}), not included"
    return (
        facts,
        pd.DataFrame({"ontology id": list(model.types.terms)}, index=list(model.types.names), dtype=object),
        {},
    )


def _with_terms(labels: pd.DataFrame) -> pd.DataFrame:
    """With ids of the Cell Ontology, where that is installed."""
    try:
        return labels.assign(**{"ontology id": map_labels(list(labels.index))["ontology_id"].to_numpy()})
    except ImportError:
        return labels


def _metrics(evaluation: "pd.DataFrame | None") -> _Metrics:
    """Metrics of a table as `evaluate` gives it: a row for each predictor."""
    if evaluation is None:
        warn_user(
            "The card says nothing of cells from elsewhere. Pass `evaluation=model.evaluate(held_out)`, with cells "
            "that the model was not trained on."
        )
        return {}
    if not isinstance(evaluation, pd.DataFrame):
        raise TypeError(f"`evaluation` must be a table of `model.evaluate`; found {type(evaluation).__name__}.")
    numbers = evaluation.select_dtypes("number")
    return {
        f"Cells that were held out: {predictor}": {
            str(metric): float(value) for metric, value in row.items() if np.isfinite(value)
        }
        for predictor, row in numbers.iterrows()
    }


REFERENCE_MODEL = SharedKind(
    "model.annotate(adata)", "scMPT: Palayew et al., arXiv 2507.10039 (2025)", _reference_parts
)
TEXT_MODEL = SharedKind(
    "model.annotate(adata, labels=[...])", "scMMGPT: Shi et al., arXiv 2503.09427 (2025)", _text_parts
)
