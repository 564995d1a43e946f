"""Pseudo-cells are marked, so that none is taken for a measured one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scmpt_scverse._slots._keys import UNS_KEYS
from scmpt_scverse._storable import storable

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import BoolArray

#: How names of pseudo-cells begin. Names outlive `ad.concat` with `join="inner"`, which drops columns that not all
#: objects have.
_PREFIX = "synthetic-"


@dataclass(frozen=True)
class SyntheticKeys:
    """Columns of `.obs` that pseudo-cells have."""

    is_synthetic: str = "is_synthetic"  # True
    label: str = "label"  # categorical, the name that the user gave
    text: str = "text"  # categorical, all wordings that the cells were drawn from
    nearest: str = "nearest_type"  # categorical, label of training that the text is nearest to
    distance: str = "text_distance"  # one minus the cosine with its text; 0 for the label itself
    is_low_confidence: str = "is_low_confidence"  # whether the text is no type of training
    batch: str = "batch"  # categorical, where batches were registered


SYNTHETIC_KEYS = SyntheticKeys()


def synthetic_name(label: str, number: int) -> str:
    """The name of a pseudo-cell."""
    return f"{_PREFIX}{label}-{number}"


def mark_synthetic(adata: "AnnData", record: Mapping[str, Any]) -> None:
    """Mark all cells as synthetic, and record how they came about in `adata.uns["scmpt"]["synthetic"]`."""
    adata.obs[SYNTHETIC_KEYS.is_synthetic] = True
    adata.uns[UNS_KEYS.root] = {**adata.uns.get(UNS_KEYS.root, {}), UNS_KEYS.synthetic: storable(record)}


def is_synthetic(adata: "AnnData") -> "BoolArray":
    """Which cells are synthetic, by their column or by their name, shape `(n_obs,)`."""
    import numpy as np
    import pandas as pd

    by_name = np.array([str(name).startswith(_PREFIX) for name in adata.obs_names], dtype=bool)
    if SYNTHETIC_KEYS.is_synthetic not in adata.obs:
        return by_name
    # Beside measured cells the column is missing there; as text, files of other tools hold it.
    column = pd.Series(adata.obs[SYNTHETIC_KEYS.is_synthetic]).astype(object)
    return by_name | np.array([str(value).lower() in {"true", "1", "1.0"} for value in column], dtype=bool)


def check_measured(adata: "AnnData", *, allow_synthetic: bool) -> None:
    """Refuse to learn from pseudo-cells, unless the user wants to."""
    if allow_synthetic:
        return
    synthetic = is_synthetic(adata)
    if synthetic.any():
        raise ValueError(
            f"Expected measured cells; found {int(synthetic.sum())} synthetic ones among {adata.n_obs}, such as "
            f"{str(adata.obs_names[synthetic.argmax()])!r}. Leave them out, `adata[~adata.obs['is_synthetic']]`, or "
            "pass `allow_synthetic=True` to learn from them."
        )
