"""Dropout: every expressed gene of a cell is lost with the same probability."""

from dataclasses import replace

import numpy as np

from scmpt_scverse.ablation import Ablation
from scmpt_scverse.pp import GeneExpression


class Dropout(Ablation):
    """Sets a random share `rate` of the expressed genes of each cell to 0."""

    def __init__(self, rate: float) -> None:
        self.rate, self.name = rate, f"dropout {rate:.0%}"

    def expression(self, expression: GeneExpression, generator: np.random.Generator) -> GeneExpression:
        """See `Ablation.expression`."""
        matrix = expression.matrix.copy()
        matrix.data[generator.random(len(matrix.data)) < self.rate] = 0
        matrix.eliminate_zeros()
        return replace(expression, matrix=matrix)
