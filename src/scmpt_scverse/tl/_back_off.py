"""Replace uncertain annotations by more general terms of the Cell Ontology."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from scmpt_scverse import knowledge
from scmpt_scverse._checks import check_cells, check_key
from scmpt_scverse._labels import label_text
from scmpt_scverse._slots import DEFAULT_KEY_ADDED, OntologyKeys, PredictionKeys, Slot, check_writable, write_slots
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
    """Assign each cell the most specific term of the Cell Ontology that is probable enough.

    Parameters
    ----------
    adata
        Annotated cells.
    overrides
        Label to the id or name of its term, for labels that :func:`scmpt_scverse.knowledge.map_labels` does not find.
    threshold
        Probability that a term has to reach (at least), in (0, 1]. Meaningful if the probabilities are calibrated.
    key
        Prefix of what is read: `.obsm["<key>_probabilities"]`.
    key_added
        Prefix of what is written; `None` takes `key`.

    Returns
    -------
    Nothing; writes

    `adata.obs["<key_added>_ontology_id"]`, `adata.obs["<key_added>_ontology_term"]`
        Categorical: id and name of the term, that of the predicted label or of one of its ancestors; missing for cells
        without probabilities.
    `adata.obs["<key_added>_ontology_probability"]`
        Probability of that term: the sum over the labels that it covers.
    `adata.obs["<key_added>_is_backed_off"]`
        Whether the term is an ancestor of that of the predicted label.

    Raises
    ------
    KeyError
        The cells are not annotated.
    ValueError
        A label has no term; the error suggests some. Or `threshold` is out of range.
    ImportError
        `cellxgene-ontology-guide`, from the extra `ontology`, is not installed.
    """
    key_added = key if key_added is None else key_added
    check_cells(adata)
    keys = OntologyKeys.from_prefix(key_added)
    check_writable(adata, key_added, keys.slots)
    probabilities_key = PredictionKeys.from_prefix(key).probabilities
    check_key(probabilities_key, adata.obsm.keys(), "adata.obsm", hint=" Run `model.annotate(adata)` first.")
    probabilities = adata.obsm[probabilities_key]
    # Column names are labels in the form that HDF5 can store.
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
