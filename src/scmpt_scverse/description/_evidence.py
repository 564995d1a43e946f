"""What is known of a group of cells, or of one cell: all that a description may say."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from scmpt_scverse._types import FloatArray

#: Whether a gene speaks for the type or against it.
Side: TypeAlias = Literal["for", "against"]


@dataclass(frozen=True)
class StatedGene:
    """A gene that really is higher, or lower, than in the other cells of the query.

    Attributes
    ----------
    gene
        Symbol.
    side
        Whether it speaks for the type.
    is_higher
        Whether the mean log-normalised expression is above that of the other cells.
    share
        What it adds to the score of the type, mean over the cells; negative against it.
    """

    gene: str
    side: Side
    is_higher: bool
    share: float


@dataclass(frozen=True)
class State:
    """A programme of genes that cells switched on.

    Attributes
    ----------
    name
        Of the programme.
    share
        Of the cells, in [0, 1].
    rest_share
        Of the other cells of the query; NaN where there are none.
    genes
        Of the programme, those that are higher than in the other cells, clearest first.
    """

    name: str
    share: float
    rest_share: float
    genes: tuple[str, ...]


@dataclass(frozen=True)
class Oddity:
    """Something unusual.

    Attributes
    ----------
    kind
        One word or two, such as `"mixed"`.
    text
        What it is, with its number; begins in lower case and has no full stop.
    types
        Cell types that the text names.
    """

    kind: str
    text: str
    types: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """All that is known of a group of cells, or of one cell.

    Attributes
    ----------
    name
        Of the group or the cell.
    is_cell
        Whether it is one cell.
    n_cells
        Cells in it.
    candidates
        The most probable labels with their probabilities, most probable first; empty where no cell can be read.
    term, ontology_id
        The most specific kind of cell that is sure: one of the labels, or a term of the Cell Ontology above several.
        The id is `""` for a label that is no term.
    is_sure
        Whether the term leaves out any candidate; otherwise it only says what all of them are.
    probability
        Of the term, mean over the cells; of the most probable label where no term is sure.
    path
        Names of the terms from the widest kind to the term itself; empty for a label that is no term.
    definition
        Of the term in the Cell Ontology, up to the first gene that it names; `""` where there is none.
    genes
        For and against the term; the most probable label where no term is sure.
    states
        Beyond the type.
    unusual
        What to look at.
    vector
        Mean of the cells on the axes of the text tower, shape `(n_axes,)`, as
        :meth:`scmpt_scverse.SCMMGPT.get_latent_representation` gives them; `None` unless the writer reads cells.
    """

    name: str
    is_cell: bool
    n_cells: int
    candidates: tuple[tuple[str, float], ...] = ()
    term: str = ""
    ontology_id: str = ""
    is_sure: bool = False
    probability: float = float("nan")
    path: tuple[str, ...] = ()
    definition: str = ""
    genes: tuple[StatedGene, ...] = ()
    states: tuple[State, ...] = ()
    unusual: tuple[Oddity, ...] = ()
    vector: "FloatArray | None" = field(default=None, compare=False, repr=False)

    @property
    def label(self) -> str:
        """The most probable label; `""` where no cell can be read."""
        return self.candidates[0][0] if self.candidates else ""

    @property
    def label_probability(self) -> float:
        """Its probability; NaN where no cell can be read."""
        return self.candidates[0][1] if self.candidates else float("nan")

    @property
    def named_genes(self) -> frozenset[str]:
        """Symbols of all genes that a description may name."""
        return frozenset(each.gene for each in self.genes) | {gene for state in self.states for gene in state.genes}

    @property
    def named_types(self) -> tuple[str, ...]:
        """All cell types that a description may name, beside those of the definition."""
        names = [self.term, *self.path, *(label for label, _ in self.candidates)]
        names += [name for oddity in self.unusual for name in oddity.types]
        return tuple(dict.fromkeys(name for name in names if name))

    def genes_of(self, side: Side, *, is_higher: bool | None = None) -> tuple[str, ...]:
        """Symbols of the genes for or against the term; of those that are higher or lower, if asked for."""
        return tuple(each.gene for each in self.genes if each.side == side and is_higher in (None, each.is_higher))
