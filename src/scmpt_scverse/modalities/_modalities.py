"""What a model fuses: embeddings are found or computed, checked for where they come from, and read by row."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from scmpt_scverse import encoders
from scmpt_scverse._slots import check_writable, embedding_key, provenance, write_embedding
from scmpt_scverse.encoders import is_local
from scmpt_scverse.modalities._compute import compute_embedding
from scmpt_scverse.modalities._expression import ExpressionFeatures, ExpressionRows, GeneValues
from scmpt_scverse.modalities._obsm import finite_embedding
from scmpt_scverse.pp import ExpressionReader

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import BoolArray, FloatArray, IntArray, StrArray
    from scmpt_scverse.encoders import Encoder
    from scmpt_scverse.modalities._modality import Modality

    Rows: TypeAlias = FloatArray | ExpressionRows

#: What the genes of a modality are followed through.
GeneEncoder: TypeAlias = "encoders.Encoder | GeneValues"


@dataclass(frozen=True)
class ExpressionSource:
    """Where expression is read.

    Attributes
    ----------
    layer
        Key of `.layers`; `None` reads `.X`.
    gene_symbols
        Column of `.var` with gene symbols; `None` takes `var_names`.
    var_names
        Of the training data: columns are read in this order, so that ties between genes are broken as they were there.
    """

    layer: str | None
    gene_symbols: str | None
    var_names: "StrArray"

    def reader(self, adata: "AnnData") -> ExpressionReader:
        """Reads the expression of some data."""
        return ExpressionReader(
            adata, layer=self.layer, gene_symbols=self.gene_symbols, reference_var_names=self.var_names
        )


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
    trained_with
        Which encoder the training embeddings come from, `{modality: {"encoder", "fingerprint"}}`; empty before
        training.
    expression
        How expression itself is read; `None` before training, and for a model without it.
    """

    def __init__(
        self,
        modalities: "Mapping[str, Modality]",
        source: ExpressionSource,
        built: "Mapping[str, Encoder] | None" = None,
    ) -> None:
        self._modalities = dict(modalities)
        self._encoders: dict[str, Encoder] = dict(built or {})
        self.source = source
        self.trained_with: dict[str, dict[str, str]] = {}
        self.expression: ExpressionFeatures | None = None

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
        """Modalities whose features are genes: expression itself."""
        return [name for name, modality in self._modalities.items() if modality.is_counts]

    @property
    def built(self) -> "dict[str, Encoder]":
        """The encoders that exist already, by modality."""
        return dict(self._encoders)

    def use(self, built: "Mapping[str, Encoder]") -> None:
        """Use encoders that exist already, for the modalities that there are."""
        self._encoders |= {name: encoder for name, encoder in built.items() if name in self._modalities}

    def embed(self, adata: "AnnData", **options: Any) -> None:
        """Write the embeddings that are missing or come from another encoder; `options` of :func:`tl.embed`."""
        missing = {}
        for name, modality in self._modalities.items():
            if modality.encoder is None or modality.is_counts:
                continue
            check_writable(adata, modality.obsm_key)
            record = _own_record(adata, modality.obsm_key)
            if record is None or not _is_same(record, self._expected(name, modality.encoder), modality.obsm_key):
                missing[name] = self._encoder(name, modality.encoder)
        for name, encoder in missing.items():
            write_embedding(adata, self._modalities[name].obsm_key, *self._compute(adata, encoder, **options))

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
        # Everything that can be refused is, before anything is computed.
        missing = {
            name: self._encoder(name, modality.encoder)
            for name in present
            if (modality := self._modalities[name]).encoder is not None
            and not modality.is_counts
            and _own_record(adata, modality.obsm_key) is None
        }
        inputs: dict[str, Rows] = {}
        for name in present:
            if self._modalities[name].is_counts:
                if self.expression is not None:
                    reader = self.source.reader(adata)
                    inputs[name] = self._gene_values(reader, name).read(reader, rows)
            elif name in missing:
                inputs[name] = self._embedded(adata, name, missing[name], rows, progress=progress)
            else:
                values = self._stored(adata, name)
                inputs[name] = values if rows is None else values[rows]
        return inputs

    def fit_expression(self, adata: "AnnData", rows: "IntArray") -> "dict[str, Rows]":
        """Choose the genes of expression itself on the training cells; the modality of all cells, or nothing."""
        for name in self.of_genes:
            reader = self.source.reader(adata)
            self.expression = ExpressionFeatures.fit(reader, rows, self._modalities[name].embedding_dim)
            return {name: self._gene_values(reader, name).read(reader, None)}
        return {}

    def record_encoders(self, adata: "AnnData") -> None:
        """Remember which encoders the embeddings of the training data come from."""
        for name, modality in self._modalities.items():
            record = provenance(adata, modality.obsm_key)
            if record is not None:
                self.trained_with[name] = {"encoder": record["encoder"], "fingerprint": record["fingerprint"]}

    def gene_encoders(self, reader: ExpressionReader) -> "dict[str, GeneEncoder]":
        """Of the modalities that can be traced to genes, expression itself among them."""
        return {
            name: self._gene_values(reader, name) if modality.is_counts else self._encoder(name, modality.encoder)
            for name, modality in self._modalities.items()
            if modality.encoder is not None
        }

    def state(self) -> dict[str, Any]:
        """What training decided, as plain values and arrays."""
        expression = None if self.expression is None else self.expression.state()
        return {"trained_with": self.trained_with, "expression": expression}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state` gave."""
        self.trained_with = {name: dict(record) for name, record in state["trained_with"].items()}
        self.expression = None if state["expression"] is None else ExpressionFeatures.from_state(state["expression"])

    def _gene_values(self, reader: ExpressionReader, name: str) -> GeneValues:
        if self.expression is None:
            raise RuntimeError("The genes of expression itself are chosen by training. Train the model first.")
        return GeneValues(reader, self.expression, self._modalities[name].embedding_dim)

    def _check_present(self, adata: "AnnData", name: str) -> bool:
        """Whether there is a modality to read; warns where it is missing beside another, which must do."""
        if self._is_there(adata, name) or not any(self._is_there(adata, other) for other in self._modalities):
            return True
        warnings.warn(
            f"The model was trained with the modality {name!r}, but there is no `adata.obsm"
            f"[{self._modalities[name].obsm_key!r}]`; predictions do without it, and are less certain for it.",
            UserWarning,
            stacklevel=5,
        )
        return False

    def _is_there(self, adata: "AnnData", name: str) -> bool:
        """Whether the data have a modality, or an encoder can make it."""
        modality = self._modalities[name]
        return modality.encoder is not None or modality.obsm_key in adata.obsm

    def _embedded(
        self, adata: "AnnData", name: str, encoder: "Encoder", rows: "IntArray | None", *, progress: bool
    ) -> "FloatArray":
        """An embedding that is missing."""
        if rows is None:
            values, record = self._compute(adata, encoder, progress=progress)
            if not adata.is_view:  # writing would turn the user's view into a copy
                write_embedding(adata, self._modalities[name].obsm_key, values, record)
            return values
        if not len(rows):
            return np.empty((0, encoder.embedding_dim), dtype=np.float32)
        ascending, places = np.unique(rows, return_inverse=True)
        some = adata[ascending]
        some = some.to_memory() if some.isbacked else some.copy()
        return self._compute(some, encoder, progress=progress)[0][places]

    def _stored(self, adata: "AnnData", name: str) -> "FloatArray":
        """An embedding in `.obsm`, refused where it is not what the model was trained on."""
        modality = self._modalities[name]
        key = modality.obsm_key
        if modality.encoder is None:
            values = finite_embedding(adata, key, modality.columns)
            self._check_own(adata, name)
            return values
        record = _own_record(adata, key)
        assert record is not None  # the caller looked
        self._check_record(name, record, self._expected(name, modality.encoder))
        self._warn_of_other_source(record, key)
        values = np.asarray(adata.obsm[key], dtype=np.float32)
        if values.shape[1] != modality.embedding_dim:
            raise ValueError(
                f"`adata.obsm[{key!r}]` has {values.shape[1]} columns; its encoder gives {modality.embedding_dim}. "
                "Remove it and run `model.embed(adata)`."
            )
        return values

    def _warn_of_other_source(self, record: Mapping[str, Any], key: str) -> None:
        registered = {"layer": self.source.layer or "X", "gene_symbols": self.source.gene_symbols or "var_names"}
        other = [name for name, value in registered.items() if record[name] != value]
        if other:
            warnings.warn(
                f"`adata.obsm[{key!r}]` was made from {', '.join(f'{name} {record[name]!r}' for name in other)}; the "
                f"model was set up with {', '.join(f'{name} {registered[name]!r}' for name in other)}. Remove the "
                "embedding to have it made again.",
                UserWarning,
                stacklevel=6,
            )

    def _compute(self, adata: "AnnData", encoder: "Encoder", **options: Any) -> "tuple[FloatArray, dict[str, Any]]":
        return compute_embedding(
            adata,
            encoder,
            layer=self.source.layer,
            gene_symbols=self.source.gene_symbols,
            reference_var_names=self.source.var_names,
            **options,
        )

    def _encoder(self, name: str, encoder: str | None) -> "Encoder":
        """The encoder of a modality; refused if it is not the one that the model was trained on."""
        if name not in self._encoders:
            assert encoder is not None  # the user's own modalities have none, and are not asked for one
            loaded = encoders.get(encoder, **self._modalities[name].options)
            self._encoders[name] = loaded
        if name in self.trained_with:
            self._check_record(name, _identity(self._encoders[name]), self.trained_with[name])
        return self._encoders[name]

    def _expected(self, name: str, encoder: str) -> dict[str, str] | None:
        """Which encoder the embeddings of a modality must come from; `None` where this machine cannot tell."""
        if name in self.trained_with:
            return self.trained_with[name]
        # Embeddings made elsewhere can be trained on without fetching the encoder just to compare.
        return _identity(self._encoder(name, encoder)) if name in self._encoders or is_local(encoder) else None

    def _check_record(self, name: str, found: Mapping[str, Any], expected: Mapping[str, Any] | None) -> None:
        """Refuse another encoder than the expected one: equal width proves nothing."""
        key = self._modalities[name].obsm_key
        if not _is_same(found, expected, key):
            wanted = (
                f"{expected['encoder']!r} with fingerprint {expected['fingerprint'][:12]}"
                if expected is not None
                else f"{self._modalities[name].encoder!r}"
            )
            raise ValueError(
                f"The {name!r} modality of this model comes from {wanted}; found {found['encoder']!r} with "
                f"{found['fingerprint'][:12]}. Pass data embedded by that encoder, or run `model.embed(adata)` to "
                f"write `adata.obsm[{key!r}]` again."
            )

    def _check_own(self, adata: "AnnData", name: str) -> None:
        """Of an embedding that the user brought: refuse another encoder, as far as there is a record."""
        trained = self.trained_with.get(name)
        if trained is None:
            return
        key = self._modalities[name].obsm_key
        record = provenance(adata, key)
        if record is not None:
            self._check_record(name, record, trained)
            return
        warnings.warn(
            f"The model was trained on the {name!r} modality from {trained['encoder']!r}; nothing is recorded of "
            f"`adata.obsm[{key!r}]`. Make sure that it comes from the same encoder.",
            UserWarning,
            stacklevel=6,
        )


