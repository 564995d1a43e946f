"""Bring the embeddings that a model fuses: re-use what fits, make what is missing, refuse what does not belong."""

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from scmpt_scverse import encoders
from scmpt_scverse._keys import embedding_key
from scmpt_scverse.encoders._get import is_local
from scmpt_scverse.model._expression_rows import ExpressionRows
from scmpt_scverse.model._fields import finite_embedding
from scmpt_scverse.model._gene_values import GeneValues
from scmpt_scverse.model._mudata import as_cells
from scmpt_scverse.pp._expression import ExpressionReader
from scmpt_scverse.tl._embed import check_writable, compute_embedding, provenance, write_embedding

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import BoolArray, FloatArray, IntArray
    from scmpt_scverse.encoders import Encoder
    from scmpt_scverse.model._modalities import Modality
    from scmpt_scverse.module._scmpt_module import SCMPTModule

    Rows: TypeAlias = FloatArray | ExpressionRows


class EmbeddingMixin:
    """Embeddings of the model's modalities."""

    adata: "AnnData | None"
    registry: dict[str, Any]
    encoder_ids_: dict[str, dict[str, str]]
    expression_genes_: list[str]
    module: "SCMPTModule"
    _modalities: "dict[str, Modality]"
    _encoders: "dict[str, Encoder]"

    def embed(self, adata: "AnnData | None" = None, **options: Any) -> None:
        """Write the embeddings of every encoder of the model, where they are missing or come from another encoder.

        Parameters
        ----------
        adata
            Cells; `None` takes the data that the model was made with.
        **options
            `batch_size`, `device`, `precision`, `cache`, `executor` and `progress` of :func:`scmpt_scverse.tl.embed`.

        Returns
        -------
        Nothing; writes `adata.obsm["X_<encoder>"]` and its provenance as :func:`scmpt_scverse.tl.embed` does. Layer
        and gene symbols are those given to :meth:`setup_anndata`.

        Raises
        ------
        ValueError
            The encoder on this machine is not the one that the model was trained on, or `.obsm` holds an array of that
            name that this package did not write.
        """
        adata = self._adata_or_own(adata)
        for name, modality in self._modalities.items():
            if modality.encoder is None or modality.is_counts:
                continue
            check_writable(adata, modality.obsm_key)
            record = _own_record(adata, modality.obsm_key)
            if record is not None:
                expected = self._expected(name, modality.encoder)
                if _is_same(record, expected, modality.obsm_key):
                    continue
            encoder = self._encoder(name, modality.encoder)
            write_embedding(adata, modality.obsm_key, *self._compute(adata, encoder, **options))

    def _inputs(self, adata: "AnnData", *, progress: bool = True, missing_ok: bool = False) -> "dict[str, Rows]":
        """Every modality of all cells, `{modality: (n_obs, dim)}`; embeddings that lack are made.

        Expression itself is there once its genes are chosen, by training. With `missing_ok`, a modality of the user's
        that the data lack is left out with a warning, as long as there is another.
        """
        inputs: dict[str, Rows] = {}
        for name, modality in self._modalities.items():
            if modality.is_counts:
                if self.expression_genes_:
                    inputs[name] = self._expression(adata, name)
            elif (
                missing_ok
                and not self._is_there(adata, name)
                and self._is_there(adata, *set(self._modalities) - {name})
            ):
                warnings.warn(
                    f"The model was trained with the modality {name!r}, but there is no `adata.obsm"
                    f"[{modality.obsm_key!r}]`; predictions do without it, and are less certain for it.",
                    UserWarning,
                    stacklevel=3,
                )
            else:
                inputs[name] = self._values(adata, name, progress=progress)
        return inputs

    def _is_there(self, adata: "AnnData", *names: str) -> bool:
        """Whether the data have one of these modalities, or an encoder can make it."""
        modalities = [self._modalities[name] for name in names]
        return any(modality.encoder is not None or modality.obsm_key in adata.obsm for modality in modalities)

    def _expression(self, adata: "AnnData", name: str) -> ExpressionRows:
        reader = ExpressionReader(adata, **self._reading)
        return self._gene_values(reader, name).read(reader)

    def _gene_values(self, reader: ExpressionReader, name: str) -> GeneValues:
        genes = np.array(self.expression_genes_, dtype=object)
        means = self.module.standardiser(name).mean[: len(genes)].cpu().numpy()
        return GeneValues(reader, genes, means, self._modalities[name].embedding_dim)

    def _gene_encoders(self, reader: ExpressionReader) -> "dict[str, Encoder]":
        """Of the modalities that can be traced to genes, expression itself among them."""
        return {
            name: self._gene_values(reader, name) if modality.is_counts else self._encoder(name, modality.encoder)
            for name, modality in self._modalities.items()
            if modality.encoder is not None
        }

    def _gene_reader(self, adata: "AnnData") -> ExpressionReader:
        """Reads expression with genes in the order of the training data."""
        genes = self.registry["field_registries"]["X"]["state_registry"]["column_names"]
        return ExpressionReader(adata, reference_var_names=genes, **self._reading)

    @property
    def _reading(self) -> dict[str, Any]:
        """Where expression is read: layer and column of gene symbols."""
        setup = self.registry["setup_args"]
        return {"layer": setup["layer"], "gene_symbols": setup["gene_symbols"]}

    def _values(self, adata: "AnnData", name: str, *, progress: bool) -> "FloatArray":
        modality = self._modalities[name]
        if modality.encoder is None:
            values = finite_embedding(adata, modality.obsm_key, modality.columns)
            self._check_own(adata, name)
            return values
        record = _own_record(adata, modality.obsm_key)
        if record is None:
            values, record = self._compute(adata, self._encoder(name, modality.encoder), progress=progress)
            if not adata.is_view:  # writing would turn the user's view into a copy
                write_embedding(adata, modality.obsm_key, values, record)
            return values
        self._check_record(name, record, self._expected(name, modality.encoder))
        self._warn_of_other_input(record, modality.obsm_key)
        values = np.asarray(adata.obsm[modality.obsm_key], dtype=np.float32)
        if values.shape[1] != modality.embedding_dim:
            raise ValueError(
                f"`adata.obsm[{modality.obsm_key!r}]` has {values.shape[1]} columns; its encoder gives "
                f"{modality.embedding_dim}. Remove it and run `model.embed(adata)`."
            )
        return values

    def _warn_of_other_input(self, record: Mapping[str, Any], key: str) -> None:
        setup = self.registry["setup_args"]
        registered = {"layer": setup["layer"] or "X", "gene_symbols": setup["gene_symbols"] or "var_names"}
        other = [name for name, value in registered.items() if record[name] != value]
        if other:
            warnings.warn(
                f"`adata.obsm[{key!r}]` was made from {', '.join(f'{name} {record[name]!r}' for name in other)}; the "
                f"model was set up with {', '.join(f'{name} {registered[name]!r}' for name in other)}. Remove the "
                "embedding to have it made again.",
                UserWarning,
                stacklevel=2,
            )

    def _compute(self, adata: "AnnData", encoder: "Encoder", **options: Any) -> "tuple[FloatArray, dict[str, Any]]":
        setup = self.registry["setup_args"]
        genes = self.registry["field_registries"]["X"]["state_registry"]["column_names"]
        return compute_embedding(
            adata,
            encoder,
            layer=setup["layer"],
            gene_symbols=setup["gene_symbols"],
            reference_var_names=genes,
            **options,
        )

    def _encoder(self, name: str, encoder: str) -> "Encoder":
        """The encoder of a modality; refused if it is not the one that the model was trained on."""
        if name not in self._encoders:
            loaded = encoders.get(encoder, **self._modalities[name].options)
            if name in self.encoder_ids_:
                self._check_record(name, _identity(loaded), self.encoder_ids_[name])
            self._encoders[name] = loaded
        return self._encoders[name]

    def _expected(self, name: str, encoder: str) -> dict[str, Any] | None:
        """Which encoder the embeddings of a modality must come from; `None` where this machine cannot tell."""
        if name in self.encoder_ids_:
            return self.encoder_ids_[name]
        # Embeddings made elsewhere can be trained on without fetching the encoder just to compare.
        return _identity(self._encoder(name, encoder)) if is_local(encoder) else None

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
        trained = self.encoder_ids_.get(name)
        if trained is None:
            return
        record = provenance(adata, self._modalities[name].obsm_key)
        if record is not None:
            self._check_record(name, record, trained)
        else:
            warnings.warn(
                f"The model was trained on the {name!r} modality from {trained['encoder']!r}; nothing is recorded of "
                f"`adata.obsm[{self._modalities[name].obsm_key!r}]`. Make sure that it comes from the same encoder.",
                UserWarning,
                stacklevel=2,
            )

    def _record_encoders(self, adata: "AnnData") -> None:
        """Remember which encoders the training embeddings come from."""
        for name, modality in self._modalities.items():
            record = provenance(adata, modality.obsm_key)
            if record is not None:
                self.encoder_ids_[name] = {"encoder": record["encoder"], "fingerprint": record["fingerprint"]}

    def _adata_or_own(self, adata: "AnnData | None") -> "AnnData":
        given = self.adata if adata is None else adata
        if given is None:
            raise ValueError("This model was loaded without data. Pass `adata=`.")
        return as_cells(given, self.registry["setup_args"].get("modalities"))


