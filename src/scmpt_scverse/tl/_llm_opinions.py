"""What a language model said, cell by cell, and where it is written."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scmpt_scverse import __version__
from scmpt_scverse._categories import as_categorical
from scmpt_scverse._keys import UNS_KEYS, LLMKeys, storable_names
from scmpt_scverse.llm._prompt import PROMPT_VERSION

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import BoolArray, FloatArray, IntArray, StrArray
    from scmpt_scverse.llm import Answer, LLMClient, Report, Request


@dataclass(frozen=True)
class Opinions:
    """Answers spread over the cells that they are about.

    Attributes
    ----------
    labels
        Shape `(n_labels,)`.
    abstention
        What is predicted where the model abstained.
    probabilities
        Shape `(n_obs, n_labels)`, 0 for labels that were no candidates; NaN where there is no answer.
    prediction
        Shape `(n_obs,)`; `None` where the model was not asked or failed.
    rationale
        Shape `(n_obs,)`; empty where there is none.
    """

    labels: "StrArray"
    abstention: str
    probabilities: "FloatArray"
    prediction: "StrArray"
    rationale: "StrArray"

    @property
    def is_given(self) -> "BoolArray":
        """Where the model answered or abstained, shape `(n_obs,)`."""
        return np.array([label is not None for label in self.prediction], dtype=bool)


def opinions_of(
    of_cell: "IntArray",
    requests: Sequence["Request"],
    answers: Sequence["Answer | None"],
    labels: "StrArray",
    abstention: str,
) -> Opinions:
    """The answers to some requests, spread over cells; `of_cell` says which request is about a cell, -1 none."""
    # One row more than requests: -1 is the last, and says nothing.
    probabilities = np.full((len(requests) + 1, len(labels)), np.nan)
    prediction = np.full(len(requests) + 1, None, dtype=object)
    rationale = np.full(len(requests) + 1, "", dtype=object)
    place = {label: column for column, label in enumerate(labels)}
    for row, (request, answer) in enumerate(zip(requests, answers, strict=True)):
        if answer is None or answer.status == "failed":
            continue
        rationale[row] = answer.rationale
        prediction[row] = abstention
        if answer.status == "answered":
            probabilities[row] = 0
            probabilities[row, [place[label] for label in request.candidates]] = answer.probabilities
            prediction[row] = labels[probabilities[row].argmax()]
    return Opinions(labels, abstention, probabilities[of_cell], prediction[of_cell], rationale[of_cell])


def write_opinions(adata: "AnnData", keys: LLMKeys, opinions: Opinions) -> None:
    """Write prediction, rationale and probabilities of the language model."""
    adata.obs[keys.prediction] = as_categorical(opinions.prediction, [*opinions.labels, opinions.abstention])
    adata.obs[keys.rationale] = opinions.rationale
    columns = storable_names(opinions.labels, reserved=adata.obs_names.name)
    adata.obsm[keys.probabilities] = pd.DataFrame(opinions.probabilities, index=adata.obs_names, columns=columns)


def write_llm_record(
    adata: "AnnData",
    key_added: str,
    client: "LLMClient",
    answers: Sequence["Answer | None"],
    report: "Report",
    settings: Mapping[str, Any],
) -> None:
    """Write how the answers came about to `adata.uns["scmpt"]["llm"][key_added]`; no secret and no path."""
    given = [answer for answer in answers if answer is not None]
    record = {
        "client": type(client).__name__,
        "model": client.model,
        "served_models": sorted({answer.served_model for answer in given} - {""}),
        "parameters": json.dumps(client.parameters),
        "refused_parameters": sorted({name for answer in given for name in answer.refused_parameters}),
        "prompt_version": PROMPT_VERSION,
        "settings": json.dumps(dict(settings), default=str),
        **{name: value for name, value in vars(report).items() if isinstance(value, int | float)},
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": __version__,
    }
    ours = adata.uns.get(UNS_KEYS.root, {})
    adata.uns[UNS_KEYS.root] = {**ours, UNS_KEYS.llm: {**ours.get(UNS_KEYS.llm, {}), key_added: record}}
