"""Remove a modality."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from scmpt_scverse._checks import list_some
from scmpt_scverse.ablation._base import Ablation

if TYPE_CHECKING:
    from scmpt_scverse._types import FloatArray


class WithoutModality(Ablation):
    """Replaces the embedding of one modality by the mean of the training cells, which is zero once standardised.

    Parameters
    ----------
    modality
        Name of the modality.
    """

    def __init__(self, modality: str) -> None:
        self.modality, self.name = modality, f"without {modality}"

    def check(self, modalities: Sequence[str]) -> None:
        """See :meth:`Ablation.check`."""
        if self.modality not in modalities:
            raise ValueError(f"The model has no modality {self.modality!r}; it has {list_some(modalities)}.")

    def embedding(self, modality: str, values: "FloatArray", neutral: "FloatArray") -> "FloatArray":
        """See :meth:`Ablation.embedding`."""
        return np.broadcast_to(neutral, values.shape).copy() if modality == self.modality else values
