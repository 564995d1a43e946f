"""Predict from embeddings: labels, probabilities and the fused representation."""

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import pandas as pd
import torch

from scmpt_scverse._checks import check_positive
from scmpt_scverse._keys import DEFAULT_KEY_ADDED, PredictionKeys, storable_names
from scmpt_scverse.model._embedding_mixin import EmbeddingMixin, rows_of
from scmpt_scverse.tl._embed import check_writable

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import FloatArray, IntArray, StrArray
    from scmpt_scverse.module._scmpt_module import SCMPTModule

#: Cells per forward pass of the head; at 4096 hidden units, 64 MB.
_BATCH_SIZE = 4096


class PredictionMixin(EmbeddingMixin):
    """What a trained model says about cells."""

    module: "SCMPTModule"
    label_counts_: dict[str, int]
    training_digest_: str
    trained_on_: "IntArray"
    train_indices: "IntArray | None"
    validation_indices: "IntArray | None"
    test_indices: "IntArray | None"
    _check_if_trained: Callable[..., None]

    @property
    def labels(self) -> "StrArray":
        """The labels that the model knows, in the order of its probabilities; shape `(n_labels,)`."""
        return self._categories[:-1]

    @property
    def unlabeled_category(self) -> str:
        """The label of cells without one, and of cells about which nothing can be said."""
        return str(self._categories[-1])

    @overload
    def predict(
        self,
        adata: "AnnData | None" = None,
        indices: "Sequence[int] | IntArray | None" = None,
        soft: Literal[False] = False,
        batch_size: int | None = None,
    ) -> "StrArray": ...

    @overload
    def predict(
        self,
        adata: "AnnData | None" = None,
        indices: "Sequence[int] | IntArray | None" = None,
        *,
        soft: Literal[True],
        batch_size: int | None = None,
    ) -> pd.DataFrame: ...

    def predict(
        self,
        adata: "AnnData | None" = None,
        indices: "Sequence[int] | IntArray | None" = None,
        soft: bool = False,
        batch_size: int | None = None,
    ) -> "StrArray | pd.DataFrame":
        """Predict labels.

        Parameters
        ----------
        adata
            Cells; `None` takes the data that the model was made with. Needs embeddings, or expression to make them
            from; no label column, and no particular genes. Not changed, except that missing embeddings are written to
            `.obsm` (unless it is a view).
        indices
            Row numbers or a mask; `None` takes all cells.
        soft
            Give probabilities instead of labels.
        batch_size
            Cells per forward pass of the head.

        Returns
        -------
        Labels of shape `(n_cells,)`; with `soft`, a DataFrame `(n_cells, n_labels)` of probabilities with the cells'
        names as index, whose rows sum to 1. Cells that an encoder cannot read (no expression in any gene that it
        knows) get the unlabeled category, or NaN.

        Raises
        ------
        RuntimeError
            The model is not trained.
        KeyError, ValueError
            An embedding is missing and cannot be made, is not finite, has another width, or comes from another
            encoder than the one trained on.
        """
        adata = self._adata_or_own(adata)
        rows = rows_of(adata, indices)
        probabilities = self._probabilities(adata, rows, batch_size)
        if soft:
            return pd.DataFrame(probabilities, index=adata.obs_names[rows], columns=pd.Index(self.labels))
        return self._decode(probabilities)

    def annotate(self, adata: "AnnData | None" = None, *, key_added: str = DEFAULT_KEY_ADDED) -> None:
        """Write labels, confidence and probabilities into AnnData.

        Parameters
        ----------
        adata
            Cells, as for :meth:`predict`; `None` takes the data that the model was made with.
        key_added
            Prefix of the slots.

        Returns
        -------
        Nothing; writes

        `adata.obs["<key_added>_prediction"]`
            Categorical: the label of highest probability, or the unlabeled category for a cell that an encoder cannot
            read.
        `adata.obs["<key_added>_confidence"]`
            Probability of the predicted label by the head's softmax, in [0, 1]; not yet calibrated. NaN where nothing
            can be said.
        `adata.obsm["<key_added>_probabilities"]`
            DataFrame `(n_obs, n_labels)`, columns in the order of `labels`. A slash in a label is written as `|`,
            because HDF5 has no slash in names.

        Raises
        ------
        RuntimeError, KeyError, ValueError
            As :meth:`predict`; also for a view of a backed file, which cannot hold new columns.
        """
        adata = self._adata_or_own(adata)
        check_writable(adata, key_added)
        keys = PredictionKeys.from_prefix(key_added)
        probabilities = self._probabilities(adata, np.arange(adata.n_obs), None)
        predicted = self._decode(probabilities)
        used = self._categories if self.unlabeled_category in predicted else self.labels
        adata.obs[keys.prediction] = pd.Categorical(predicted, categories=used)
        adata.obs[keys.confidence] = probabilities.max(axis=1)  # NaN where the row is NaN
        columns = storable_names(self.labels, reserved=adata.obs_names.name)
        adata.obsm[keys.probabilities] = pd.DataFrame(probabilities, index=adata.obs_names, columns=columns)

    def get_latent_representation(
        self,
        adata: "AnnData | None" = None,
        indices: "Sequence[int] | IntArray | None" = None,
        batch_size: int | None = None,
    ) -> "FloatArray":
        """The fused representation: what the head sees just before it classifies.

        Arguments and errors as for :meth:`predict`.

        Returns
        -------
        float32, shape `(n_cells, n_hidden)`; by custom stored in `adata.obsm["X_scmpt"]`. NaN for cells that an
        encoder cannot read.
        """
        adata = self._adata_or_own(adata)
        return self._apply(self.module.represent, adata, rows_of(adata, indices), batch_size)

    @property
    def _categories(self) -> "StrArray":
        state: dict[str, Any] = self.registry["field_registries"]["labels"]["state_registry"]
        return np.asarray(state["categorical_mapping"], dtype=object)

    def _decode(self, probabilities: "FloatArray") -> "StrArray":
        predicted = np.full(len(probabilities), self.unlabeled_category, dtype=object)
        readable = np.isfinite(probabilities).all(axis=1)
        predicted[readable] = self.labels[probabilities[readable].argmax(axis=1)]
        return predicted

    def _probabilities(self, adata: "AnnData", rows: "IntArray", batch_size: int | None) -> "FloatArray":
        logits = torch.from_numpy(self._apply(self.module, adata, rows, batch_size))
        return torch.softmax(logits, dim=-1).numpy()

    def _apply(
        self, function: "Callable[..., torch.Tensor]", adata: "AnnData", rows: "IntArray", batch_size: int | None
    ) -> "FloatArray":
        """`function` of the modalities of some cells, minibatch by minibatch, rows in the order asked for."""
        self._check_if_trained(warn=False)
        if batch_size is not None:
            check_positive(batch_size, "batch_size")
        inputs = self._inputs(adata)
        # An empty selection still runs once, on no rows, and so gives an array of the right width.
        starts = range(0, max(len(rows), 1), batch_size or _BATCH_SIZE)
        self.module.eval()
        outputs = []
        with torch.inference_mode():
            for start in starts:
                batch = rows[start : start + (batch_size or _BATCH_SIZE)]
                tensors = {name: torch.from_numpy(values[batch]) for name, values in inputs.items()}
                outputs.append(function(tensors).float().cpu())
        return torch.cat(outputs).numpy()


def cells_digest(adata: "AnnData") -> str:
    """Hexadecimal sha256 of the names of the cells, in order: recognises data, however often it was copied."""
    return hashlib.sha256("\n".join(map(str, adata.obs_names)).encode()).hexdigest()
