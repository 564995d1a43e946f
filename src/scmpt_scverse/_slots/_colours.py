"""Colours of a categorical column, as scanpy keeps them, when the column is written again."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anndata import AnnData


def colours_of(adata: "AnnData", key: str) -> dict[str, str] | None:
    """Label to colour, as scanpy keeps them for a categorical column of `.obs`; `None` where there are no colours."""
    import numpy as np  # the command line reads the keys of this module before it needs these
    import pandas as pd

    colours = _uns_of_obs(adata).get(f"{key}_colors")
    if colours is None:
        return None
    if not isinstance(colours, list | tuple | np.ndarray) or np.ndim(colours) != 1:
        return {}  # of something else

    column = adata.obs.get(key)
    if column is None or not isinstance(column.dtype, pd.CategoricalDtype):
        return {}
    return dict(zip(column.cat.categories, map(str, colours), strict=False))


def recolour(adata: "AnnData", key: str, colours: Mapping[str, str], value: object) -> None:
    """Give the labels of a new column their old colours, and new labels unused ones."""
    import pandas as pd

    uns, name = _uns_of_obs(adata), f"{key}_colors"
    labels = list(value.categories) if isinstance(value, pd.Categorical) else []
    if not any(label in colours for label in labels):
        uns.pop(name, None)  # scanpy chooses anew
        return
    taken = {colours[label] for label in labels if label in colours}
    unused = (colour for colour in _palette() if colour not in taken)
    uns[name] = [colours[label] if label in colours else next(unused, "grey") for label in labels]


def _palette() -> list[str]:
    from scanpy.plotting import palettes

    return [*palettes.default_20, *palettes.default_102]


def _uns_of_obs(adata: "AnnData") -> Any:
    """The `.uns` next to `.obs`: of a MuData, whose columns are those of all modalities, its own."""
    return getattr(adata, "mdata", adata).uns