def _is_same(found: Mapping[str, Any], expected: Mapping[str, Any] | None, obsm_key: str) -> bool:
    """Whether an embedding comes from the expected encoder; where its fingerprint is not known, the name must do."""
    if expected is None:
        return embedding_key(found["encoder"]) == obsm_key
    return bool(found["fingerprint"] == expected["fingerprint"])


def _identity(encoder: "Encoder") -> dict[str, str]:
    return {"encoder": encoder.name, "fingerprint": encoder.fingerprint}


def readable_cells(inputs: "Mapping[str, Rows]", n_obs: int) -> "BoolArray":
    """Cells that every encoder could read, shape `(n_obs,)`; expression itself has a value for each."""
    readable = np.ones(n_obs, dtype=bool)
    for values in inputs.values():
        if not isinstance(values, ExpressionRows):
            readable &= np.isfinite(values).all(axis=1)
    return readable


def rows_of(adata: "AnnData", indices: "Sequence[int] | IntArray | BoolArray | None") -> "IntArray":
    """Row numbers from `indices`: whole numbers, a mask of length `n_obs`, or `None` for all."""
    if indices is None:
        return np.arange(adata.n_obs)
    rows = np.asarray(indices)
    if rows.size == 0:
        return np.empty(0, dtype=np.int64)
    if rows.dtype == bool and rows.shape == (adata.n_obs,):
        return np.flatnonzero(rows)
    if rows.dtype.kind not in "iu" or rows.ndim != 1:
        raise TypeError(
            f"`indices` must be row numbers or a mask of length {adata.n_obs}; found {rows.dtype} of shape "
            f"{rows.shape}. For names use `adata.obs_names.get_indexer(names)`."
        )
    return np.arange(adata.n_obs)[rows]


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
