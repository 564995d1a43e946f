"""The encoders of the modalities of a model, and whether embeddings come from those that it was trained with."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from scmpt_scverse import encoders
from scmpt_scverse._checks import warn_user
from scmpt_scverse._slots import provenance
from scmpt_scverse.encoders import is_local
from scmpt_scverse.modalities._compute import check_enough_known
from scmpt_scverse.modalities._obsm import finite_embedding
from scmpt_scverse.modalities._origin import (
    check_of_genes,
    check_same,
    identity,
    is_of_genes,
    is_same,
    other_source,
    own_record,
)

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import FloatArray
    from scmpt_scverse.encoders import Encoder
    from scmpt_scverse.modalities._modality import Modality
    from scmpt_scverse.modalities._source import ExpressionSource


class ModalityEncoders:
    """Which encoder each modality is made by; built when it is first needed.

    Parameters
    ----------
    modalities
        Name to what it is.
    built
        Encoders that exist already, by modality.

    Attributes
    ----------
    built
        Those, and all that were built since.
    trained_with
        Which encoder the training embeddings come from, `{modality: {"encoder", "fingerprint"}}`; empty before
        training.
    """

    def __init__(self, modalities: "Mapping[str, Modality]", built: "Mapping[str, Encoder]") -> None:
        self._modalities = dict(modalities)
        self.built: dict[str, Encoder] = dict(built)
        self.trained_with: dict[str, dict[str, str]] = {}

    def use(self, built: "Mapping[str, Encoder]") -> None:
        """Use encoders that exist already, for the modalities that there are."""
        self.built |= {name: encoder for name, encoder in built.items() if name in self._modalities}

    def record(self, adata: "AnnData") -> None:
        """Remember which encoders the embeddings of the training data come from."""
        for name, modality in self._modalities.items():
            record = provenance(adata, modality.obsm_key)
            if record is not None:
                self.trained_with[name] = {"encoder": record["encoder"], "fingerprint": record["fingerprint"]}

    def encoder(self, name: str) -> "Encoder":
        """The encoder of a modality; refused if it is not the one that the model was trained on."""
        modality = self._modalities[name]
        if name not in self.built:
            assert modality.encoder is not None  # the user's own modalities have none, and are not asked for one
            self.built[name] = encoders.get(modality.encoder, **modality.options)
        if name in self.trained_with:
            check_same(identity(self.built[name]), self.trained_with[name], modality.obsm_key, name, modality.encoder)
        return self.built[name]

    def missing_and_stored(
        self, adata: "AnnData", names: "Iterable[str]", source: "ExpressionSource", *, replaces: bool
    ) -> "tuple[dict[str, Encoder], dict[str, FloatArray]]":
        """The encoders of embeddings that are missing, and the others as they are stored.

        With `replaces`, an embedding of another encoder counts as missing; otherwise it is refused. Everything that can
        be refused is, before anything is computed.
        """
        missing: list[str] = []
        kept: list[str] = []
        for name in names:
            modality = self._modalities[name]
            if not modality.is_counts:
                is_kept = modality.encoder is None or self._is_kept(adata, name, source, replaces=replaces)
                (kept if is_kept else missing).append(name)
        if missing:
            source.check(adata)
        loaded = {name: self.encoder(name) for name in missing}
        if loaded:
            reader = source.reader(adata)
            for each in loaded.values():  # of all, before the first of them takes its time
                check_enough_known(reader, each)
        return loaded, {name: self._stored(adata, name, source) for name in kept}

    def _is_kept(self, adata: "AnnData", name: str, source: "ExpressionSource", *, replaces: bool) -> bool:
        """Whether the embedding of an encoder is there, and need not be replaced."""
        key = self._modalities[name].obsm_key
        record = own_record(adata, key)
        if record is None or not replaces:
            return record is not None
        return is_same(record, self._expected(name), key) and is_of_genes(record, source, adata)

    def _stored(self, adata: "AnnData", name: str, source: "ExpressionSource") -> "FloatArray":
        """An embedding in `.obsm`, refused where it is not what the model was trained on."""
        modality = self._modalities[name]
        key = modality.obsm_key
        if modality.encoder is None:
            values = finite_embedding(adata, key, modality.columns)
            self._check_own(adata, name)
            if source.panel is not None and (record := provenance(adata, key)) is not None:
                check_of_genes(record, source, adata, key)
            return values
        record = own_record(adata, key)
        assert record is not None  # the caller looked
        check_same(record, self._expected(name), key, name, modality.encoder)
        check_of_genes(record, source, adata, key)
        if warning := other_source(record, source.names, key):
            warn_user(warning)
        stored = adata.obsm[key]
        values = np.asarray(stored.toarray() if hasattr(stored, "toarray") else stored, dtype=np.float32)
        if values.shape[1] != modality.embedding_dim:
            raise ValueError(
                f"`adata.obsm[{key!r}]` has {values.shape[1]} columns; its encoder gives {modality.embedding_dim}. "
                "Remove it and run `model.embed(adata)`."
            )
        return values

    def _expected(self, name: str) -> dict[str, str] | None:
        """Which encoder the embeddings of a modality must come from; `None` where this machine cannot tell."""
        if name in self.trained_with:
            return self.trained_with[name]
        encoder = self._modalities[name].encoder
        # Embeddings made elsewhere can be trained on without fetching the encoder just to compare.
        is_here = name in self.built or (encoder is not None and is_local(encoder))
        return identity(self.encoder(name)) if is_here else None

    def _check_own(self, adata: "AnnData", name: str) -> None:
        """Of an embedding that the user brought: refuse another encoder, as far as there is a record."""
        trained = self.trained_with.get(name)
        if trained is None:
            return
        key = self._modalities[name].obsm_key
        record = provenance(adata, key)
        if record is not None:
            check_same(record, trained, key, name, None)
            return
        warn_user(
            f"The model was trained on the {name!r} modality from {trained['encoder']!r}; nothing is recorded of "
            f"`adata.obsm[{key!r}]`. Make sure that it comes from the same encoder."
        )
