"""Make axes, and show the figure."""

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def new_axes(figsize: tuple[float, float]) -> "Axes":
    """Axes of a new figure, `figsize` in inches, that makes room for long labels."""
    return plt.subplots(figsize=figsize, layout="constrained")[1]


def show_if_asked(show: bool | None) -> None:
    """Show the figure; `None` follows `scanpy.settings.autoshow`."""
    if show is None:
        import scanpy as sc

        show = sc.settings.autoshow
    if show:
        plt.show()
