"""The labels that a text model is to choose from, as options and files give them."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import typer

from scmpt_scverse._checks import list_some

#: Column of a table of labels by the name in its header, in lower case.
_LABEL, _OWN_WORDS = {"label", "labels", "type", "cell_type", "cell type", "name"}, {"description", "markers"}
_LIST_SEPARATOR = re.compile(r"[,;\s]+")
#: A gene symbol or a protein, and whether it is expressed: `CD3E`, `HLA-DRA`, `C1orf43`, `CD4-`.
_SYMBOL = re.compile(r"(?=[^a-z]*$|.*\d)[A-Za-z][\w.-]*[+-]?")

#: Names alone, or names with a description (`""` for none) or a list of markers.
GivenLabels = list[str] | dict[str, str | list[str]]


def given_labels(labels: Sequence[str] | None, file: Path | None, tissue: str | None = None) -> GivenLabels | None:
    """Labels of the options `--labels` and `--labels-file` together; `None` where neither is given.

    Raises
    ------
    typer.BadParameter
        One label only, a blank one, or labels and a tissue.
    FileNotFoundError, ValueError
        As :func:`read_labels`.
    """
    if labels is None and file is None:
        return None
    if tissue is not None:
        raise typer.BadParameter(
            "It stands for the types that a tissue has; drop it, or --labels and --labels-file.", param_hint="--tissue"
        )
    if any(not label.strip() for label in labels or ()):
        raise typer.BadParameter("Expected the name of a cell type; found a blank one. Drop it.", param_hint="--labels")
    pairs: list[tuple[str, str | list[str]]] = [(label.strip(), "") for label in labels or ()]
    pairs += [] if file is None else read_labels(file)
    names = [label for label, _ in pairs]
    if len(set(names)) < 2:
        raise typer.BadParameter(
            f"Expected at least two labels to choose from; found {list_some(names)}. Add others that the cells may be, "
            "each with its own --labels, or use `scmpt search` for one.",
            param_hint="--labels, --labels-file",
        )
    if not any(own for _, own in pairs):
        return names
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(
            f"Expected every label once, where labels have descriptions or markers; found {list_some(repeated)} more "
            "than once. Keep one of each."
        )
    return dict(pairs)


def read_labels(file: Path) -> list[tuple[str, str | list[str]]]:
    """Labels of a file, each with its description, its markers as a list, or `""`.

    Parameters
    ----------
    file
        One label per line; or a table separated by tabs (by commas if the name ends in `.csv`), whose second column is
        a description or a list of markers. A header may say which, `label` with `description`, `markers` or both, of
        which a label has one; without it, a list of symbols such as `CD3E, CD4-` is taken as markers.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It is no text, or holds no label, a row without label, or more than is expected.
    """
    if not file.is_file():
        raise FileNotFoundError(f"Expected a file of labels at {file}; found none. Check the path.")
    try:
        text = file.read_text(encoding="utf-8-sig")
        separator = "," if file.suffix.lower() == ".csv" else "\t"
        rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines(), delimiter=separator)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f"Expected labels in {file}, as text in UTF-8; found something else ({error}). Write one label per line."
        ) from error
    rows = [row for row in rows if any(row)]
    header = _header(rows[0]) if rows else None
    columns = header or ["label", "own words"]
    pairs = [_label(row, columns, file) for row in (rows[1:] if header else rows)]
    if not pairs:
        raise ValueError(f"Expected labels in {file}; found none. Write one label per line.")
    return pairs


def _header(row: Sequence[str]) -> list[str] | None:
    """Columns that a first row names; `None` if it is a label with its description."""
    names = [cell.lower() for cell in row]
    is_header = names[0] in _LABEL and (len(names) == 1 or _OWN_WORDS.issuperset(names[1:]))
    return ["label", *names[1:]] if is_header else None


def _label(row: Sequence[str], columns: Sequence[str], file: Path) -> tuple[str, str | list[str]]:
    if any(row[len(columns) :]):
        raise ValueError(
            f"Expected rows of {len(columns)} columns at most in {file}; found {list_some(row)}. Write a label and a "
            "description or markers, separated by a tab."
        )
    if not row[0]:
        raise ValueError(f"Expected a label first in every row of {file}; found {list_some(row)}. Name it.")
    given = [(column, cell) for column, cell in zip(columns[1:], row[1:], strict=False) if cell]
    if len(given) > 1:
        raise ValueError(
            f"Expected a description or markers of {row[0]!r} in {file}; found both. Keep one; a description may name "
            "genes, such as `expresses CD3E, negative for CD4`."
        )
    return (row[0], _own_words(*given[0])) if given else (row[0], "")


def _own_words(column: str, text: str) -> str | list[str]:
    """Markers as a list, a description as it is."""
    symbols = [part for part in _LIST_SEPARATOR.split(text) if part]
    is_list = column == "markers" or (column != "description" and all(map(_SYMBOL.fullmatch, symbols)))
    return symbols if is_list else text
