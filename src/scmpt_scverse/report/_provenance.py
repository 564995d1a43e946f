"""How what is on the page came about: the records that were written beside it, as rows of text."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scmpt_scverse._slots import UNS_KEYS, AttributionKeys, is_ranking
from scmpt_scverse.report._annotation import KEYS

if TYPE_CHECKING:
    from anndata import AnnData

#: Letters of a value, and values of a list.
_MOST_LETTERS, _MOST_VALUES = 300, 12
#: What sections of `.uns["scmpt"]` are called.
_SECTIONS = {
    UNS_KEYS.embeddings: "Embedding",
    UNS_KEYS.annotations: "Labels",
    UNS_KEYS.descriptions: "Descriptions",
    UNS_KEYS.searches: "Search",
    UNS_KEYS.llm: "Second opinion of a language model",
    UNS_KEYS.smoothing: "Smoothing",
    UNS_KEYS.ontology: "More general terms",
    UNS_KEYS.synthetic: "Synthetic cells",
}


@dataclass(frozen=True)
class Record:
    """What was recorded of one thing, as names and values."""

    title: str
    rows: list[tuple[str, str]]


def records_of(adata: "AnnData", key: str) -> list[Record]:
    """Everything in `.uns["scmpt"]`, and the parameters of rankings of genes."""
    ours: Any = adata.uns.get(UNS_KEYS.root, {})
    found: list[Record] = []
    for section, content in ours.items() if isinstance(ours, Mapping) else ():
        title = _SECTIONS.get(section, str(section))
        nested = isinstance(content, Mapping) and all(isinstance(each, Mapping) for each in content.values())
        parts = {f"{title} {name}": each for name, each in content.items()} if nested else {title: content}
        found += [Record(name, list(_rows(each))) for name, each in parts.items()]
    for prefix in dict.fromkeys((key, *KEYS)):
        name = AttributionKeys.from_key(f"{prefix}_attributions").ranking
        ranking: Any = adata.uns.get(name)
        if is_ranking(ranking) and isinstance(ranking.get("params"), Mapping):
            found.append(Record(f"Ranking of genes {name}", list(_rows(ranking["params"]))))
    return [record for record in found if record.rows]


def _rows(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _rows(each, f"{name}.{key}" if name else str(key))
    else:
        text = _text(value)
        if text:
            yield name or "value", text


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float | np.floating):
        return f"{value:.6g}"
    if isinstance(value, np.ndarray | list | tuple):
        values = np.ravel(np.asarray(value, dtype=object))
        more = f", ... ({len(values)} in all)" if len(values) > _MOST_VALUES else ""
        return ", ".join(_text(each) for each in values[:_MOST_VALUES]) + more
    text = str(value)
    return text if len(text) <= _MOST_LETTERS else f"{text[:_MOST_LETTERS]}..."
