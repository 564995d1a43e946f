"""Modalities whose features are genes: expression itself, and that of arrays that the user brings (gene activity)."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from scmpt_scverse._checks import list_some
from scmpt_scverse.modalities._expression import ExpressionFeatures, ExpressionRows, GeneValues
from scmpt_scverse.modalities._mudata import modality_of
from scmpt_scverse.modalities._obsm import finite_embedding
from scmpt_scverse.pp import ExpressionReader, StoredScale

if TYPE_CHECKING:
    from scmpt_scverse._types import IntArray
    from scmpt_scverse.modalities._modality import Modality
    from scmpt_scverse.modalities._source import ExpressionSource

#: Data of so few genes are those of a panel, whether that was said or not.
_FEW_GENES = 500


class GeneModalities:
    """How the modalities of genes are read: the genes and the scale of each, decided on the training cells.

    Parameters
    ----------
    modalities
        All modalities of a model.

    Attributes
    ----------
    features
        Of each modality; empty before training.
    """

    def __init__(self, modalities: "Mapping[str, Modality]") -> None:
        self._modalities = {name: modality for name, modality in modalities.items() if modality.is_counts}
        self.features: dict[str, ExpressionFeatures] = {}
        self._scales: dict[str, StoredScale | None] = {}

    @property
    def of_expression(self) -> list[str]:
        """Expression itself, of the cells' own matrix."""
        return [name for name, modality in self._modalities.items() if modality.columns is None]

    @property
    def of_arrays(self) -> list[str]:
        """Those that the user brings."""
        return [name for name, modality in self._modalities.items() if modality.columns is not None]

    @property
    def not_fitted(self) -> list[str]:
        """Those whose genes are not chosen: all before training."""
        return [name for name in self._modalities if name not in self.features]

    def present(self, adata: "AnnData") -> list[str]:
        """Which of :attr:`of_arrays` the cells have."""
        return [name for name in self.of_arrays if self._modalities[name].obsm_key in adata.obsm]

    def home(self, adata: "AnnData", name: str) -> AnnData | None:
        """The modality of a MuData that one of :attr:`of_arrays` is; `None` where it is a table."""
        return modality_of(adata, self._modalities[name].obsm_key)

    def check(self, adata: "AnnData", names: Iterable[str], source: "ExpressionSource") -> None:
        """Refuse cells of which one of these cannot be read, before anything slow."""
        for name in names:
            if name in self.features:
                self.values(adata, name, source)
            else:
                self.reader(adata, name, source)

    def reader(self, adata: "AnnData", name: str, source: "ExpressionSource") -> ExpressionReader:
        """Reads the expression of one modality; `source` says where that of the cells is, and of which species."""
        modality = self._modalities[name]
        if modality.columns is None:
            return source.reader(adata)
        cells, where = cells_of_array(adata, modality.obsm_key)
        try:
            reader = ExpressionReader(
                cells, organism=source.organism, usual_scale=self._scales.get(name), ids_are_names=True
            )
        except ValueError as error:
            raise ValueError(f"The modality {name!r} cannot be read as expression. {error}") from error
        reader.where = where
        return reader

    def values(self, adata: "AnnData", name: str, source: "ExpressionSource") -> "tuple[ExpressionReader, GeneValues]":
        """What :meth:`reader` gives, and the values that the model takes of it."""
        if name not in self.features:
            raise RuntimeError("The genes of expression itself are chosen by training. Train the model first.")
        reader, modality = self.reader(adata, name, source), self._modalities[name]
        try:
            return reader, GeneValues(reader, self.features[name], modality.embedding_dim)
        except ValueError as error:
            if modality.columns is None:
                raise
            raise ValueError(
                f"Expected expression of some of the {len(self.features[name].genes)} genes that the modality {name!r} "
                f"was trained on, such as {list_some(self.features[name].genes, 3)}, in `{reader.where}`; found none "
                f"of them among {list_some(reader.genes, 3)}. Name its genes as in the training data."
            ) from error

    def rows(self, adata: "AnnData", name: str, source: "ExpressionSource", rows: "IntArray | None") -> ExpressionRows:
        """Values of some cells; `None` takes all."""
        reader, values = self.values(adata, name, source)
        return values.read(reader, rows)

    def fit(self, adata: "AnnData", name: str, source: "ExpressionSource", rows: "IntArray") -> "StoredScale | None":
        """Choose the genes of a modality on some cells; gives how its values are stored."""
        reader = self.reader(adata, name, source)
        is_array = self._modalities[name].columns is not None
        is_panel = (source.panel is not None and not is_array) or len(reader.genes) <= _FEW_GENES
        n_genes = self._modalities[name].embedding_dim
        self.features[name] = ExpressionFeatures.fit(reader, rows, n_genes, is_panel=is_panel)
        if is_array:
            self._scales[name] = reader.scale
        return reader.scale

    def state(self) -> dict[str, Any]:
        """What training decided of the modalities that the user brings, as plain values and arrays."""
        return {
            name: {"expression": self.features[name].state(), "scale": scale and asdict(scale)}
            for name, scale in self._scales.items()
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state` gave."""
        for name, one in state.items():
            self.features[name] = ExpressionFeatures.from_state(one["expression"])
            self._scales[name] = None if one["scale"] is None else StoredScale.from_state(one["scale"])


def cells_of_array(adata: "AnnData", key: str) -> tuple[AnnData, str]:
    """An array of the cells as cells of their own, whose genes are its columns, and what errors call its values.

    A modality of a MuData is taken as it is. A cell without a row, as `anndata.concat` makes it, expresses nothing.
    """
    part, where = modality_of(adata, key), f"mdata[{key!r}].X"
    if part is None:
        where = f"adata.obsm[{key!r}]"
        values, table = np.nan_to_num(finite_embedding(adata, key)), adata.obsm[key]
        if not isinstance(table, pd.DataFrame):
            raise ValueError(
                f"Expected a table with the names of genes as columns in `{where}`, which is read as expression; found "
                f"{type(table).__name__}. Store `pandas.DataFrame(values, index=adata.obs_names, columns=genes)` there."
            )
        obs, var = pd.DataFrame(index=adata.obs_names), pd.DataFrame(index=table.columns.astype(str))
        part = AnnData(sparse.csr_matrix(values), obs, var)
    prefix = f"{key}:"  # by which names are told apart from those of the RNA, as mudata writes them
    if all(str(name).startswith(prefix) for name in part.var_names):
        var = part.var.set_axis([str(name).removeprefix(prefix) for name in part.var_names])
        part = AnnData(part.X, pd.DataFrame(index=part.obs_names), var)
    return part, where
