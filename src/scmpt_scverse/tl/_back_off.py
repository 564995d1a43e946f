"""Replace uncertain annotations by more general Cell Ontology terms."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from scmpt_scverse import knowledge
from scmpt_scverse._checks import check_cells
from scmpt_scverse._labels import label_text
from scmpt_scverse._slots import (
    DEFAULT_KEY_ADDED,
    UNS_KEYS,
    OntologyKeys,
    PredictionKeys,
    Slot,
    check_recorded,
    check_records,
    check_writable,
    checked_probabilities,
    write_record,
    write_slots,
)
from scmpt_scverse._storable import storable_names

if TYPE_CHECKING:
    from anndata import AnnData


def back_off(
    adata: "AnnData",
    *,
    overrides: Mapping[str, str] | None = None,
    threshold: float = 0.8,
    key: str = DEFAULT_KEY_ADDED,
    key_added: str | None = None,
) -> None:
    """Assign each cell the most specific Cell Ontology term that is probable enough.

    Parameters
    ----------
    adata
        Annotated cells.
    overrides
        Label to the id or name of its term, used instead of the lookup by :func:`scmpt_scverse.knowledge.map_labels`.
    threshold
        Smallest probability that a term must reach, in (0, 1]. Meaningful if the probabilities are calibrated.
    key
        Prefix of what is read: `.obsm["<key>_probabilities"]`.
    key_added
        Prefix of what is written; `None` uses `key`.

    Returns
    -------
    Nothing; writes

    `adata.obs["<key_added>_ontology_id"]`, `adata.obs["<key_added>_ontology_term"]`
        Categorical: id and name of the term of the most probable label, or of an ancestor of it; missing for cells
        without probabilities.
    `adata.obs["<key_added>_ontology_probability"]`
        Probability of that term: the sum over the labels that it covers; NaN for cells without probabilities.
    `adata.obs["<key_added>_is_backed_off"]`
        Whether the term is an ancestor of the term of the most probable label; false for cells without probabilities.
    `adata.uns["scmpt"]["ontology"][key_added]`
        `threshold` and `key`.

    Raises
    ------
    TypeError
        `adata` is not an AnnData.
    KeyError
        The cells are not annotated.
    ValueError
        A label has no term (the error suggests some), an override is for an unknown label or term, `threshold` is out
        of range, `key_added` cannot be written, or a column of your own is there.
    ImportError
        `cellxgene-ontology-guide`, from the extra `ontology`, is not installed.
    """
    key_added = key if key_added is None else key_added
    check_cells(adata)
    keys = OntologyKeys.from_prefix(key_added)
    check_writable(adata, key_added, keys.slots)
    check_records(adata)
    check_recorded(adata, key_added, keys.slots, [UNS_KEYS.ontology])
    probabilities = checked_probabilities(adata, PredictionKeys.from_prefix(key))
    # Column names are labels in a form that HDF5 can store.
    stored = {storable_names([label_text(label)], None)[0]: term for label, term in (overrides or {}).items()}
    named = knowledge.back_off(
        probabilities, knowledge.map_labels(probabilities.columns, overrides=stored), threshold=threshold
    )
    values = {
        Slot("obs", keys.identifier): pd.Categorical(named["ontology_id"]),
        Slot("obs", keys.term): pd.Categorical(named["ontology_term"]),
        Slot("obs", keys.probability): named["probability"].to_numpy(),
        Slot("obs", keys.is_backed_off): named["is_backed_off"].to_numpy(),
    }
    write_slots(adata, keys.slots, values)
    write_record(adata, UNS_KEYS.ontology, key_added, {"threshold": threshold, "key": key})
