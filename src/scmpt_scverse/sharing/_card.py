"""The card of a shared model: what it is, what it was trained on, and how well it does, from its own records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scmpt_scverse import __version__

if TYPE_CHECKING:
    import pandas as pd

_TAGS = ("scverse", "anndata", "scRNA-seq", "single-cell", "cell-type-annotation", "biology")
_HOME = "https://github.com/scmpt-scverse/scmpt-scverse"


@dataclass(frozen=True)
class ModelCard:
    """What a card says.

    Attributes
    ----------
    name
        Of the repository or folder.
    class_name
        `SCMPT` or `SCMMGPT`.
    license
        Identifier, as the hub knows it: `mit`, `cc-by-4.0`, `other`.
    description
        In the words of whoever shares it: which cells, from where, for what.
    use
        Code that annotates cells with it.
    facts
        What to what, in a list.
    labels
        Columns of a table by label, such as the number of training cells.
    metrics
        Metrics with how they were measured, `{what: {metric: value}}`.
    cite
        BibTeX keys are not known there, so whole references.
    """

    name: str
    class_name: str
    license: str
    description: str
    use: str
    facts: Mapping[str, str]
    labels: "pd.DataFrame"
    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    cite: Sequence[str] = ()

    def text(self) -> str:
        """Markdown with the front matter that the hub reads."""
        tags = "".join(f"\n- {tag}" for tag in _TAGS)
        parts = [
            f"---\nlicense: {self.license}\nlibrary_name: scmpt-scverse\ntags:{tags}\n---",
            f"# {_inline(self.name)}",
            self.description.strip() or f"A model of the class `{self.class_name}`.",
            f"## Use\n\n```python\n{self.use}\n```",
            "## What it is\n\n" + "\n".join(f"- {what}: {_inline(value)}" for what, value in self.facts.items()),
            "## Labels\n\n" + _table(self.labels),
        ]
        for what, values in self.metrics.items():
            rows = "\n".join(f"| {_inline(name)} | {value:.3f} |" for name, value in values.items())
            parts.append(f"## {_inline(what)}\n\n| metric | value |\n|---|---|\n{rows}")
        parts.append(
            "## Limits\n\nA label is one of those above, whatever the cell is: read the confidence and the novelty "
            "beside it. Metrics hold for cells like those that they were measured on."
        )
        if self.cite:
            parts.append("## Cite\n\n" + "\n".join(f"- {reference}" for reference in self.cite))
        parts.append(f"Made with [scmpt-scverse]({_HOME}) {__version__}.")
        return "\n\n".join(parts) + "\n"


def _table(table: "pd.DataFrame") -> str:
    header = [str(table.index.name or "label"), *map(str, table.columns)]
    rows = [[str(label), *map(_cell, row)] for label, row in zip(table.index, table.to_numpy(), strict=True)]
    lines = [" | ".join(map(_inline, row)) for row in (header, ["---"] * len(header), *rows)]
    return "\n".join(f"| {line} |" for line in lines)


def _cell(value: object) -> str:
    return "" if value is None or value != value else str(value)


def _inline(text: object) -> str:
    """On one line, and without what Markdown or HTML would read into a label."""
    plain = " ".join(str(text).split())
    for sign in ("&", "<", ">"):
        plain = plain.replace(sign, {"&": "&amp;", "<": "&lt;", ">": "&gt;"}[sign])
    return plain.replace("|", "\\|")
