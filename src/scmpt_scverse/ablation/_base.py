"""The contract of an ablation: a named change to the inputs of a model."""

from abc import ABC
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from scmpt_scverse._types import FloatArray
    from scmpt_scverse.modalities import GeneEncoder
    from scmpt_scverse.pp import GeneExpression


class Ablation(ABC):
    """A change to one of three inputs: the expression, what an encoder reads of it, or the embedding.

    Subclasses set `name` and override one of the methods below; each returns its input unchanged by default.

    Attributes
    ----------
    name
        Name in the table of results; unique among the ablations of one run.
    """

    name: str

    def check(self, modalities: Sequence[str]) -> None:  # noqa: B027 (most have nothing to check)
        """Raise `ValueError` if this ablation cannot be applied to a model with these modalities."""

    def expression(self, expression: "GeneExpression", generator: "np.random.Generator") -> "GeneExpression":
        """The changed expression of some cells: the same cells and genes in the same order, without explicit zeros.

        All random draws come from `generator`; the input is not modified.
        """
        return expression

    def prepare(self, encoder: "GeneEncoder", expression: "GeneExpression", generator: "np.random.Generator") -> Any:
        """What the encoder reads of the changed expression: the value of `encoder.prepare`, changed or not."""
        return encoder.prepare(expression)

    def embedding(self, modality: str, values: "FloatArray", neutral: "FloatArray") -> "FloatArray":
        """The changed embedding of a modality, shape `(n_obs, dim)` as `values`.

        `neutral`, of shape `(dim,)`, is the mean of the training cells.
        """
        return values
