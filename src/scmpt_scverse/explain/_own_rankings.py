"""Where rankings of genes of a modality that the user brings are written: into that modality, or beside the others."""

from typing import TYPE_CHECKING, Any

import pandas as pd
from anndata import AnnData

from scmpt_scverse._slots import AttributionKeys, Slot, check_ranking_is_ours, check_writable, write_slots
from scmpt_scverse.explain._rankings import CellAttributions, write_attributions

if TYPE_CHECKING:
    from scmpt_scverse._types import StrArray
    from scmpt_scverse.modalities import Modalities


class OwnRanking:
    """The place of the ranking of one modality, checked before any work.

    Parameters
    ----------
    adata
        Explained cells.
    modalities
        What the model reads of them.
    name
        One of those that the user brings and that the cells have.
    key_added
        As for :meth:`scmpt_scverse.SCMPT.rank_attributions`.
    """

    def __init__(self, adata: AnnData, modalities: "Modalities", name: str, key_added: str) -> None:
        self.name, self._adata, self._keys = name, adata, AttributionKeys.from_key(key_added)
        self._array_key = modalities.keys[name]
        self._home = modalities.genes.home(adata, name)
        # An AnnData has no columns for genes of a table in `.obsm`, so there is no layer of cells' scores.
        self._beside = Slot("uns", f"{key_added}_{name}")
        if self._home is None:
            check_writable(adata, key_added, [self._beside])
            check_ranking_is_ours(adata, AttributionKeys.from_key(self._beside.key))
        else:
            check_writable(self._home, key_added, self._keys.slots)
            check_ranking_is_ours(self._home, self._keys)

    def write(self, found: CellAttributions, symbols: "StrArray", *, per_cell: bool, **options: Any) -> None:
        """Write contributions of the genes of the modality; arguments as for :func:`write_attributions`."""
        options = {**options, "keys": self._keys, "symbols": symbols}
        if self._home is not None:
            write_attributions(self._home, found, per_cell=per_cell, **options)
            return
        columns = self._adata.obsm[self._array_key].columns.astype(str)
        table = AnnData(obs=pd.DataFrame(index=self._adata.obs_names), var=pd.DataFrame(index=columns))
        write_attributions(table, found, per_cell=False, **options)
        write_slots(self._adata, [self._beside], {self._beside: table.uns[self._keys.ranking]})
