"""A MuData as the one AnnData that the model reads: RNA, with the other modalities as arrays of `.obsm`."""

from collections.abc import Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scvi.data.fields import BaseAnnDataField, BaseMuDataWrapperClass

from scmpt_scverse._checks import check_cells, check_key, list_some
from scmpt_scverse._slots import embedding_key
from scmpt_scverse.modalities._joined_obs import JoinedObs, one_home

if TYPE_CHECKING:
    from scmpt_scverse._types import IntArray

#: The argument of `setup_mudata` that says what the encoders read.
EXPRESSION = "expression"


class MuDataCells:
    """What of an AnnData the model reads and writes, taken from a MuData as it is now; nothing is copied.

    Expression, genes and embeddings are those of the RNA; cells, labels and predictions those of the whole. Every other
    modality stands in `.obsm` under its own name, with the names of its features as columns.

    Parameters
    ----------
    mdata
        Cells; every modality that the model reads holds all of them, in the same order.
    modalities
        Argument name to modality, as given to :meth:`SCMPT.setup_mudata`.
    """

    def __init__(self, mdata: MuData, modalities: Mapping[str, str]) -> None:
        self.mdata = mdata
        rna = modalities[EXPRESSION]
        check_key(rna, mdata.mod, "mdata.mod")
        others = {name for name in modalities.values() if name != rna and name in mdata.mod}
        for name in (rna, *sorted(others)):
            if not mdata[name].obs_names.equals(mdata.obs_names):
                raise ValueError(
                    f"Expected the {mdata.n_obs} cells of the MuData in its modality {name!r}, in the same order; "
                    f"found {mdata[name].n_obs} cells or another order. Keep the cells that all modalities share, as "
                    "`muon.pp.intersect_obs(mdata)` does."
                )
        self._rna: AnnData = mdata[rna]
        self.obsm = _JoinedObsm(mdata, self._rna, others)

    def __getattr__(self, name: str) -> Any:
        """What is not of the cells is of the RNA: `X`, `layers`, `raw`, `var`, `uns`, ..."""
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._rna, name)

    @property
    def obs(self) -> JoinedObs:
        """Columns of the cells as a whole, then those of modalities."""
        return JoinedObs(self.mdata)

    def modality(self, key: str) -> AnnData | None:
        """The modality that stands in `.obsm` under this key; `None` where that is an array."""
        return self.mdata[key] if key in self.obsm.modalities else None

    @property
    def is_view(self) -> bool:
        """Whether writing would turn it into a copy."""
        return bool(self.mdata.is_view or self._rna.is_view)

    def __getitem__(self, rows: "IntArray") -> AnnData:
        """Some cells as an AnnData of their own."""
        part = self._rna[rows]
        cells = part.to_memory() if part.isbacked else part.copy()
        cells.obs = self.obs.take(rows)
        for key in self.obsm:
            if key in self.obsm.modalities:
                cells.obsm[key] = _table(self.mdata[key][rows], key)
            elif key not in cells.obsm:
                values = self.obsm[key]
                cells.obsm[key] = values.iloc[rows] if isinstance(values, pd.DataFrame) else values[rows]
        return cells


class _JoinedObsm(MutableMapping[str, Any]):
    """Arrays of the RNA and of the whole, those of other modalities as `atac:X_lsi`, and these modalities as tables.

    Embeddings are written to the RNA.
    """

    def __init__(self, mdata: MuData, rna: AnnData, modalities: set[str]) -> None:
        self._mdata, self._rna, self.modalities = mdata, rna, modalities

    def __getitem__(self, key: str) -> Any:
        if key in self.modalities:
            return _table(self._mdata[key], key)
        # By its full name only, since an embedding of another modality is none of the RNA.
        if key not in self.borrowed:
            return self._home(key)[key]
        modality, name = one_home(self._mdata, "obsm", key)
        return self._mdata[modality].obsm[name]

    def __setitem__(self, key: str, value: Any) -> None:
        self._home(key)[key] = value

    def __delitem__(self, key: str) -> None:
        del self._home(key)[key]

    def __contains__(self, key: object) -> bool:
        # Not by taking it, which would make a dense table of a whole modality.
        return key in list(self)

    def __iter__(self) -> Iterator[str]:
        # A MuData keeps there, too, which cells each modality has; that is no embedding.
        of_all = [key for key in self._mdata.obsm if key not in self._mdata.mod]
        yield from dict.fromkeys([*self.modalities, *self._rna.obsm, *of_all, *self.borrowed])

    @property
    def borrowed(self) -> list[str]:
        """Arrays of other modalities of the same cells, as `atac:X_lsi`."""
        others = {name: part for name, part in self._mdata.mod.items() if part is not self._rna}
        is_same = {name: part.obs_names.equals(self._mdata.obs_names) for name, part in others.items()}
        return [f"{name}:{key}" for name, part in others.items() if is_same[name] for key in part.obsm]

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _home(self, key: str) -> Any:
        is_embedding = key in self._rna.obsm or key.startswith(embedding_key(""))
        return self._rna.obsm if is_embedding else self._mdata.obsm


