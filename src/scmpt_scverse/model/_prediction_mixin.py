"""Predict from embeddings: labels, probabilities and the fused representation."""

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import pandas as pd

from scmpt_scverse._categories import as_categorical
from scmpt_scverse._keys import DEFAULT_KEY_ADDED, PredictionKeys, storable_names
from scmpt_scverse.metrics import cross_conformal_sets
from scmpt_scverse.metrics._conformal import check_alpha
from scmpt_scverse.model._confidence_mixin import ConfidenceMixin, check_reject
from scmpt_scverse.model._embedding_mixin import rows_of
from scmpt_scverse.tl._embed import check_writable

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import FloatArray, IntArray, StrArray
    from scmpt_scverse.model._confidence_mixin import Reject


class PredictionMixin(ConfidenceMixin):
    """What a trained model says about cells."""

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
        *,
        reject: "Reject | None" = None,
    ) -> "StrArray": ...

    @overload
    def predict(
        self,
        adata: "AnnData | None" = None,
        indices: "Sequence[int] | IntArray | None" = None,
        *,
        soft: Literal[True],
        batch_size: int | None = None,
        reject: "Reject | None" = None,
    ) -> pd.DataFrame: ...

    def predict(
        self,
        adata: "AnnData | None" = None,
        indices: "Sequence[int] | IntArray | None" = None,
        soft: bool = False,
        batch_size: int | None = None,
        *,
        reject: "Reject | None" = None,
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
        reject
            Say nothing where the model is unsure: these cells get the unlabeled category. A number is the share of
            errors to aim at among the cells that keep their label; `{"coverage": 0.9}` keeps the surest 90 %. Both
            hold for cells like those of the training data, on which the limit is set (:meth:`train` says which).

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
        if reject is not None:
            check_reject(reject)
            if soft:
                raise ValueError("`reject` changes labels, not probabilities. Drop one of `soft` and `reject`.")
        rows = rows_of(adata, indices)
        probabilities = self._probabilities(adata, rows, batch_size)
        if soft:
            return pd.DataFrame(probabilities, index=adata.obs_names[rows], columns=pd.Index(self.labels))
        return self._decode(probabilities, reject)

    def predict_sets(
        self,
        adata: "AnnData | None" = None,
        alpha: float = 0.1,
        *,
        indices: "Sequence[int] | IntArray | None" = None,
    ) -> pd.DataFrame:
        """Sets of labels that hold the true one for a share of `1 - alpha` of cells like the training cells.

        Parameters
        ----------
        adata, indices
            As for :meth:`predict`.
        alpha
            Share of cells whose set may lack the true label, in (0, 1).

        Returns
        -------
        Boolean DataFrame `(n_cells, n_labels)`: which labels belong to the set of each cell. See
        :func:`scmpt_scverse.metrics.cross_conformal_sets`.

        Raises
        ------
        RuntimeError, KeyError, ValueError
            As :meth:`predict`; also where `alpha` is out of range, or the model was trained without validation cells.

        Notes
        -----
        Conformal prediction with the log-odds of labels as score, see
        :func:`scmpt_scverse.metrics.cross_conformal_sets`: over the validation cells, or for a stacked head over its
        training cells by the heads of its cross-validation, which are kept for this. Each cell draws by its name
        between the two thresholds that are nearest to what was asked for, so it has the same set whenever it is asked
        about. The temperature is one number fitted on the same cells, and hardly moves the coverage.
        """
        check_alpha(alpha)
        self._check_if_trained(warn=False)
        of_truth, folds = self._calibration("log_odds_of_truth"), self._calibration("fold")
        adata = self._adata_or_own(adata)
        rows = rows_of(adata, indices)
        names = adata.obs_names[rows]
        odds = self._apply(self._log_odds_by_fold, adata, rows, None)
        sets = cross_conformal_sets(odds, of_truth, folds, alpha, draws=_draws(names))
        return pd.DataFrame(sets, index=names, columns=pd.Index(self.labels))

    def annotate(
        self,
        adata: "AnnData | None" = None,
        *,
        key_added: str = DEFAULT_KEY_ADDED,
        reject: "Reject | None" = None,
    ) -> None:
        """Write labels, and how far they can be trusted, into AnnData.

        Parameters
        ----------
        adata
            Cells, as for :meth:`predict`; `None` takes the data that the model was made with.
        key_added
            Prefix of the slots.
        reject
            As for :meth:`predict`.

        Returns
        -------
        Nothing; writes

        `adata.obs["<key_added>_prediction"]`
            Categorical: the label of highest probability, or the unlabeled category for a cell that an encoder cannot
            read or that is rejected. Its categories are those that occur, in the order of `labels`.
        `adata.obs["<key_added>_confidence"]`
            Calibrated probability of the most probable label, in [0, 1]. NaN where nothing can be said.
        `adata.obs["<key_added>_novelty"]`
            Share of training cells that are nearer to their nearest label than this cell is to its own, in [0, 1]: near
            1 for a cell unlike all that the model was trained on, whatever its confidence.
        `adata.obsm["<key_added>_contributions"]`
            DataFrame `(n_obs, n_modalities)`: how much each modality decided. Shapley values of the log-probability of
            the most probable label; a row sums to what the modalities together add to it, over a cell at the mean of
            the training cells. Negative where a modality spoke against the label.
        `adata.obs["<key_added>_disagreement"]`
            Share of modalities that alone would have given another label; with several modalities only.
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
        if reject is not None:
            check_reject(reject)
        keys = PredictionKeys.from_prefix(key_added)
        said = self._opinions(adata)
        predicted = self._decode(said.probabilities, reject)
        adata.obs[keys.prediction] = as_categorical(predicted, self._categories)
        adata.obs[keys.confidence] = said.probabilities.max(axis=1)  # NaN where the row is NaN
        adata.obs[keys.novelty] = said.novelty
        columns = storable_names(self.labels, reserved=adata.obs_names.name)
        adata.obsm[keys.probabilities] = pd.DataFrame(said.probabilities, index=adata.obs_names, columns=columns)
        adata.obsm[keys.contributions] = pd.DataFrame(
            said.contributions, index=adata.obs_names, columns=pd.Index(said.modalities)
        )
        if len(said.modalities) > 1:
            adata.obs[keys.disagreement] = said.disagreement

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
        float32, shape `(n_cells, n_hidden)`, for a stacked head the weighted log-probabilities of every modality, shape
        `(n_cells, n_modalities * n_labels)`; by custom stored in `adata.obsm["X_scmpt"]`. NaN for cells that an
        encoder cannot read.
        """
        adata = self._adata_or_own(adata)
        return self._apply(self.module.represent, adata, rows_of(adata, indices), batch_size)

    @property
    def _categories(self) -> "StrArray":
        state: dict[str, Any] = self.registry["field_registries"]["labels"]["state_registry"]
        return np.asarray(state["categorical_mapping"], dtype=object)

    def _decode(self, probabilities: "FloatArray", reject: "Reject | None" = None) -> "StrArray":
        predicted = np.full(len(probabilities), self.unlabeled_category, dtype=object)
        readable = np.isfinite(probabilities).all(axis=1)
        if reject is not None:
            readable &= probabilities.max(axis=1) >= self._least_confidence(reject)
        predicted[readable] = self.labels[probabilities[readable].argmax(axis=1)]
        return predicted


def _draws(names: pd.Index) -> "FloatArray":
    """A number in [0, 1) for each name, the same for the same name, as good as random."""
    hashes = pd.util.hash_array(np.asarray(names, dtype=object), categorize=False)
    draws: FloatArray = (hashes >> np.uint64(11)) / 2.0**53  # as many bits as a double holds
    return draws


def cells_digest(adata: "AnnData") -> str:
    """Hexadecimal sha256 of the names of the cells, in order: recognises data, however often it was copied."""
    return hashlib.sha256("\n".join(map(str, adata.obs_names)).encode()).hexdigest()
