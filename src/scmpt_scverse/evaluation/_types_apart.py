"""How well new models distinguish each cell type, on cells that they were not trained on."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scmpt_scverse._checks import check_positive
from scmpt_scverse.evaluation._cross_validate import Trainable, trained
from scmpt_scverse.metrics import per_class_metrics

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import IntArray, StrArray

#: Fewest cells of a type in a subsample, where the type has that many: fewer say hardly anything about it.
_FEWEST_OF_TYPE = 30
#: At a lower F1, a label is more often wrong or missed than right.
_LEAST_F1 = 0.5


def sample_of_types(truth: "StrArray", unlabeled: str, max_cells: int, seed: int) -> "IntArray":
    """Rows of about `max_cells` labelled cells, ascending: every label in proportion, but no fewer than 30 of it."""
    check_positive(max_cells, "max_cells")
    generator = np.random.default_rng(seed)
    labelled = np.flatnonzero(truth != unlabeled)
    share = min(1.0, max_cells / max(1, len(labelled)))
    chosen = []
    for label in np.unique(truth[labelled]):
        cells = labelled[truth[labelled] == label]
        wanted = min(len(cells), max(round(share * len(cells)), _FEWEST_OF_TYPE))
        chosen.append(generator.choice(cells, wanted, replace=False))
    return np.sort(np.concatenate(chosen)) if chosen else labelled


def predicted_out_of_fold(
    make_model: "Callable[[AnnData], Trainable]",
    cells: "AnnData",
    splits: "Sequence[tuple[IntArray, IntArray]]",
) -> "StrArray":
    """The label of each cell by a new model that was trained without it, `""` for cells that no split tests."""
    predicted: StrArray = np.full(cells.n_obs, "", dtype=object)
    for train, test in splits:
        predicted[test] = trained(make_model(cells[train].copy()), {}).predict(cells[test].copy())
    return predicted


def types_apart(truth: "StrArray", predicted: "Mapping[str, StrArray]") -> pd.DataFrame:
    """How well each cell type is told apart, worst first; see :meth:`scmpt_scverse.SCMPT.advise_panel`.

    Parameters
    ----------
    truth
        True labels, shape `(n_obs,)`.
    predicted
        Suffix of the columns to what :func:`predicted_out_of_fold` gave; the first one decides `is_told_apart` and the
        order.
    """
    tables = []
    for suffix, labels in predicted.items():
        is_tested = labels != ""
        table = per_class_metrics(truth[is_tested], labels[is_tested])[["recall", "f1"]]
        wrong = is_tested & (truth != labels)
        confused = pd.crosstab(truth[wrong], labels[wrong])
        table["confused_with"] = confused.idxmax(axis=1) if len(confused) else ""
        table["confused_share"] = confused.max(axis=1) if len(confused) else 0.0
        counts = pd.Series(truth[is_tested]).value_counts()
        table = table.reindex(np.unique(truth))
        table["confused_share"] = (table["confused_share"].fillna(0) / counts).where(table["f1"].notna())
        table["confused_with"] = table["confused_with"].fillna("")
        tables.append(table.add_suffix(suffix))
    joined = pd.concat(tables, axis=1)
    first = next(iter(predicted))
    joined.insert(0, "n_cells", pd.Series(truth).value_counts())
    joined.insert(1, "is_told_apart", joined[f"f1{first}"] >= _LEAST_F1)
    return joined.rename_axis("label").sort_values(f"f1{first}", kind="stable")
