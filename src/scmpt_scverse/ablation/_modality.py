"""A modality less."""

from typing import TYPE_CHECKING

import numpy as np

from scmpt_scverse.ablation._base import Ablation

if TYPE_CHECKING:
    from scmpt_scverse._types import FloatArray


class WithoutModality(Ablation):
    """The embedding of one modality becomes the mean of the training cells: zero, once standardised.

    Parameters
    ----------
    modality
        Its name.
    """

    def __init__(self, modality: str) -> None:
        self.modality, self.name = modality, f"without {modality}"

    def embedding(self, modality: str, values: "FloatArray", neutral: "FloatArray") -> "FloatArray":
        """See :meth:`Ablation.embedding`."""
        return np.broadcast_to(neutral, values.shape).copy() if modality == self.modality else values
