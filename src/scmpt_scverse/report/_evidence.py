"""Which genes and texts speak for a label or a group: what the model wrote, where it did."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scmpt_scverse._labels import label_text
from scmpt_scverse._slots import BY_MODALITY, AttributionKeys, DescriptionKeys, is_ranking
from scmpt_scverse.report._annotation import KEYS

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse.report._labelling import Labelling

#: Parts of a description, and what they are called.
_PARTS = {
    "genes_against": "against it",
    "states": "states",
    "unusual": "unusual",
    "path": "kinds",
}


@dataclass(frozen=True)
class Evidence:
    """Genes that speak for a label.

    Attributes
    ----------
    genes
        Best first.
    source
        Where they come from, in words.
    """

    genes: list[str]
    source: str


@dataclass(frozen=True)
class Description:
    """What a text model says of a group.

    Attributes
    ----------
    text
        A sentence or two.
    parts
        Heading and text of what it rests on.
    genes
        Those that speak for the type.
    """

    text: str
    parts: list[tuple[str, str]]
    genes: list[str]


def attributed_genes(adata: "AnnData", key: str, labelling: "Labelling", n_genes: int) -> dict[str, Evidence]:
    """By label, the genes of positive score in a ranking of attributions; empty where there is none of these labels."""
    for prefix in dict.fromkeys((key, *KEYS)):
        name = AttributionKeys.from_key(f"{prefix}_attributions").ranking
        record: Any = adata.uns.get(name)
        if is_ranking(record) and _is_about(record, labelling):
            method = str(_params(record).get("method", "attributions")).replace("_", " ")
            return {
                label_text(group): Evidence(genes, f"{method}, from {name}")
                for group in record["names"].dtype.names
                if (genes := _positive(record, group, n_genes))
            }
    return {}


def descriptions_of(adata: "AnnData", key: str, column: str) -> dict[str, Description]:
    """By group, what `SCMMGPT.describe` wrote about the groups of a column."""
    for prefix in dict.fromkeys((key, *KEYS)):
        table = adata.uns.get(DescriptionKeys.from_prefix(prefix).descriptions)
        if isinstance(table, pd.DataFrame) and "description" in table and table.index.name == column:
            return {label_text(group): _description(row) for group, row in table.iterrows()}
    return {}


def _is_about(record: Mapping[str, Any], labelling: "Labelling") -> bool:
    """Whether the groups of a ranking are those of the page: of its column, or those that the model was to name."""
    if _params(record).get("groupby") == labelling.column:
        return True
    is_ours = BY_MODALITY in record and labelling.column.endswith("_prediction")
    return is_ours and not set(labelling.labels).isdisjoint(map(label_text, record["names"].dtype.names))


def _params(record: Mapping[str, Any]) -> Mapping[str, Any]:
    params = record.get("params", {})
    return params if isinstance(params, Mapping) else {}


def _positive(record: Mapping[str, Any], group: str, n_genes: int) -> list[str]:
    scores = np.asarray(record["scores"][group], dtype=float)
    order = np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable")[:n_genes]
    return [str(record["names"][group][place]) for place in order if scores[place] > 0]


def _description(row: "pd.Series") -> Description:
    parts = [(heading, _text(row.get(column))) for column, heading in _PARTS.items()]
    genes = [gene.strip() for gene in _text(row.get("genes_for")).split(",")]
    return Description(_text(row["description"]), [part for part in parts if part[1]], [gene for gene in genes if gene])


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def round_robin(lists: Sequence[Sequence[str]]) -> list[str]:
    """The first of each list, then the second of each, ..., each once."""
    longest = max(map(len, lists), default=0)
    return list(dict.fromkeys(each[place] for place in range(longest) for each in lists if place < len(each)))
