"""AnnData fields of scvi-tools, made tolerant where a model over embeddings can be: queries differ from training data.

A query may lack labels, hold new ones, or have other genes in another order; none of that changes a prediction that is
made from embeddings, so none of it is an error here (scvi-tools' own fields refuse, or pass without a word).
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scvi.data.fields import CategoricalObsField, LayerField, ObsmField

from scmpt_scverse._checks import check_key
from scmpt_scverse._labels import label_text, labels_or
from scmpt_scverse.modalities._obsm import embedding_columns
from scmpt_scverse.modalities._source import GENES_KEY, ORTHOLOGS_KEY
from scmpt_scverse.pp import HUMAN, Organism, Orthologs, gene_symbols_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData
    from scvi.data.fields import BaseAnnDataField

    from scmpt_scverse._types import IntArray, StrArray

#: What a batch counts as that the training data did not have.
_UNSEEN_BATCH = "unseen"


class GenesField(LayerField):
    """The genes of the training data; a query keeps its own, and the model keeps these as the reference order.

    Parameters
    ----------
    registry_key
        Key of the registry.
    layer
        Key of `.layers`; `None` is `.X`.
    gene_symbols
        Column of `.var` with gene symbols; `None` takes `var_names`.
    organism
        Species of the cells, not "auto".
    """

    def __init__(
        self, registry_key: str, layer: str | None, gene_symbols: str | None, organism: Organism = HUMAN
    ) -> None:
        # Values are checked when they are read; scvi-tools' check draws from the global random state and refuses
        # sparse arrays, and its correction replaces the user's matrix.
        super().__init__(registry_key, layer, is_count_data=False, correct_data_format=False)
        self._gene_symbols, self._organism = gene_symbols, organism

    def validate_field(self, adata: "AnnData") -> None:
        """The layer must exist; `.X` may be empty where all modalities come from `.obsm`."""
        if self.attr_key is not None:
            check_key(self.attr_key, [key for key in adata.layers if key is not None], "adata.layers")
        if self._gene_symbols is not None:
            check_key(self._gene_symbols, adata.var.columns, "adata.var")

    def register_field(self, adata: "AnnData") -> dict[str, Any]:
        """Remember the gene symbols in the order of columns, for queries that name their columns otherwise."""
        try:
            symbols = gene_symbols_of(adata, self._gene_symbols, self._organism)
        except ValueError:  # there are none, or of another species, which matters only to what reads expression
            if isinstance(self._organism, Orthologs):  # which somebody meant it to do
                raise
            symbols = np.array([label_text(name) for name in adata.var_names], dtype=object)
        orthologs = self._organism.state() if isinstance(self._organism, Orthologs) else None
        return {**super().register_field(adata), GENES_KEY: symbols, ORTHOLOGS_KEY: orthologs}

    def transfer_field(self, state_registry: dict[str, Any], adata_target: "AnnData", **kwargs: Any) -> dict[str, Any]:
        """Keep the reference genes; a query without the layer is refused only if it has to be embedded."""
        return {**state_registry, self.N_OBS_KEY: adata_target.n_obs}


class TolerantCategoricalField(CategoricalObsField):
    """A column of `.obs` as codes, with one category for everything that training did not know.

    Parameters
    ----------
    registry_key
        Key of the registry; codes are written to `.obs["_scvi_<registry_key>"]`, nothing else is.
    obs_key
        Column of `.obs`.
    other_categories
        The first is what missing values, and in a query new values or a missing column, count as. Its code is the last
        one. Further ones count as the first.
    """

    def __init__(self, registry_key: str, obs_key: str, other_categories: "Sequence[str]") -> None:
        super().__init__(registry_key, obs_key)
        self.other_categories = other_categories

    def validate_field(self, adata: "AnnData") -> None:
        """Accept any query: codes are there once it is registered."""

    def register_field(self, adata: "AnnData") -> dict[str, Any]:
        """Take the categories from `adata`, in alphabetical order, then the one for others."""
        check_key(self._original_attr_key, adata.obs.columns, "adata.obs")
        other = self.other_categories[0]
        known = sorted(set(labels_or(adata.obs[self._original_attr_key], self.other_categories)) - {other})
        self._check_categories(known)
        return self._write_codes(adata, np.array([*known, other], dtype=object))

    def transfer_field(self, state_registry: dict[str, Any], adata_target: "AnnData", **kwargs: Any) -> dict[str, Any]:
        """Apply the categories of the training data."""
        return self._write_codes(adata_target, state_registry[self.CATEGORICAL_MAPPING_KEY])

    def get_summary_stats(self, state_registry: dict[str, Any]) -> dict[str, Any]:
        """Number of categories without the one for others."""
        return {self.count_stat_key: len(state_registry[self.CATEGORICAL_MAPPING_KEY]) - 1}

    def _check_categories(self, known: list[str]) -> None:
        """Any number will do."""

    def _write_codes(self, adata: "AnnData", categories: "StrArray") -> dict[str, Any]:
        adata.obs[self.attr_key] = category_codes(adata, self._original_attr_key, categories)
        return {self.CATEGORICAL_MAPPING_KEY: categories, self.ORIGINAL_ATTR_KEY: self._original_attr_key}


class LabelsField(TolerantCategoricalField):
    """The labels to learn; training data need at least two."""

    def _check_categories(self, known: list[str]) -> None:
        if len(known) < 2:
            found = f"only {known[0]!r}" if known else "no labelled cell"
            raise ValueError(
                f"Expected at least two labels in `adata.obs[{self._original_attr_key!r}]`; found {found} beside the "
                f"unlabeled category {self.other_categories[0]!r}. Pass the column that holds cell types as "
                "`labels_key=`."
            )


class EmbeddingField(ObsmField):
    """A user's own embedding in `.obsm`; checked when it is registered."""

    def validate_field(self, adata: "AnnData") -> None:
        """It must be there, two-dimensional and finite."""
        embedding_columns(adata, self.attr_key)

    def register_field(self, adata: "AnnData") -> dict[str, Any]:
        """Remember its columns; scvi-tools' own field would replace the user's array by a copy in another order."""
        return {self.COLUMN_NAMES_KEY: embedding_columns(adata, self.attr_key)}

    def transfer_field(self, state_registry: dict[str, Any], adata_target: "AnnData", **kwargs: Any) -> dict[str, Any]:
        """A query may get the embedding later; when it is used, width and values are checked."""
        return dict(state_registry)


