"""The data of the page for its script: places, labels, scores, genes and names of the drawn cells."""

from typing import TYPE_CHECKING, Any

from scmpt_scverse.report._annotation import UNSURE_BELOW, Annotation
from scmpt_scverse.report._genes import Genes
from scmpt_scverse.report._packing import packed_codes, packed_places, packed_texts, packed_values

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import IntArray
    from scmpt_scverse.report._labelling import Labelling
    from scmpt_scverse.report._points import Points

#: Characters: what names of cells may take, and all together, so that the page stays below 6 MB.
_MOST_FOR_NAMES, _MOST_IN_ALL = 1_300_000, 5_400_000
_WORDS = {"disagreement": "disagreement of modalities", "search": "search score"}


def page_data(
    adata: "AnnData",
    annotation: Annotation,
    labelling: "Labelling",
    points: "Points",
    genes: Genes,
    places: "IntArray",
) -> tuple[dict[str, Any], int]:
    """What the script reads, and the number of genes that have room in it.

    Parameters
    ----------
    adata
        All cells.
    annotation, labelling
        Of all cells.
    points
        The drawn ones.
    genes
        Of the cells that were read.
    places
        Of the drawn cells among these, shape `(n_points,)`.
    """
    if not len(points.rows):
        return {"n": 0}, 0
    rows = points.rows
    x, y = packed_places(points.coordinates)
    predicted = annotation.predicted
    labellings = {"group": labelling} if predicted is None else {"prediction": predicted}
    if predicted is not None and predicted.column != labelling.column:
        labellings = {"group": labelling, **labellings}
    second = annotation.second
    data: dict[str, Any] = {
        "n": len(rows),
        "x": x,
        "y": y,
        "labellings": [
            {
                "id": name,
                "name": each.column if name == "group" else "predicted label",
                "labels": each.labels,
                "colours": each.colours,
                "counts": each.counts.tolist(),
                "codes": packed_codes(each.codes[rows]),
            }
            for name, each in labellings.items()
        ],
        "scores": [
            {"id": name, "name": _WORDS.get(name, name), "values": packed_values(score.values[rows])}
            for name, score in annotation.scores.items()
        ],
        "limits": {"unsure": UNSURE_BELOW, "novel": annotation.novel_above},
        "second": None if second is None else {"labels": second.labels, "codes": packed_codes(second.codes[rows])},
        "names": packed_texts([str(name) for name in adata.obs_names[rows]], _MOST_FOR_NAMES),
        "genes": [],
    }
    left = _MOST_IN_ALL - _size(data)
    for column, name in enumerate(genes.names):
        values = genes.values[places, column]
        largest = float(values.max(initial=0))
        text = packed_values(values, largest)
        left -= len(text)
        if left < 0:
            break
        data["genes"].append({"name": name, "largest": round(largest, 3), "values": text})
    return data, len(data["genes"])


def _size(content: Any) -> int:
    """Characters of all text in it."""
    if isinstance(content, dict):
        return sum(map(_size, content.values()))
    if isinstance(content, list):
        return sum(map(_size, content))
    return len(content) if isinstance(content, str) else 0
