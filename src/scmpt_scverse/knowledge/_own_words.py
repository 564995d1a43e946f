"""Descriptions of cell types in the users' own words, and the markers that they name."""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from scmpt_scverse._checks import list_some, warn_user
from scmpt_scverse._labels import label_text
from scmpt_scverse.knowledge._gene_finder import GeneFinder, plain
from scmpt_scverse.knowledge._genes_in_text import signed_genes, unknown_genes
from scmpt_scverse.knowledge._marker_rows import no_rows
from scmpt_scverse.knowledge._markers import read_markers


def label_markers(labels: Mapping[str, str | Sequence[str]], genes: Iterable[str]) -> pd.DataFrame:
    """The markers that users give for their labels, as a table.

    Parameters
    ----------
    labels
        Label to a description in your own words, or to a list of genes or proteins, as :func:`label_texts` takes
        them. In a list, `"CD8-"` is a gene that the type does not express.
    genes
        Symbols to find, such as those of a data set.

    Returns
    -------
    In the tidy form of :func:`read_markers`, with `weight` 1 for genes that are expressed and -1 for those that are
    not, and `source` `"own words"`. Labels whose words name no gene have no row; the table may be empty.

    Raises
    ------
    ValueError
        There is no label, a label is missing or blank, or two labels that read alike have different words.

    Warns
    -----
    UserWarning
        Names in a list, or names in a description that look like genes, are not among `genes`.

    Examples
    --------
    >>> from scmpt_scverse import knowledge
    >>> words = {"my type": "expresses FOO, negative for CD20", "another": ["CD3", "CD8-"]}
    >>> knowledge.label_markers(words, ["FOO", "MS4A1", "CD3E", "CD8A"])[["type", "gene", "weight"]]
          type   gene  weight
    0  my type    FOO     1.0
    1  my type  MS4A1    -1.0
    2  another   CD3E     1.0
    3  another   CD8A    -1.0
    """
    names = GeneFinder(genes)
    rows: list[tuple[str, str, float]] = []
    unknown: list[str] = []
    for label, own in own_words(labels).items():
        if isinstance(own, str):
            rows += [(label, gene, float(sign)) for gene, sign in signed_genes(own, names).items()]
            unknown += unknown_genes(own, names)
            continue
        for given in own:
            name, is_denied = signed_name(given)
            found = names.symbols(name)
            unknown += [] if found else [given]
            rows += [(label, gene, -1.0 if is_denied else 1.0) for gene in found]
    if unknown:
        warn_user(
            f"Markers that are not among the {len(names)} genes are left out: {list_some(dict.fromkeys(unknown))}."
        )
    table = pd.DataFrame(rows, columns=["type", "gene", "weight"])
    return read_markers(table.assign(source="own words")) if rows else no_rows()


def signed_name(given: str) -> tuple[str, bool]:
    """The name of a gene in a list without its sign, whatever dash that is, and whether the sign is a minus."""
    name = plain(given).strip()
    return name.strip("+- "), name.startswith("-") or name.endswith("-")


def own_words(labels: Iterable[object] | Mapping[str, str | Sequence[str]]) -> dict[str, str | list[str]]:
    """Label as text to what the user gives for it: a description, a list of genes, or `""`."""
    given: Iterable[tuple[object, str | Sequence[str] | None]]
    if isinstance(labels, Mapping):
        given = labels.items()
    else:
        given = ((label, "") for label in ([labels] if isinstance(labels, str) else labels))
    words: dict[str, str | list[str]] = {}
    for label, own in given:
        text = "" if pd.isna(label) else " ".join(label_text(label).split())
        if not text:
            raise ValueError(
                f"Expected names of cell types as labels; found a missing or blank one, {label!r}. Drop it."
            )
        said = _said_of(own)
        if words.setdefault(text, said) != said:
            raise ValueError(
                f"Expected labels that differ; found {text!r} twice, with different words. Rename one of them."
            )
    if not words:
        raise ValueError("Expected at least one label; found none. Pass names of cell types.")
    return words


def _said_of(own: "str | Sequence[str] | None") -> str | list[str]:
    """A description, a list of genes, or `""` for a missing value, as a column of a table has it."""
    if isinstance(own, str):
        return own.strip()
    if own is None or (pd.api.types.is_scalar(own) and pd.isna(own)):
        return ""
    return [label_text(gene).strip() for gene in own]
