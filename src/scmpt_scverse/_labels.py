"""Labels as text: the one conversion that every part of the package uses, and what looks wrong about some labels."""

import re
import unicodedata
from collections.abc import Iterable
from datetime import datetime, time
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scmpt_scverse._checks import check_no_cells, check_same_cells, list_some, type_name, warn_user

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from numpy.typing import ArrayLike

    from scmpt_scverse._types import IntArray, StrArray

#: Names, reduced to lower-case letters and digits, that files and tools give to cells of which no label is known. Not
#: "doublet", "other" or "low quality": these can be labels to learn.
_MISSING_NAMES = re.compile(
    "nan?|nat|none|null|missing|ambiguous|unresolved|uncertain|"
    "(un(known|assigned|labell?ed|annotated|classified|defined|determined|identified|specified)|"
    "not?(assigned|available|applicable|annotated|classified|determined|known|specified|reported|label(l?ed)?))(cells?|(cell)?types?)?"
)
#: How every warning of doubtful labels begins.
DOUBTFUL = "Doubtful labels in"
#: Labels, and groups of labels, that a warning names.
_N_NAMED = 6
#: So many labels on one cell each can be a reference of one cell per type; more of them are no labels.
_MOST_SINGLE = 50


def label_text(value: object) -> str:
    """One label as text.

    A whole float becomes the integer, since one missing value turns a column of integers into floats; bytes, as HDF5
    files of other tools hold them, are decoded; a member of an enumeration becomes its value, as in a file; a date is
    written without the time if that is midnight.
    """
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.decode("latin-1")  # maps every byte
    if isinstance(value, np.datetime64):
        value = pd.Timestamp(value)
    if isinstance(value, datetime) and not pd.isna(value) and value.time() == time() and value.tzinfo is None:
        return str(value.date())
    if isinstance(value, float | np.floating | Decimal) and np.isfinite(float(value)) and value == int(value):
        return str(int(value))
    return str(value)


def labels_or(values: "ArrayLike | pd.Series", missing: "str | Sequence[str]") -> "StrArray":
    """Labels as Python strings, shape `(n_obs,)`, with `missing` in place of missing values and blank text.

    Where `missing` names several labels, the first one takes the place of all of them.
    """
    name, *others = [missing] if isinstance(missing, str) else missing
    array = _column(values)
    texts = (name if is_na else label_text(value) for value, is_na in zip(array, pd.isna(array), strict=True))
    return np.array([name if text in others or not text.strip() else text for text in texts], dtype=object)


def checked_labels(values: "ArrayLike | pd.Series", argument: str) -> "StrArray":
    """Labels as Python strings, shape `(n_obs,)`; `ValueError` where one is missing or blank."""
    check_no_cells(values, argument)
    texts = labels_or(values, "")
    n_missing = int((texts == "").sum())
    if n_missing:
        raise ValueError(
            f"Expected a label for every cell in `{argument}`; found {n_missing} missing of {len(texts)}. "
            "Leave these cells out, on both sides."
        )
    return texts


def paired_labels(y_true: "ArrayLike | pd.Series", y_pred: "ArrayLike | pd.Series") -> "tuple[StrArray, StrArray]":
    """True and predicted labels of the same cells as text; `ValueError` unless there is one of each for each cell."""
    truth, predicted = checked_labels(y_true, "y_true"), checked_labels(y_pred, "y_pred")
    if len(truth) != len(predicted):
        raise ValueError(
            "Expected one prediction for each true label; "
            f"found {len(truth)} in `y_true` and {len(predicted)} in `y_pred`. Pass the same cells in the same order."
        )
    if len(truth) == 0:
        raise ValueError("Expected at least one cell to evaluate; found none. Pass cells that have a label.")
    check_same_cells(y_true, y_pred, ("y_true", "y_pred"))
    return truth, predicted