def readable_cells(inputs: "Mapping[str, Rows]") -> "BoolArray":
    """Cells that every encoder could read, shape `(n_obs,)`; expression itself has a value for each."""
    readable = np.ones(len(next(iter(inputs.values()))), dtype=bool)
    for values in inputs.values():
        if not isinstance(values, ExpressionRows):
            readable &= np.isfinite(values).all(axis=1)
    return readable


def _is_same(found: Mapping[str, Any], expected: Mapping[str, Any] | None, obsm_key: str) -> bool:
    """Whether an embedding comes from the expected encoder; where its fingerprint is not known, the name must do."""
    if expected is None:
        return embedding_key(found["encoder"]) == obsm_key
    return bool(found["fingerprint"] == expected["fingerprint"])


def _identity(encoder: "Encoder") -> dict[str, str]:
    return {"encoder": encoder.name, "fingerprint": encoder.fingerprint}


def _own_record(adata: "AnnData", key: str) -> dict[str, Any] | None:
    """Provenance of `adata.obsm[key]`, `None` where there is no such embedding; refuse an array of unknown origin."""
    if key not in adata.obsm:
        return None
    record = provenance(adata, key)
    if record is None:
        raise ValueError(
            f"`adata.obsm[{key!r}]` exists, but nothing records which encoder made it. Remove or rename it, or pass it "
            "as it is with `SCMPT.setup_anndata(..., obsm_keys=...)`."
        )
    return record
