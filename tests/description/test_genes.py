"""Which genes are stated: the score has to rest on them, and they have to differ from the other cells."""

import numpy as np
import pytest

from scmpt_scverse.description import Programmes
from scmpt_scverse.description._expression import SubjectExpression
from scmpt_scverse.description._genes import stated_genes, states_of

GENES = np.array(["HIGH", "SAME", "RARE", "LOST", "FOREIGN", "WEAK", "ABSENT"], dtype=object)
WEIGHTS = np.array([1.0, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0])
SHARES = np.array([1.0, 3.0, 2.0, -0.5, -0.6, -0.1, 0.4])
#: In standard errors: SAME and WEAK hardly differ from the other cells, whatever their share.
DIFFERENCE = np.array([9.0, 2.0, 9.0, -9.0, 9.0, 9.0, -9.0])
FRACTION = np.array([0.9, 0.9, 0.05, 0.2, 0.5, 0.5, 0.0])


def expression(n_cells: int = 40) -> SubjectExpression:
    one = np.ones((1, len(GENES)))
    return SubjectExpression(np.array([0]), np.array([n_cells]), one, one, FRACTION[None], one, DIFFERENCE[None])


def test_only_genes_that_hold_are_stated() -> None:
    found = stated_genes(expression(), 0, WEIGHTS, SHARES, GENES, is_cell=False)
    assert [(each.gene, each.side, each.is_higher) for each in found] == [
        ("HIGH", "for", True),
        ("FOREIGN", "against", True),
        ("LOST", "against", False),
    ]
    # One standard deviation is enough for a single cell.
    of_cell = stated_genes(expression(), 0, WEIGHTS, SHARES, GENES, is_cell=True)
    assert [each.gene for each in of_cell if each.side == "for"] == ["SAME", "HIGH"]


@pytest.mark.parametrize(
    ("share", "n_cells", "columns", "expected"),
    [
        (0.2, 40, [0, 1], ("HIGH",)),
        (0.05, 40, [0, 1], None),  # too few cells of the group
        (0.5, 4, [0, 1], None),  # two cells
        (0.2, 40, [1, 3], None),  # no gene is higher than elsewhere
        (0.9, 40, [1, 3], ()),  # but nearly all cells are in that state
    ],
)
def test_states_are_stated_with_genes_that_hold(
    share: float, n_cells: int, columns: list[int], expected: tuple[str, ...] | None
) -> None:
    programmes = Programmes(("state",), (np.array(columns),))
    found = states_of(expression(n_cells), 0, np.array([share]), np.array([0.1]), programmes, GENES, is_cell=False)
    assert [each.genes for each in found] == ([] if expected is None else [expected])
