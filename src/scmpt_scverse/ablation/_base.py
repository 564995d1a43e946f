"""The contract of an ablation: a named change to what a model reads."""

from abc import ABC
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from scmpt_scverse._types import FloatArray
    from scmpt_scverse.encoders import Encoder
    from scmpt_scverse.pp._expression import GeneExpression


class Ablation(ABC):
    """A change to one of three steps: the expression, what an encoder reads of it, or the embedding.

    Attributes
    ----------
    name
        As it stands in the table of results.
    """

    name: str

    def expression(self, expression: "GeneExpression", generator: "np.random.Generator") -> "GeneExpression":
        """Expression of some cells, changed; the same genes in the same order."""
        return expression

    def prepare(self, encoder: "Encoder", expression: "GeneExpression", generator: "np.random.Generator") -> Any:
        """What the encoder reads of the changed expression."""
        return encoder.prepare(expression)

    def embedding(self, modality: str, values: "FloatArray", neutral: "FloatArray") -> "FloatArray":
        """The embedding that the head gets; `neutral`, of shape `(dim,)`, says nothing about a cell."""
        return values
