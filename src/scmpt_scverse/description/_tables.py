"""Evidence and texts as a table: one row per group or cell, which files can hold."""

from collections.abc import Sequence

import pandas as pd

from scmpt_scverse._storable import storable_text
from scmpt_scverse.description._evidence import Evidence

#: Columns of descriptions, in order; all text but the numbers.
COLUMNS = (
    "description",
    "n_cells",
    "term",
    "ontology_id",
    "probability",
    "path",
    "label",
    "label_probability",
    "candidates",
    "definition",
    "genes_for",
    "genes_against",
    "states",
    "unusual",
    "writer",
)
_BETWEEN_KINDS = " > "
#: Smaller probabilities would read 0.00.
_LEAST_SHOWN = 0.005


def description_table(
    evidence: Sequence[Evidence], texts: Sequence[str], writers: Sequence[str], index_name: str
) -> pd.DataFrame:
    """One row per group or cell; see :meth:`scmpt_scverse.SCMMGPT.describe`."""
    rows = [
        {
            "description": text,
            "n_cells": each.n_cells,
            "term": each.term,
            "ontology_id": each.ontology_id,
            "probability": each.probability,
            "path": _BETWEEN_KINDS.join(each.path),
            "label": each.label,
            "label_probability": each.label_probability,
            "candidates": "; ".join(
                f"{label} ({probability:.2f})" for label, probability in each.candidates if probability >= _LEAST_SHOWN
            ),
            "definition": each.definition,
            "genes_for": ", ".join(each.genes_of("for")),
            "genes_against": ", ".join(
                f"{gene.gene} ({'higher' if gene.is_higher else 'lower'})"
                for gene in each.genes
                if gene.side == "against"
            ),
            "states": "; ".join(
                f"{state.name} ({100 * state.share:.0f} %{': ' if state.genes else ''}{', '.join(state.genes)})"
                for state in each.states
            ),
            "unusual": "; ".join(oddity.text for oddity in each.unusual),
            "writer": writer,
        }
        for each, text, writer in zip(evidence, texts, writers, strict=True)
    ]
    if index_name in COLUMNS:  # a file cannot hold an index and a column of one name
        index_name = "group"
    table = pd.DataFrame(rows, columns=list(COLUMNS), index=pd.Index([each.name for each in evidence], name=index_name))
    texts_only = table.select_dtypes(exclude="number").columns
    table[texts_only] = table[texts_only].map(storable_text).astype(object)
    return table


def is_description_table(found: object) -> bool:
    """Whether something in `.uns` is such a table."""
    return isinstance(found, pd.DataFrame) and set(COLUMNS) <= set(found.columns)
