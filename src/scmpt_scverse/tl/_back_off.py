"""Annotated cells in terms of the Cell Ontology."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from scmpt_scverse import ontology
from scmpt_scverse._checks import check_key
from scmpt_scverse._keys import DEFAULT_KEY_ADDED, OntologyKeys, PredictionKeys

if TYPE_CHECKING:
    from anndata import AnnData


def back_off(
    adata: "AnnData",
    *,
    overrides: Mapping[str, str] | None = None,
    threshold: float = 0.8,
    key_added: str = DEFAULT_KEY_ADDED,
) -> None:
    """Name each cell by the narrowest term of the Cell Ontology that is probable enough.

    Parameters
    ----------
    adata
        Annotated cells: `.obsm["<key_added>_probabilities"]` is read.
    overrides
        Label to id or name of a term, where the label alone does not lead to it; see
        :func:`scmpt_scverse.ontology.map_labels`, whose report shows which these are.
    threshold
        Probability that a term has to reach, in (0, 1]. It means what it says if the probabilities are calibrated.
    key_added
        Prefix of what is read and written.

    Returns
    -------
    Nothing; writes

    `adata.obs["<key_added>_ontology_id"]`, `adata.obs["<key_added>_ontology_term"]`
        Categorical: id and name of the term, that of the predicted label or of one of its ancestors; missing for cells
        without probabilities.
    `adata.obs["<key_added>_ontology_probability"]`
        Probability of that term: the sum over the labels that are of its kind.
    `adata.obs["<key_added>_is_backed_off"]`
        Whether an ancestor took the place of the predicted label.

    Raises
    ------
    KeyError
        The cells are not annotated.
    ValueError
        A label has no term; the error suggests some. Or `threshold` is out of range.
    ImportError
        `cellxgene-ontology-guide`, of the extra `ontology`, is not installed.
    """
    probabilities_key = PredictionKeys.from_prefix(key_added).probabilities
    check_key(probabilities_key, adata.obsm.keys(), "adata.obsm", hint=" Run `model.annotate(adata)` first.")
    probabilities = adata.obsm[probabilities_key]
    # In the columns a slash is written as `|`.
    stored = {label.replace("/", "|"): term for label, term in (overrides or {}).items()}
    named = ontology.back_off(
        probabilities, ontology.map_labels(probabilities.columns, overrides=stored), threshold=threshold
    )
    keys = OntologyKeys.from_prefix(key_added)
    adata.obs[keys.identifier] = pd.Categorical(named["ontology_id"])
    adata.obs[keys.term] = pd.Categorical(named["ontology_term"])
    adata.obs[keys.probability] = named["probability"].to_numpy()
    adata.obs[keys.is_backed_off] = named["is_backed_off"].to_numpy()