def category_codes(adata: "AnnData", obs_key: str, categories: "StrArray") -> "IntArray":
    """Codes of a column of `.obs`, shape `(n_obs,)`; the last code for values, or a whole column, not among them."""
    other = len(categories) - 1
    if obs_key not in adata.obs:
        return np.full(adata.n_obs, other)
    codes = pd.Index(categories).get_indexer(labels_or(adata.obs[obs_key], str(categories[-1])))
    return np.where(codes < 0, other, codes)


def registered_fields(
    labels_key: str,
    unlabeled: "Sequence[str]",
    layer: str | None,
    gene_symbols: str | None,
    organism: Organism,
    batch_key: str | None,
    obsm_keys: "Mapping[str, str] | None",
) -> "list[BaseAnnDataField]":
    """What is registered; fields that only check come first, so that a refusal leaves nothing behind."""
    fields: list[BaseAnnDataField] = [GenesField("X", layer, gene_symbols, organism)]
    fields += [EmbeddingField(embedding_field(name), key) for name, key in (obsm_keys or {}).items()]
    fields.append(LabelsField("labels", labels_key, unlabeled))
    if batch_key is not None:
        fields.append(TolerantCategoricalField("batch", batch_key, [_UNSEEN_BATCH]))
    return fields


def embedding_field(modality: str) -> str:
    """Under which key of the registry an embedding stands."""
    return f"embedding_{modality}"
