"""Second opinions in AnnData: sentences of the cells or clusters to ask about, and slots for the answers."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scmpt_scverse import __version__
from scmpt_scverse._checks import check_key
from scmpt_scverse._labels import as_categorical, labels_or
from scmpt_scverse._slots import (
    UNS_KEYS,
    LLMKeys,
    Slot,
    check_recorded,
    check_records,
    check_writable,
    write_record,
    write_slots,
)
from scmpt_scverse._storable import check_columns_fit, storable_names
from scmpt_scverse.llm import SecondOpinion, Subjects, subjects_of
from scmpt_scverse.pp import cluster_sentences, sentences_of

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import FloatArray, IntArray, StrArray
    from scmpt_scverse.pp import ExpressionReader


def cells_as_subjects(reader: "ExpressionReader", rows: "IntArray", n_genes: int) -> Subjects:
    """Some cells as subjects, in the order of `rows`, without cells that have no expression."""
    ascending = np.sort(rows)  # a reader takes rows in ascending order
    texts = sentences_of(reader.take(ascending), n_genes).texts() if len(rows) else []
    sentences = [texts[place] for place in np.searchsorted(ascending, rows)]
    return subjects_of("a cell", np.arange(reader.n_obs), rows, sentences)


def clusters_as_subjects(reader: "ExpressionReader", codes: "IntArray", chosen: "IntArray", n_genes: int) -> Subjects:
    """Some clusters as subjects, in the order of `chosen`, by mean expression; `codes` from :func:`cluster_codes`."""
    texts = cluster_sentences(reader, codes, int(codes.max(initial=-1)) + 1, n_genes).texts()
    return subjects_of("a cluster of cells", codes, chosen, [texts[cluster] for cluster in chosen])


def cluster_codes(adata: "AnnData", cluster_key: str) -> "IntArray":
    """Code of each cell's cluster, shape `(n_obs,)`; -1 where it has none."""
    check_key(cluster_key, adata.obs.columns, "adata.obs")
    names = labels_or(adata.obs[cluster_key], "")
    codes, _ = pd.factorize(pd.Series(names).mask(names == ""))
    return np.asarray(codes, dtype=np.int64)


def check_second_opinion(
    adata: "AnnData", key_added: str, reads: Iterable[Slot], labels: "Sequence[str] | StrArray"
) -> None:
    """Raise `ValueError`, before asking, if :func:`write_second_opinion` could not write its slots."""
    keys = LLMKeys.from_prefix(key_added)
    check_writable(adata, key_added, keys.slots, reads=tuple(reads))
    check_columns_fit(labels, f"adata.obsm[{keys.probabilities!r}]")
    check_records(adata)
    check_recorded(adata, key_added, keys.slots)


def write_second_opinion(
    adata: "AnnData",
    key_added: str,
    opinion: SecondOpinion,
    settings: Mapping[str, Any],
    *,
    mixed: "tuple[StrArray, FloatArray] | None" = None,
) -> None:
    """Write a second opinion, its record, and the mixture with a classifier's predictions where there is one.

    Parameters
    ----------
    adata
        The cells.
    key_added
        Prefix of the slots (:class:`LLMKeys`).
    opinion
        What to write.
    settings
        The user's settings, for the record; no secret and no path.
    mixed
        Labels of the mixture and their probabilities, each of shape `(n_obs,)`; `None` removes what an earlier call
        wrote.
    """
    keys = LLMKeys.from_prefix(key_added)
    categories = [*opinion.labels, opinion.abstention]
    columns = storable_names(opinion.labels, reserved=adata.obs_names.name)
    values = {
        Slot("obs", keys.prediction): as_categorical(opinion.prediction, categories),
        Slot("obs", keys.rationale): opinion.rationale,
        Slot("obsm", keys.probabilities): pd.DataFrame(opinion.probabilities, adata.obs_names, columns),
    }
    if mixed is not None:
        values[Slot("obs", keys.mixed_prediction)] = as_categorical(mixed[0], categories)
        values[Slot("obs", keys.mixed_confidence)] = mixed[1]
    write_slots(adata, keys.slots, values)
    record = {
        **opinion.provenance,
        "settings": json.dumps(dict(settings), default=str),
        **{name: value for name, value in vars(opinion.report).items() if isinstance(value, int | float)},
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": __version__,
    }
    write_record(adata, UNS_KEYS.llm, key_added, record)