def _table(part: AnnData, key: str) -> pd.DataFrame:
    """The `.X` of a modality with the names of its features."""
    if part.X is None:
        raise ValueError(f"Expected values in `mdata[{key!r}].X`; found none. Store them there.")
    values = part.X.to_memory() if hasattr(part.X, "to_memory") else part.X  # sparse, of a file
    values = values.toarray() if hasattr(values, "toarray") else np.asarray(values)
    return pd.DataFrame(values, index=part.obs_names, columns=part.var_names)


class JoinedField(BaseMuDataWrapperClass):
    """A field of AnnData, registered on a MuData."""

    def __init__(self, field: BaseAnnDataField, modalities: Mapping[str, str]) -> None:
        super().__init__()
        self._adata_field = field
        self._modalities = dict(modalities)

    def get_modality(self, mdata: MuData) -> MuDataCells:
        """The cells that the field reads."""
        return MuDataCells(mdata, self._modalities)


def modality_of(adata: "AnnData | MuDataCells", key: str) -> AnnData | None:
    """The modality of a MuData that cells have in `.obsm` under this key; `None` where they have an array there."""
    return adata.modality(key) if isinstance(adata, MuDataCells) else None


def check_data(data: object) -> None:
    """Raise `TypeError` for what holds no cells."""
    if not isinstance(data, MuDataCells):
        check_cells(data, mudata_ok=True)


def check_anndata(adata: object) -> None:
    """Raise `TypeError` for what is no AnnData."""
    if isinstance(adata, MuData):
        raise TypeError("Expected an AnnData; found a MuData. Call `SCMPT.setup_mudata`.")
    check_data(adata)


def as_cells(data: "AnnData | MuData | MuDataCells", modalities: Mapping[str, str] | None) -> AnnData:
    """Data as the methods of the model read it; a MuData only for a model that was set up with one.

    `modalities` are those of :meth:`SCMPT.setup_mudata`, `None` for a model of an AnnData.
    """
    check_data(data)
    if not isinstance(data, MuData):
        return cast("AnnData", data)
    if modalities is None:
        raise TypeError(
            "Expected an AnnData; found a MuData, and the model was set up with `setup_anndata`. Pass the modality "
            f"that holds expression, one of {list_some(data.mod)}: `mdata[...]`."
        )
    return cast("AnnData", MuDataCells(data, modalities))


def checked_modalities(mdata: object, modalities: object) -> dict[str, str]:
    """Argument name to modality as plain values; refuses what `setup_mudata` cannot read."""
    if not isinstance(mdata, MuData):
        raise TypeError(f"Expected a MuData; found {type(mdata).__name__}. For an AnnData use `SCMPT.setup_anndata`.")
    if mdata.is_view:
        raise ValueError("Expected data that can be written to; found a view. Pass `mdata.copy()`.")
    if not isinstance(modalities, Mapping) or EXPRESSION not in modalities:
        raise ValueError(
            f"`modalities` must say which modality holds the expression that encoders read, such as "
            f"{{'expression': 'rna', 'protein': 'prot'}}; found {modalities!r}. There are {list_some(mdata.mod)}."
        )
    given = {str(name): str(modality) for name, modality in modalities.items()}
    again = [name for name, modality in given.items() if name != EXPRESSION and modality == given[EXPRESSION]]
    if again:
        raise ValueError(
            f"`modalities` names {given[EXPRESSION]!r} as the expression that encoders read, and again as "
            f"{list_some(again)}. Drop the latter; `encoders={{'counts': 'counts'}}` reads expression itself."
        )
    return given
