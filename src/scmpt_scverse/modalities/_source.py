"""Where the expression of cells is, and of which species: as `setup_anndata` was told, or otherwise in a query."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from scmpt_scverse._checks import list_some
from scmpt_scverse.pp import (
    AUTO,
    HUMAN,
    ExpressionReader,
    Organism,
    Orthologs,
    StoredScale,
    checked_organism,
    gene_names_of,
    gene_symbols_of,
    only_symbols,
    organism_label,
    organism_of,
    panel_symbols,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from anndata import AnnData

    from scmpt_scverse._types import BoolArray, StrArray

#: What a query passes for `.X` and `var_names`, since `None` stands for what the model was set up with.
IN_X, AS_VAR_NAMES = "X", "var_names"
#: Where the registry of a model keeps the gene symbols of its training data, and the orthologs that they were read by.
GENES_KEY, ORTHOLOGS_KEY = "gene_symbols", "orthologs"


@dataclass(frozen=True)
class ExpressionSource:
    """Where expression is read.

    Attributes
    ----------
    layer
        Key of `.layers`; `None` reads `.X`.
    gene_symbols
        Column of `.var` with gene symbols; `None` takes `var_names`.
    genes
        Gene symbols of the training data: columns are read in this order, so that ties between genes are broken as they
        were there.
    organism
        Species of the cells, not "auto".
    set_up
        The source of the training data, where this one is of a query that is organised otherwise.
    panel
        Gene symbols of the genes that are read, in the order of `genes`; `None` reads all that data have.
    scale
        How the values of the training data are stored, where that is no usual way.
    """

    layer: str | None
    gene_symbols: str | None
    genes: "StrArray"
    organism: Organism = HUMAN
    set_up: "ExpressionSource | None" = None
    panel: "StrArray | None" = None
    scale: StoredScale | None = None

    @classmethod
    def registered(cls, registry: "Mapping[str, Any]", genes: "StrArray | None" = None) -> Self:
        """The source that a model was set up with; `genes` take the place of those of the training data."""
        setup, state = registry["setup_args"], registry["field_registries"]["X"]["state_registry"]
        saved = state.get(ORTHOLOGS_KEY)
        return cls(
            setup["layer"],
            setup["gene_symbols"],
            state[GENES_KEY] if genes is None else genes,
            setup.get("organism", HUMAN) if saved is None else Orthologs.from_state(saved),
        )

    def of_query(
        self, adata: "AnnData", layer: str | None, gene_symbols: str | None, organism: Organism | None
    ) -> Self:
        """The source of a query; `None` as in the training data, `"X"` for `.X`, `"var_names"` for the names."""
        for argument, value in (("layer", layer), ("gene_symbols", gene_symbols)):
            if value is not None and not isinstance(value, str):
                raise TypeError(f"`{argument}` must be a text or None; found {value!r}.")
        found = replace(
            self,
            layer=self.layer if layer is None else None if layer == IN_X else layer,
            gene_symbols=(
                self.gene_symbols if gene_symbols is None else None if gene_symbols == AS_VAR_NAMES else gene_symbols
            ),
            organism=self.organism if organism is None else checked_organism(organism),
            set_up=self.set_up or self,
        )
        if found.organism != AUTO:
            return found
        found.check(adata)
        return replace(found, organism=organism_of(adata, found.gene_symbols, AUTO))

    def found(self, genes: "Iterable[object]", adata: "AnnData | None") -> "StrArray":
        """The genes of a panel that are in the training data, as :func:`scmpt_scverse.pp.panel_symbols` gives them.

        `adata` are these data, where Ensembl ids are looked up.
        """
        var = None if adata is None or adata.n_vars != len(self.genes) else adata.var
        orthologs = self.organism if isinstance(self.organism, Orthologs) else None
        return panel_symbols(genes, var, np.asarray(self.genes, dtype=object), orthologs)

    @property
    def arguments(self) -> dict[str, Any]:
        """Layer, gene symbols and species as arguments of `setup_anndata` and of readers."""
        return {"layer": self.layer, "gene_symbols": self.gene_symbols, "organism": self.organism}

    @property
    def names(self) -> dict[str, str]:
        """The same in words that the provenance of an embedding records."""
        return {
            "layer": self.layer or IN_X,
            "gene_symbols": self.gene_symbols or AS_VAR_NAMES,
            "organism": organism_label(self.organism),
        }

    def reader(self, adata: "AnnData") -> ExpressionReader:
        """Reads the expression of some data; raises as :meth:`check` and :class:`scmpt_scverse.pp.ExpressionReader`."""
        self.check(adata)
        return ExpressionReader(adata, **self.arguments, **self.reference)

    @property
    def reference(self) -> dict[str, Any]:
        """What readers take over from the training data."""
        return {"reference_genes": self.genes, "only_genes": self.panel, "usual_scale": self.scale}

    def symbols(self, adata: "AnnData") -> "StrArray":
        """The gene symbol of every column of some data, as :meth:`reader` reads them."""
        return gene_symbols_of(adata, self.gene_symbols, self.organism)

    def read_columns(self, adata: "AnnData") -> "BoolArray | None":
        """Which columns of some data are read, shape `(n_vars,)`; `None` for all, or where names cannot be read."""
        if self.panel is None:
            return None
        try:
            names = gene_names_of(adata, self.gene_symbols, self.organism)
        except (KeyError, ValueError):  # there are only embeddings to read
            return None
        return only_symbols(names, self.panel) != ""

    def check(self, adata: "AnnData") -> None:
        """Raise `KeyError` where the layer or the column of gene symbols is not there: how the model was set up."""
        layers = [key for key in adata.layers if key is not None]
        if self.layer is not None and self.layer not in layers:
            raise KeyError(self._not_there("layer", self.layer, "adata.layers", layers, f"{IN_X!r} for `adata.X`"))
        if self.gene_symbols is not None and self.gene_symbols not in adata.var:
            others = f"{AS_VAR_NAMES!r} for `adata.var_names`"
            raise KeyError(self._not_there("gene_symbols", self.gene_symbols, "adata.var", adata.var, others))

    def _not_there(self, argument: str, name: str, where: str, present: "Iterable[object]", others: str) -> str:
        set_up = (self.set_up or self).names
        return (
            f"No {name!r} in `{where}`; found {list_some(present)}. "
            f"The model was set up with layer={set_up['layer']!r} and gene_symbols={set_up['gene_symbols']!r}. For "
            f"data that are organised otherwise pass `{argument}=`: a key of `{where}`, or {others}."
        )