def given_labels(labels: "object | Iterable[object]", argument: str) -> list[str]:
    """Labels that the user lists, or a single one, as text; `ValueError` where one is missing."""
    several = [labels] if isinstance(labels, str | bytes) or not isinstance(labels, Iterable) else list(labels)
    texts = labels_or(several, "").tolist() if several else []
    if not all(texts):
        raise ValueError(f"Expected labels in `{argument}`; found a missing one among {list_some(several)}.")
    return texts


def distinct_labels(values: "ArrayLike | pd.Series") -> list[str]:
    """The labels that occur, as text, in the order of their categories; missing values and blank text left out.

    A column that is not categorical is ordered by value, so that 2 comes before 10.
    """
    column = pd.Series(values).astype("category")
    ordered = labels_or(column.cat.remove_unused_categories().cat.categories, "")
    return [text for text in dict.fromkeys(ordered) if text]


def as_categorical(values: "StrArray", order: "Sequence[str] | StrArray") -> pd.Categorical:
    """Labels as a column that scanpy plots.

    Categories are the values of `order` that occur, each once: several of scanpy's plots refuse categories without
    cells.
    """
    occurring = set(values)
    return pd.Categorical(values, categories=[value for value in dict.fromkeys(order) if value in occurring])


def checked_unlabeled(given: "object | Sequence[object]") -> list[str]:
    """The labels that stand for "no label", as text; `ValueError` where there is none, or a missing or blank one."""
    several = list(given) if isinstance(given, list | tuple | set | frozenset | pd.Index | np.ndarray) else [given]
    names = list(dict.fromkeys(labels_or(several, "")))
    if not names or "" in names:
        raise ValueError(
            f"`unlabeled_category` must be a label, or several; found {given!r}. Missing values and blank labels count "
            "as unlabelled in any case; leave the argument out if there are no others."
        )
    return names


def warn_of_doubtful_labels(
    labels: "StrArray",
    where: str,
    *,
    unlabeled: "Sequence[str] | None" = None,
    known: "Iterable[str]" = (),
) -> None:
    """Warn of labels that read like missing values, differ only in how they are spelled, or are on one cell each.

    No label is changed: which ones are meant only the user knows.

    Parameters
    ----------
    labels
        As text, shape `(n_obs,)`; blank ones do not count.
    where
        What holds them, such as `adata.obs['cell_type']`.
    unlabeled
        Labels that stand for "no label", of which nothing has to be said; `None` where there cannot be any.
    known
        Labels that nothing has to be said of, but whose spelling others are compared with.
    """
    counts = pd.Series(labels, dtype=object).value_counts().to_dict()
    known, accepted = set(known), list(unlabeled or [])
    spellings_of_none = {_spelling(name) for name in accepted}
    new = [name for name in counts if name and name not in known and name not in accepted]
    missing = [name for name in new if reads_missing(name, counts) or _spelling(name) in spellings_of_none]
    sentences = []
    if missing:
        if unlabeled is None:
            advice = "leave these cells out"
        else:
            names = [*(name for name in accepted if name in counts), *missing]
            advice = f"pass `unlabeled_category={names if len(names) > 1 else names[0]!r}`"
        sentences.append(
            f"They read like missing values, but count as labels: {_counted([[name] for name in missing], counts)}; "
            f"if no label is known of these cells, {advice}."
        )
    by_spelling: dict[str, list[str]] = {}
    for name in sorted({*counts, *known} - {"", *accepted, *missing}):
        by_spelling.setdefault(_spelling(name), []).append(name)
    alike = [names for names in by_spelling.values() if len(names) > 1 and not known.issuperset(names)]
    if alike:
        sentences.append(
            f"They differ only in how they are spelled, but count as different labels: {_counted(alike, counts)}; if "
            "they are one label, write them in one way."
        )
    single = [name for name in new if counts[name] == 1]
    if len(single) > max(_MOST_SINGLE, len(new) / 2):
        sentences.append(
            f"{len(single)} of {len(new)} labels are on one cell each, such as {list_some(single, 3)}: a column of "
            "measurements, or of names of cells, holds no labels."
        )
    if sentences:
        warn_user(f"{DOUBTFUL} `{where}`. {' '.join(sentences)}")


