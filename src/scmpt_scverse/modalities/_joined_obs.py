"""Columns of a MuData's cells: those of the whole, and those of its modalities."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd

from scmpt_scverse._checks import list_some

if TYPE_CHECKING:
    from mudata import MuData

    from scmpt_scverse._types import IntArray

#: Between a modality and what it holds, as mudata writes it: `rna:cell_type`.
_BETWEEN = ":"


def homes_of(mdata: "MuData", container: str, key: str) -> list[tuple[str, str]]:
    """Modalities that hold a column of `.obs` or an array of `.obsm` of that name, with its name there.

    `rna:cell_type` is `cell_type` of the modality `rna` alone.
    """
    modality, _, name = key.partition(_BETWEEN)
    if name and modality in mdata.mod and name in getattr(mdata[modality], container):
        return [(modality, name)]
    return [(each, key) for each in mdata.mod if key in getattr(mdata[each], container)]


def one_home(mdata: "MuData", container: str, key: str) -> tuple[str, str]:
    """The modality that holds a column or an array, and its name there; `KeyError` where none or several do."""
    homes = homes_of(mdata, container, key)
    if len(homes) != 1:
        found = list_some(f"{modality}{_BETWEEN}{name}" for modality, name in homes)
        advice = "Pass one of these names." if homes else "Check the name."
        raise KeyError(f"Expected {key!r} in `mdata.{container}` or in one modality; found {found}. {advice}")
    return homes[0]


class JoinedObs:
    """`.obs` of a MuData that also finds the columns of its modalities; what is written belongs to the whole.

    Parameters
    ----------
    mdata
        Cells. Nothing is copied: a column is looked up when it is asked for.
    """

    def __init__(self, mdata: "MuData") -> None:
        self._mdata = mdata

    def __getattr__(self, name: str) -> Any:
        """Anything else is of the table of the whole: `index`, `shape`, ..."""
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._mdata.obs, name)

    def __getitem__(self, key: str) -> pd.Series:
        if key in self._mdata.obs:
            return self._mdata.obs[key]
        modality, name = one_home(self._mdata, "obs", key)
        column = self._mdata[modality].obs[name]
        # A modality may have fewer cells than the whole: the others have no value.
        return column if column.index.equals(self._mdata.obs_names) else column.reindex(self._mdata.obs_names)

    def __setitem__(self, key: str, value: Any) -> None:
        self._mdata.obs[key] = value

    def __delitem__(self, key: str) -> None:
        if key in self._mdata.obs:
            del self._mdata.obs[key]

    def __contains__(self, key: object) -> bool:
        # Models without batches ask for `None`, as they may of a table.
        return isinstance(key, str) and (key in self._mdata.obs or len(homes_of(self._mdata, "obs", key)) == 1)

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def get(self, key: str, default: Any = None) -> Any:
        """A column of the whole, which is all that has colours."""
        return self._mdata.obs.get(key, default)

    @property
    def columns(self) -> pd.Index:
        """Names that can be asked for, those that several modalities have among them."""
        own = [str(name) for name in self._mdata.obs.columns]
        of_parts = [(modality, str(name)) for modality in self._mdata.mod for name in self._mdata[modality].obs.columns]
        plain = [name for _, name in of_parts]
        return pd.Index(dict.fromkeys([*own, *plain, *(f"{part}{_BETWEEN}{name}" for part, name in of_parts)]))

    def take(self, rows: "IntArray") -> pd.DataFrame:
        """Some cells, with every column that can be told."""
        table = self._mdata.obs.iloc[rows].copy()
        others = {name: self[name].iloc[rows] for name in self.columns if name not in table and name in self}
        return pd.concat([table, pd.DataFrame(others, index=table.index)], axis=1) if others else table
