"""The contract of a fusion head: embeddings of several modalities in, logits out."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from scmpt_scverse._checks import check_positive, list_some
from scmpt_scverse.module._gradient_fit import fit_by_gradient

if TYPE_CHECKING:
    from torch import Tensor

    from scmpt_scverse._types import IntArray
    from scmpt_scverse.module._classifier import Fit, FitOptions, Rows
    from scmpt_scverse.module._data_module import CellSplit


@dataclass(frozen=True)
class HeadOptions:
    """Size of a head. A head ignores options that do not apply to it; `extra` holds options of its own.

    Attributes
    ----------
    n_hidden
        Width of a hidden layer.
    n_layers
        Number of hidden layers, at least 1.
    dropout_rate
        Dropout after each hidden layer, in [0, 1).
    extra
        Options that only this head has, see :attr:`FusionHead.option_names`.

    Raises
    ------
    ValueError
        One is out of range.
    """

    n_hidden: int = 4096
    n_layers: int = 1
    dropout_rate: float = 0.0
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_positive(self.n_hidden, "n_hidden")
        check_positive(self.n_layers, "n_layers")
        if not 0 <= self.dropout_rate < 1:
            raise ValueError(f"`dropout_rate` must be in [0, 1); found {self.dropout_rate}.")


class FusionHead(nn.Module, ABC):
    """Fuses standardised embeddings and classifies.

    A subclass implements :meth:`fuse` and :meth:`classify`, and is trained by gradient descent. Inputs may lack some of
    the modalities, but not all: a head then sets these to the mean of the training cells, 0, or leaves them out. This
    is how cells with missing modalities are read, and how the contribution of each modality is measured.

    Parameters
    ----------
    modality_dims
        Width of each modality's embedding, in the order in which they are fused.
    n_labels
        Number of labels.
    options
        Size and options of the head.

    Attributes
    ----------
    fused_dim
        Width of the output of :meth:`fuse`; `n_hidden` unless a head sets another.
    default_train_size
        Share of the labelled cells to train on by default. The rest validates: it is used for early stopping and for
        calibration.
    option_names
        Keys that `options.extra` may have.
    can_resume
        Whether an interrupted training can be resumed from `FitOptions.folder`.

    Raises
    ------
    TypeError
        `options.extra` has a key that is not in `option_names`.
    """

    fused_dim: int
    default_train_size: ClassVar[float] = 0.9
    option_names: ClassVar[frozenset[str]] = frozenset()
    can_resume: ClassVar[bool] = False

    def __init__(self, modality_dims: Mapping[str, int], n_labels: int, options: HeadOptions | None = None) -> None:
        super().__init__()
        self.options = options or HeadOptions()
        unknown = sorted(set(self.options.extra) - self.option_names)
        if unknown:
            raise TypeError(
                f"{type(self).__name__} has no option {list_some(unknown)}; "
                f"it has {list_some(sorted(self.option_names))}."
            )
        self.modality_dims = dict(modality_dims)
        self.n_labels = n_labels
        self.fused_dim = self.options.n_hidden

    @abstractmethod
    def fuse(self, inputs: "Mapping[str, Tensor]") -> "Tensor":
        """One vector per cell from `{modality: (batch, dim)}`: shape `(batch, fused_dim)`."""

    @abstractmethod
    def classify(self, fused: "Tensor") -> "Tensor":
        """Logits of shape `(batch, n_labels)` from what :meth:`fuse` returns."""

    def forward(self, inputs: "Mapping[str, Tensor]") -> "Tensor":
        """Logits of shape `(batch, n_labels)`."""
        return self.classify(self.fuse(inputs))

    def fit(
        self,
        logits: "nn.Module",
        standardise: "Callable[[Mapping[str, Tensor]], dict[str, Tensor]]",
        inputs: "Mapping[str, Rows]",
        codes: "IntArray",
        split: "CellSplit",
        options: "FitOptions",
    ) -> "Fit":
        """Fit the weights; here by gradient descent, in epochs.

        Parameters
        ----------
        logits
            Module that standardises inputs and applies this head.
        standardise
            Standardises inputs `{modality: (batch, dim)}`, as this head sees them.
        inputs, codes, split, options
            As in :meth:`scmpt_scverse.module.Classifier.fit`.
        """
        return fit_by_gradient(logits, inputs, codes, split, options, self.n_labels)


def concatenated(inputs: "Mapping[str, Tensor]", modality_dims: Mapping[str, int]) -> "Tensor":
    """All modalities concatenated, `(batch, sum of dims)`; a missing modality is set to its mean, 0."""
    some = next(iter(inputs.values()))
    return torch.cat(
        [inputs[name] if name in inputs else some.new_zeros(len(some), dim) for name, dim in modality_dims.items()],
        dim=-1,
    )


def dense_layers(n_in: int, n_hidden: int, n_layers: int, dropout_rate: float) -> nn.Sequential:
    """Hidden layers with ReLU and dropout; none if `n_layers` is 0."""
    layers: list[nn.Module] = []
    for layer in range(n_layers):
        layers += [nn.Linear(n_in if layer == 0 else n_hidden, n_hidden), nn.ReLU(), nn.Dropout(dropout_rate)]
    return nn.Sequential(*layers)
