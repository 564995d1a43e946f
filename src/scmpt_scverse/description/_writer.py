"""The contract of a writer: from evidence to texts; and the registry of writers."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from scmpt_scverse._registry import Registry
from scmpt_scverse.description._evidence import Evidence

#: The name of the language model that `SCMMGPT.train(stage="describe")` taught; only that model can make it.
TAUGHT = "language-model"
WRITERS = Registry(
    "writer",
    {"retrieval": "scmpt_scverse.description._retrieval:RetrievalWriter"},
    group="scmpt_scverse.writers",
    reserved=(TAUGHT,),
)


class Writer(ABC):
    """Writes descriptions from evidence alone; it never sees cells, at most what the evidence has of them.

    What a writer other than the default returns is checked: where it names a gene or a cell type that the evidence does
    not have, the text of the default writer stands. Another package registers a writer by an entry point of the group
    `scmpt_scverse.writers`.

    Attributes
    ----------
    reads_cells
        Whether it needs `Evidence.vector`, which costs another pass over the cells.
    """

    reads_cells: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """What the column `writer` calls it."""
        return type(self).__name__

    @abstractmethod
    def write(self, evidence: Sequence[Evidence]) -> list[str | None]:
        """One text per group or cell, in their order; `None` where there is none, so that the default stands."""

    def check(self) -> None:
        """Raise what would stop the first text, such as a missing key; nothing is written."""
        return None
