"""What a model fuses, read by row: embeddings that are found or computed, and expression itself."""

import copy
from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np

from scmpt_scverse import encoders
from scmpt_scverse._checks import warn_user
from scmpt_scverse._slots import Slot, check_records, check_writable, write_embedding
from scmpt_scverse.modalities._embedded_rows import completed, computed, embedded
from scmpt_scverse.modalities._expression import ExpressionFeatures, ExpressionRows, GeneValues, expressing_cells
from scmpt_scverse.modalities._gene_modalities import GeneModalities
from scmpt_scverse.modalities._modality_encoders import ModalityEncoders
from scmpt_scverse.modalities._rows import Unread, finite_rows
from scmpt_scverse.modalities._source import ExpressionSource
from scmpt_scverse.pp import StoredScale

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import BoolArray, FloatArray, IntArray
    from scmpt_scverse.encoders import Encoder
    from scmpt_scverse.modalities._modality import Modality
    from scmpt_scverse.pp import ExpressionReader, Organism

    Rows: TypeAlias = FloatArray | ExpressionRows

#: What the genes of a modality are followed through.
GeneEncoder: TypeAlias = "encoders.Encoder | GeneValues"


class Modalities:
    """The modalities of a model, in the order in which they are fused.

    Parameters
    ----------
    modalities
        Name to what it is.
    source
        Where expression is read.
    built
        Encoders that exist already, by modality.

    Attributes
    ----------
    source
        Where expression is read.
    genes
        Those whose features are genes.
    is_quiet
        Whether no warning counts the cells that cannot be read.
    """

    def __init__(
        self,
        modalities: "Mapping[str, Modality]",
        source: ExpressionSource,
        built: "Mapping[str, Encoder] | None" = None,
    ) -> None:
        self._modalities = dict(modalities)
        self._encoders = ModalityEncoders(self._modalities, built or {})
        self.source = source
        self.genes = GeneModalities(self._modalities)
        self.is_quiet = False

    @property
    def names(self) -> list[str]:
        """All modalities."""
        return list(self._modalities)

    @property
    def dims(self) -> dict[str, int]:
        """Width of each modality."""
        return {name: modality.embedding_dim for name, modality in self._modalities.items()}

    @property
    def keys(self) -> dict[str, str]:
        """Key of `.obsm` of each modality."""
        return {name: modality.obsm_key for name, modality in self._modalities.items()}

    @property
    def of_genes(self) -> list[str]:
        """Modalities whose features are genes of the cells' expression: expression itself."""
        return self.genes.of_expression

    @property
    def expression(self) -> ExpressionFeatures | None:
        """How expression itself is read; `None` before training, and for a model without it."""
        return next((self.genes.features.get(name) for name in self.of_genes), None)

    @property
    def of_encoders(self) -> list[str]:
        """Modalities that an encoder makes from genes."""
        return [name for name, each in self._modalities.items() if each.encoder is not None and not each.is_counts]

    @property
    def built(self) -> "dict[str, Encoder]":
        """The encoders that exist already, by modality."""
        return dict(self._encoders.built)

    @property
    def trained_with(self) -> dict[str, dict[str, str]]:
        """Which encoder the training embeddings come from, `{modality: {"encoder", "fingerprint"}}`.

        Empty before training.
        """
        return self._encoders.trained_with

    def use(self, built: "Mapping[str, Encoder]") -> None:
        """Use encoders that exist already, for the modalities that there are."""
        self._encoders.use(built)

    def reading(
        self, adata: "AnnData", layer: str | None, gene_symbols: str | None, organism: "Organism | None"
    ) -> Self:
        """The same modalities, to read data that are organised otherwise; see :meth:`ExpressionSource.of_query`."""
        if layer is None and gene_symbols is None and organism is None:
            return self
        other = copy.copy(self)
        other.source = self.source.of_query(adata, layer, gene_symbols, organism)
        return other

    def quiet(self) -> Self:
        """The same modalities, to read parts of data: of cells that cannot be read it has warned."""
        other = copy.copy(self)
        other.is_quiet = True
        return other

    def embed(self, adata: "AnnData", **options: Any) -> None:
        """Write the embeddings that are missing, in whole or of some cells, or come from another encoder.

        `options` are those of :func:`scmpt_scverse.tl.embed`.
        """
        self._check_writable(adata, self.of_encoders)
        missing, stored = self._encoders.missing_and_stored(adata, self.of_encoders, self.source, replaces=True)
        for name, encoder in missing.items():
            key = self._modalities[name].obsm_key
            write_embedding(adata, key, *computed(adata, encoder, self.source, **options))
        for name, values in stored.items():
            self._completed(adata, name, values, None, **options)

    def read(
        self, adata: "AnnData", rows: "IntArray | None" = None, *, missing_ok: bool = False, progress: bool = True
    ) -> "dict[str, Rows]":
        """Every modality of some cells, `{modality: (n_rows, dim)}`; missing embeddings are computed.

        Parameters
        ----------
        adata
            Cells. Embeddings that are computed for all of them are written to `.obsm`, unless it is a view.
        rows
            Row numbers; nothing is read of other cells. `None` takes all.
        missing_ok
            Leave a modality of the user's that the data do not have out with a warning, as long as there is another.
        progress
            Show a progress bar.

        Notes
        -----
        Expression itself is there once its genes are chosen, by :meth:`fit_expression`.
        """
        if rows is not None and np.array_equal(rows, np.arange(adata.n_obs)):
            rows = None
        present = [name for name in self._modalities if not missing_ok or self._check_present(adata, name)]
        self.genes.check(adata, [name for name in self.genes.of_arrays if name in present], self.source)
        missing, stored = self._encoders.missing_and_stored(adata, present, self.source, replaces=False)
        if rows is None and not adata.is_view:
            self._check_writable(adata, missing)
        inputs: dict[str, Rows] = {}
        for name in present:
            if name in missing:
                key = self._modalities[name].obsm_key
                inputs[name] = embedded(adata, key, missing[name], self.source, rows, progress=progress)
            elif name in stored:
                inputs[name] = self._completed(adata, name, stored[name], rows, progress=progress)
        for name in self.genes.features:
            if name in present:
                values = self.genes.rows(adata, name, self.source, rows)
                self._warn_of_silent(name, values.is_readable, inputs)
                inputs[name] = values
        return {name: inputs[name] for name in self._modalities if name in inputs}

    def readable(self, adata: "AnnData", inputs: "Mapping[str, Rows]") -> "BoolArray":
        """Cells that every modality could read, shape `(n_obs,)`; of `inputs` that :meth:`read` gave of all cells."""
        readable = _finite(inputs, adata.n_obs)
        for name in self.genes.not_fitted:  # which :meth:`read` leaves out before training
            chunks = self.genes.reader(adata, name, self.source).chunks()
            is_expressing = np.concatenate([expressing_cells(chunk.matrix) for chunk in chunks])
            self._warn_of_silent(name, is_expressing, inputs)
            readable &= is_expressing
        return readable

    def fit_expression(self, adata: "AnnData", rows: "IntArray") -> "dict[str, Rows]":
        """Choose the genes of modalities of genes on the training cells; these modalities of all cells."""
        for name in self.of_genes:
            self.source = replace(self.source, scale=self.genes.fit(adata, name, self.source, rows))
        for name in self.genes.of_arrays:
            self.genes.fit(adata, name, self.source, rows)
        return {name: self.genes.rows(adata, name, self.source, None) for name in self.genes.features}

    def record_encoders(self, adata: "AnnData") -> None:
        """Remember which encoders the embeddings of the training data come from."""
        self._encoders.record(adata)

    def encoder(self, name: str) -> "Encoder":
        """The encoder of a modality of :attr:`of_encoders`."""
        return self._encoders.encoder(name)

    def gene_encoders(self, reader: "ExpressionReader") -> "dict[str, GeneEncoder]":
        """Of the modalities that can be traced to genes of the expression, expression itself among them."""
        return {
            name: self._values_of(reader, name) if modality.is_counts else self.encoder(name)
            for name, modality in self._modalities.items()
            if modality.encoder is not None and name not in self.genes.of_arrays
        }

    def state(self) -> dict[str, Any]:
        """What training decided, as plain values and arrays."""
        expression = None if self.expression is None else self.expression.state()
        scale = None if self.source.scale is None else asdict(self.source.scale)
        own = self.genes.state()
        return {"trained_with": self.trained_with, "expression": expression, "scale": scale, "own_genes": own}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state` gave."""
        self._encoders.trained_with = {name: dict(record) for name, record in state["trained_with"].items()}
        if state["expression"] is not None:
            features = ExpressionFeatures.from_state(state["expression"])
            self.genes.features.update(dict.fromkeys(self.of_genes, features))
        self.genes.restore(state.get("own_genes", {}))  # which models had from the first release on that knew them
        scale = state["scale"]
        self.source = replace(self.source, scale=None if scale is None else StoredScale.from_state(scale))

    def _check_writable(self, adata: "AnnData", names: "Collection[str]") -> None:
        """Refuse data that the embeddings of these modalities cannot be written to."""
        for name in names:
            key = self._modalities[name].obsm_key
            check_writable(adata, key, [Slot("obsm", key)])
        if names:
            check_records(adata)

    def _values_of(self, reader: "ExpressionReader", name: str) -> GeneValues:
        if self.expression is None:
            raise RuntimeError("The genes of expression itself are chosen by training. Train the model first.")
        return GeneValues(reader, self.expression, self._modalities[name].embedding_dim)

    def _check_present(self, adata: "AnnData", name: str) -> bool:
        """Whether there is a modality to read; warns where it is missing beside another, which must do."""
        if self._is_there(adata, name) or not any(self._is_there(adata, other) for other in self._modalities):
            return True
        warn_user(
            f"The model was trained with the modality {name!r}, but there is no `adata.obsm"
            f"[{self._modalities[name].obsm_key!r}]`; predictions do without it, and are less certain for it."
        )
        return False

    def _is_there(self, adata: "AnnData", name: str) -> bool:
        """Whether the data have a modality, or an encoder can make it."""
        modality = self._modalities[name]
        return modality.columns is None or modality.obsm_key in adata.obsm

    def _completed(
        self, adata: "AnnData", name: str, values: "FloatArray", rows: "IntArray | None", **options: Any
    ) -> "FloatArray":
        """An embedding that is there, with rows for the cells that it is missing for; warns of those that stay so."""
        modality, load = self._modalities[name], partial(self._encoders.encoder, name)
        some, unread = completed(adata, modality, load, self.source, values, rows, **options)
        self._warn_of_unread(len(some), *unread)
        return some

    def _warn_of_silent(self, name: str, is_expressing: "BoolArray", others: "Mapping[str, Rows]") -> None:
        """Of cells without expression that the other modalities, which have warned, can read."""
        n_silent = int((~is_expressing & _finite(others, len(is_expressing))).sum())
        if n_silent:
            where = "" if self.source.panel is None else " in the genes that the model reads"
            where = f" in the modality {name!r}" if name in self.genes.of_arrays else where
            self._warn_of_unread(len(is_expressing), Unread(n_silent, f"have no expression{where}"))

    def _warn_of_unread(self, n_cells: int, *unread: Unread) -> None:
        for each in () if self.is_quiet else unread:
            warn_user(each.sentence(n_cells))


def _finite(inputs: "Mapping[str, Rows]", n_cells: int) -> "BoolArray":
    """Cells of which every one of these modalities is there, shape `(n_cells,)`."""
    finite = np.ones(n_cells, dtype=bool)
    for values in inputs.values():
        finite &= values.is_readable if isinstance(values, ExpressionRows) else finite_rows(values)
    return finite
