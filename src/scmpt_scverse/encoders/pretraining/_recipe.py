"""Settings of a pre-training run, checked before anything slow."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from scmpt_scverse._checks import check_choice, check_number, check_positive, check_seed, list_some
from scmpt_scverse.encoders._scgpt_checkpoint import ScGPTSettings

#: The losses that can be minimised, see `_objectives`.
OBJECTIVES = ("masked_value", "cell_value", "cell_expression", "cell_summary")
#: Small enough for a laptop, under the names that `args.json` of a checkpoint uses.
_DEFAULT_SIZES = {"embsize": 128, "nlayers": 2, "nheads": 4, "d_hid": 256}


@dataclass(frozen=True)
class PretrainingRecipe:
    """How a network is trained: everything that determines the result besides data, vocabulary and initial weights.

    Attributes
    ----------
    embsize, nlayers, nheads, d_hid
        Width, layers, attention heads, and width of the feed-forward part; `None` takes 128, 2, 4 and 256, or the sizes
        of the checkpoint to continue from.
    objectives
        Weight of `"masked_value"`, `"cell_value"`, `"cell_expression"` and `"cell_summary"`; those left out are
        not computed. :func:`pretrain` describes them.
    max_epochs
        Passes over the training cells.
    batch_size
        Cells per step, all from one file.
    n_visible
        Maximum number of expressed genes of a cell that the network sees, drawn anew each time. As many others are
        hidden, to be predicted.
    lr
        Highest learning rate, reached after the warm-up; it falls to zero along a cosine.
    warmup
        Share of all steps in which the learning rate rises.
    max_gradient_norm
        Gradients are clipped to this norm.
    heldout_size
        Share of cells that are not trained on, for the held-out loss.
    min_cells
        Genes expressed in fewer cells of all files together get no token.
    seed
        Seed of initial weights, order of cells and choice of genes.

    Raises
    ------
    ValueError
        A setting is out of range, or an objective is unknown.
    """

    embsize: int | None = None
    nlayers: int | None = None
    nheads: int | None = None
    d_hid: int | None = None
    objectives: Mapping[str, float] = field(default_factory=lambda: {"cell_expression": 1.0}, hash=False)
    max_epochs: int = 30
    batch_size: int = 128
    n_visible: int = 192
    lr: float = 1e-3
    warmup: float = 0.05
    max_gradient_norm: float = 1.0
    heldout_size: float = 0.05
    min_cells: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("max_epochs", "n_visible", "min_cells"):
            check_positive(getattr(self, name), name)
        for name in _DEFAULT_SIZES:
            if getattr(self, name) is not None:
                check_positive(getattr(self, name), name)
        if type(self.batch_size) is not int or self.batch_size < 2:
            raise ValueError(f"`batch_size` must be a whole number of at least 2; found {self.batch_size!r}.")
        if not self.objectives:
            raise ValueError(f"Expected at least one objective of {list_some(OBJECTIVES)}; found none.")
        for name, weight in self.objectives.items():
            check_choice(name, OBJECTIVES, "objectives")
            check_number(weight, f"objectives[{name!r}]", above=0)
        for name in ("lr", "max_gradient_norm"):
            check_number(getattr(self, name), name, above=0)
        for name in ("warmup", "heldout_size"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be a share between 0 and 1; found {getattr(self, name)!r}.")
        check_seed(self.seed)

    def as_json(self) -> dict[str, Any]:
        """Plain values, for files."""
        return {**asdict(self), "objectives": dict(self.objectives)}

    def settings(self, initial: ScGPTSettings | None = None) -> ScGPTSettings:
        """The architecture: that of the checkpoint to continue from, or as asked for.

        Raises
        ------
        ValueError
            The width is not a multiple of the number of heads, or a size differs from that of the checkpoint.
        """
        asked = {name: getattr(self, name) for name in _DEFAULT_SIZES if getattr(self, name) is not None}
        if initial is None:
            sizes = _DEFAULT_SIZES | asked
            if sizes["embsize"] % sizes["nheads"]:
                raise ValueError(
                    f"`embsize` must be a multiple of `nheads`; found {sizes['embsize']} and {sizes['nheads']}."
                )
            return ScGPTSettings(**sizes, pad_token="<pad>", pad_value=-2)
        for name, value in asked.items():
            if value != getattr(initial, name):
                raise ValueError(
                    f"`{name}={value}` was asked for, but the checkpoint to continue from has "
                    f"{getattr(initial, name)}. Leave it out: the shape is that of the checkpoint."
                )
        return initial
