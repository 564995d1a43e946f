"""From tables of markers and labelled cells to what an alignment is trained on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from scmpt_scverse._checks import list_some, warn_user
from scmpt_scverse.knowledge import cell_ontology, label_texts, term_of
from scmpt_scverse.zero_shot._fit import TrainingStudy
from scmpt_scverse.zero_shot._query import Query
from scmpt_scverse.zero_shot._types import RegisteredTypes

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import FloatArray, IntArray, StrArray
    from scmpt_scverse.pp import ExpressionReader

#: Genes that a type is known by at most, the most agreed on first; types with fewer than the least are left out.
_MAX_GENES, _MIN_GENES = 60, 5


@dataclass(frozen=True)
class MarkerProfiles:
    """Markers of many types as an array.

    Attributes
    ----------
    types
        Name, term and tissues of each.
    genes
        Symbols, in alphabetical order, shape `(n_genes,)`.
    values
        Weights, shape `(n_types, n_genes)`; negative for a gene that speaks against a type.
    """

    types: RegisteredTypes
    genes: "StrArray"
    values: "FloatArray"

    @classmethod
    def of(cls, markers: pd.DataFrame, organism: str) -> "MarkerProfiles":
        """From a table of :func:`scmpt_scverse.knowledge.merge_markers`.

        Raises
        ------
        ValueError
            Fewer than two types have enough markers in the organism.
        """
        rows = markers[markers["organism"].isna() | (markers["organism"] == organism)]
        strength = rows["weight"].abs()
        rows = rows.assign(strength=strength).sort_values(
            ["type", "strength", "gene"], ascending=[True, False, True], kind="stable"
        )
        rows = rows.drop_duplicates(["type", "gene"]).groupby("type").head(_MAX_GENES)
        n_genes = rows.loc[rows["weight"] > 0].groupby("type").size()
        names = sorted(n_genes.index[n_genes >= _MIN_GENES])
        if len(names) < 2:
            raise ValueError(
                f"Expected markers of at least two types, {_MIN_GENES} genes each, of {organism}; found "
                f"{list_some(names) if names else 'none'} among organisms {list_some(markers['organism'].unique())}. "
                "Pass other tables as `markers=`, or their `marker_organism=`."
            )
        rows = rows[rows["type"].isin(names)]
        genes = np.array(sorted(rows["gene"].unique()), dtype=object)
        values = np.zeros((len(names), len(genes)), dtype=np.float32)
        values[pd.Index(names).get_indexer(rows["type"]), pd.Index(genes).get_indexer(rows["gene"])] = rows["weight"]
        return cls(RegisteredTypes.of(rows, names), genes, values)


def training_texts(
    types: RegisteredTypes,
    labels: Sequence[str],
    encode: "Callable[[list[str]], FloatArray]",
) -> "tuple[FloatArray, IntArray]":
    """Embeddings of the wordings of all types, and of labels that are none of them.

    Returns
    -------
    Shape `(n_texts, n_wordings, dim)`, registered types first; and the row of each label, shape `(n_labels,)`.
    """
    ontology = cell_ontology()
    names = list(types.names)
    rows = []
    for label in labels:
        row = types.row_of(label, term_of(label, ontology))
        if row is None:
            row = len(names)
            names.append(label)
        rows.append(row)
    wordings = list(label_texts(names, ontology=ontology).values())
    n_wordings = max(map(len, wordings))
    # Fewer wordings are repeated, so that every type has as many.
    flat = [each[number % len(each)] for each in wordings for number in range(n_wordings)]
    distinct = list(dict.fromkeys(flat))
    embeddings = encode(distinct)
    places = {text: place for place, text in enumerate(distinct)}
    texts: FloatArray = embeddings[[places[text] for text in flat]].reshape(len(names), n_wordings, -1)
    return texts, np.array(rows, dtype=np.int64)


class StudySource(NamedTuple):
    """Where the labelled cells of one study are; expression is read in chunks, and may be on disk."""

    name: str
    reader: "ExpressionReader"
    #: Label of each cell, `None` for none, shape `(n_obs,)`.
    labels: "StrArray"


def sources_of(
    adata: "AnnData", reader_of: "Callable[[AnnData], ExpressionReader]", labels: "StrArray", groups: "StrArray"
) -> list[StudySource]:
    """The studies of some data.

    Parameters
    ----------
    adata
        Cells of one or several studies, in memory or backed.
    reader_of
        Opens the expression of some of them.
    labels
        Label of each cell, `None` for none, shape `(n_obs,)`.
    groups
        Study of each cell, shape `(n_obs,)`.
    """
    names = list(dict.fromkeys(groups))
    if len(names) == 1:
        return [StudySource(names[0], reader_of(adata), labels)]
    inside = {name: groups == name for name in names}
    return [StudySource(name, reader_of(adata[rows]), labels[rows]) for name, rows in inside.items()]


def training_studies(
    sources: Sequence[StudySource], known: MarkerProfiles, encode: "Callable[[list[str]], FloatArray]"
) -> "tuple[list[TrainingStudy], FloatArray]":
    """Labelled cells study by study, and the texts of all types and labels.

    Parameters
    ----------
    sources
        Of all studies.
    known
        Markers of registered types.
    encode
        From texts to embeddings `(n_texts, dim)`.

    Returns
    -------
    The studies with at least two labels, and embeddings as of :func:`training_texts`.

    Raises
    ------
    ValueError
        No study has two labels.

    Warns
    -----
    UserWarning
        Some studies have fewer, and are left out.
    """
    names = sorted({label for source in sources for label in source.labels if label is not None})
    texts, rows = training_texts(known.types, names, encode)
    row_of = dict(zip(names, rows, strict=True))
    studies, single = [], []
    for source in sources:
        # Labels of one text, such as "B cell" and "B cells", are one label.
        texts_of_cells = np.array([row_of.get(label, -1) for label in source.labels])
        types = np.unique(texts_of_cells[texts_of_cells >= 0])
        if len(types) < 2:
            single.append(source.name)
            continue
        codes = pd.Index(types).get_indexer(texts_of_cells)
        studies.append(TrainingStudy(Query(source.reader, known.genes), codes, types))
    if not studies:
        raise ValueError("Expected a study with at least two labels; found none. Check `labels_key` and `batch_key`.")
    if single:
        warn_user(
            f"Expected at least two labels in each study; found fewer in {list_some(single)}. Nothing is learned from "
            "them. Join them with other cells of the same origin, or leave them out."
        )
    return studies, texts