def capped(
    codes: "IntArray", candidates: "IntArray", most: int, *, batches: "StrArray | IntArray | None", seed: int
) -> "IntArray":
    """At most so many of the candidates for each label, in the order of the candidates.

    Parameters
    ----------
    codes
        Label code of every cell, shape `(n_obs,)`.
    candidates
        Row numbers of the cells that may be used.
    most
        Cells of a label.
    batches
        Batch of every cell, shape `(n_obs,)`: each gives a cell of a label in turn, until it has no more.
    seed
        Of the random choice within label and batch.
    """
    order = np.random.default_rng(seed).permutation(candidates)
    table = pd.DataFrame({"label": codes[order], "batch": "" if batches is None else batches[order]})
    turn = table.groupby(["label", "batch"]).cumcount()
    in_turn = table.assign(turn=turn).sort_values("turn", kind="stable")
    chosen = in_turn.index[in_turn.groupby("label").cumcount() < most]
    return candidates[np.isin(candidates, order[chosen])]


def _column(values: "ArrayLike | pd.Series") -> "StrArray":
    """Labels as objects, shape `(n_obs,)`."""
    if isinstance(values, np.ma.MaskedArray) or (isinstance(values, np.ndarray) and values.dtype.kind in "mM"):
        values = pd.Series(values)  # numpy forgets the mask, and makes numbers of dates
    array = np.asarray(values, dtype=object)
    if array.ndim == 0:
        raise TypeError(f"Expected one label per cell; found {type_name(values)}. Pass a list or a column of labels.")
    nested = next((value for value in array.flat if isinstance(value, list | tuple | np.ndarray)), None)
    if array.ndim == 1 and nested is not None:
        raise TypeError(f"Expected one label per cell; found {type_name(nested)} among them. Pass a list of texts.")
    if array.ndim != 1:
        raise ValueError(
            f"Expected one label per cell, a single column; found {type(values).__name__} of shape {array.shape}. Pass "
            "one column; if `adata.obs` has two of that name, rename one."
        )
    return array


def reads_missing(name: str, among: "Container[str]" = ()) -> bool:
    """Whether a label `among` others says that nothing is known; -1 is what clusterings and codes have for that."""
    compact = "".join(letter for letter in unicodedata.normalize("NFKC", name).casefold() if letter.isalnum())
    if not compact:
        # Beside "+", "-" means negative. Dots alone are no custom of tables of cells.
        return "+" not in among and set(name.strip()) != {"."}
    return name.strip() == "-1" or _MISSING_NAMES.fullmatch(compact) is not None


def _spelling(name: str) -> str:
    """What a label has in common with others that are spelled in another way."""
    text = "".join(letter for letter in unicodedata.normalize("NFKC", name) if unicodedata.category(letter) != "Cf")
    # A hyphen between letters is a space; one at the end of "CD4-" is a minus.
    text = re.sub(r"(?<=\w)[-\u2010-\u2015\u2212](?=\w)|_", " ", text.casefold())
    text = re.sub(r"\bcells\b", "cell", " ".join(text.split()))
    return re.sub(r"^([+-]?\d+)\.0+$", r"\1", text)  # a number that was read as a float before it became text


def _counted(groups: list[list[str]], counts: "dict[str, int]") -> str:
    """Labels with their numbers of cells: `'B' (2 cells) and 'b' (1 cell), 'T' (3 cells) and 't' (1 cell)`."""
    parts = [
        " and ".join(f"{name!r} ({n} cell{'' if n == 1 else 's'})" for name in names for n in [counts.get(name, 0)])
        for names in groups[:_N_NAMED]
    ]
    more = len(groups) - _N_NAMED
    return ", ".join(parts) + (f" and {more} more" if more > 0 else "")
