"""What a trained model says about cells: labels, how far they can be trusted, and how right they are."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

import pandas as pd
import torch

from scmpt_scverse._checks import check_positive, check_share, rows_of
from scmpt_scverse._slots import (
    DEFAULT_KEY_ADDED,
    UNS_KEYS,
    PredictionKeys,
    check_recorded,
    check_records,
    check_writable,
)
from scmpt_scverse._storable import check_columns_fit
from scmpt_scverse.evaluation import decode
from scmpt_scverse.modalities import cell_keys
from scmpt_scverse.model._model_record import facts_of_reference_model, write_model_record
from scmpt_scverse.model._predictions import batched, label_sets, predictions_of, write_predictions
from scmpt_scverse.model.reference_labels import _evaluation
from scmpt_scverse.trust import TrainingRecord, check_alpha, check_reject, warn_of_novel_cells

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._slots import Slot
    from scmpt_scverse._types import FloatArray, IntArray, StrArray
    from scmpt_scverse.modalities import Modalities
    from scmpt_scverse.module import FusionClassifier
    from scmpt_scverse.pp import Organism
    from scmpt_scverse.trust import Calibration, Novelty, Reject


class PredictsLabelsMixin:
    """Labels of cells. The parts that it works with are the attributes below.

    Attributes
    ----------
    module
        The classifier.
    modalities
        What it reads of cells.
    calibration
        `None` before training, and for a model that was trained without cells to calibrate on.
    novelty
        `None` before training.
    record
        Which cells it was trained on.
    min_confidence, max_novelty
        Cells below the one or above the other get the unlabeled category, whatever `reject` says, unless a method is
        given other limits. They are 0 and 1, which leaves no cell out, except in models that bring limits.
    """

    module: "FusionClassifier"
    modalities: "Modalities"
    calibration: "Calibration | None"
    novelty: "Novelty | None"
    record: TrainingRecord
    min_confidence: float
    max_novelty: float
    labels: "StrArray"
    unlabeled_category: str
    _unlabeled_names: list[str]
    labels_key: str
    batch_key: str | None
    _own_name: str
    _fusion: Any
    _loaded_from: str
    test_indices: "IntArray | None"
    validation_indices: "IntArray | None"
    _query: "Callable[[AnnData | None, str | None, str | None, Organism | None], tuple[AnnData, Modalities]]"
    _read_slots: "Callable[[], tuple[Slot, ...]]"
    _training_cells: "Callable[[], AnnData | None]"
    _check_if_trained: Callable[..., None]

    @overload
    def predict(
        self,
        adata: "AnnData | None" = None,
        indices: "Sequence[int] | IntArray | None" = None,
        soft: Literal[False] = False,
        batch_size: int | None = None,
        *,
        reject: "Reject | None" = None,
        min_confidence: float | None = None,
        max_novelty: float | None = None,
        layer: str | None = None,
        gene_symbols: str | None = None,
        organism: "Organism | None" = None,
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
        min_confidence: float | None = None,
        max_novelty: float | None = None,
        layer: str | None = None,
        gene_symbols: str | None = None,
        organism: "Organism | None" = None,
    ) -> pd.DataFrame: ...

    def predict(
        self,
        adata: "AnnData | None" = None,
        indices: "Sequence[int] | IntArray | None" = None,
        soft: bool = False,
        batch_size: int | None = None,
        *,
        reject: "Reject | None" = None,
        min_confidence: float | None = None,
        max_novelty: float | None = None,
        layer: str | None = None,
        gene_symbols: str | None = None,
        organism: "Organism | None" = None,
    ) -> "StrArray | pd.DataFrame":
        """Predict labels.

        Parameters
        ----------
        adata
            Cells; `None` takes the data that the model was made with. Needs embeddings, or expression to make them
            from; no label column, and no particular genes. Not changed, except that embeddings computed for all cells,
            or for those that have none, are written to `.obsm` (unless it is a view).
        indices
            Row numbers or a mask; nothing is read of other cells. `None` takes all.
        soft
            Give probabilities instead of labels.
        batch_size
            Cells per forward pass of the head.
        reject
            Leave cells unlabelled where the model is unsure: they get the unlabeled category. A number is the share of
            errors to aim at among the cells that keep their label; `{"coverage": 0.9}` keeps the surest 90 %. Both
            hold for cells like those of the training data, on which the limit is set (:meth:`train` says which). A
            warning says why no cell would be kept: for a share of errors `e` it takes at least `1 / e - 1` cells. For
            types that the reference lacks, pass `max_novelty`: a model can be sure of a wrong label.
        min_confidence, max_novelty
            Leave cells unlabelled whose confidence is below, or whose novelty is above; `None` takes the limits of the
            model, 0 and 1 unless it was given others. See :meth:`annotate` for both.
        layer
            Key of `.layers` with the expression of these cells, `"X"` for `.X`; `None` takes what :meth:`setup_anndata`
            was given.
        gene_symbols
            Column of `.var` with their gene symbols, `"var_names"` for the names of the columns; `None` likewise.
        organism
            Species of these cells; `None` likewise. Genes of any but the human are read under the names of their human
            orthologs: `"mouse"`, :class:`scmpt_scverse.pp.Orthologs` of others, or `"auto"`, which warns of what it
            took. Cells of another species than was said are refused. `"native"` reads symbols as they are.

        Returns
        -------
        Labels of shape `(n_cells,)`; with `soft`, a DataFrame `(n_cells, n_labels)` of probabilities with the cells'
        names as index, whose rows sum to 1. Cells that an encoder cannot read (no expression in any gene that it
        knows) get the unlabeled category, or NaN, and a warning counts them.

        Raises
        ------
        RuntimeError
            The model is not trained.
        KeyError, ValueError
            An embedding is missing and cannot be made, is not finite, has another width, or comes from another
            encoder than the one trained on; an argument is out of range, or `reject` is asked of a model that was
            trained without validation cells.
        """
        self._check_if_trained(warn=False)
        _check_batch_size(batch_size)
        asked = {"reject": reject, "min_confidence": min_confidence, "max_novelty": max_novelty}
        for name, value in asked.items():
            if soft and value is not None:
                raise ValueError(f"`{name}` changes labels, not probabilities. Drop one of `soft` and `{name}`.")
        limits = self._limits(reject, min_confidence, max_novelty)
        adata, modalities = self._query(adata, layer, gene_symbols, organism)
        rows = rows_of(adata, indices)
        if not soft and limits.max_novelty < 1:
            predictions = predictions_of(self.module, self.novelty, modalities.read(adata, rows, missing_ok=True))
            warn_of_novel_cells(predictions.novelty)
            return self._decode(predictions.probabilities, limits, predictions.novelty)
        probabilities = self._probabilities(adata, modalities, rows, batch_size)
        if soft:
            return pd.DataFrame(probabilities, index=adata.obs_names[rows], columns=pd.Index(self.labels))
        return self._decode(probabilities, limits)

    def predict_sets(
        self,
        adata: "AnnData | None" = None,
        alpha: float = 0.1,
        *,
        indices: "Sequence[int] | IntArray | None" = None,
        allow_empty: bool | None = None,
        layer: str | None = None,
        gene_symbols: str | None = None,
        organism: "Organism | None" = None,
    ) -> pd.DataFrame:
        """Sets of labels that contain the true one for a share of `1 - alpha` of cells like the training cells.

        Parameters
        ----------
        adata, indices, layer, gene_symbols, organism
            As for :meth:`predict`.
        alpha
            Share of cells whose set may miss the true label, in (0, 1).
        allow_empty
            `None` and `True` give sets that miss the true label as often as `alpha` says. Where the model is right more
            often than that, some are therefore empty: even the most probable label scores lower than true labels mostly
            do. `None` warns of them with their share. `False` adds the label that :meth:`predict` gives to every set:
            none is empty, and they miss the true label at most that often.

        Returns
        -------
        Boolean DataFrame `(n_cells, n_labels)`: which labels belong to the set of each cell; all for a cell that an
        encoder cannot read.

        Raises
        ------
        RuntimeError, KeyError, ValueError
            As :meth:`predict`; also where `alpha` is out of range, or the model was trained without validation cells.

        Warns
        -----
        UserWarning
            Sets are empty, or hold every label because there are too few calibration cells for `alpha`.

        Notes
        -----
        Conformal prediction with the log-odds of labels as score: over the validation cells, or for a stacked head over
        its training cells by the heads of its cross-validation, which are kept for this. The name of a cell
        decides, as a random draw, between the two thresholds that are nearest to the requested coverage, so a cell
        always has the same set. The temperature is one number fitted on the same cells, and hardly moves the coverage.
        """
        check_alpha(alpha)
        self._check_if_trained(warn=False)
        calibration = self._calibrated()
        adata, modalities = self._query(adata, layer, gene_symbols, organism)
        rows = rows_of(adata, indices)
        inputs, names = modalities.read(adata, rows, missing_ok=True), adata.obs_names[rows]
        sets = label_sets(self.module, calibration, inputs, names, alpha, allow_empty=allow_empty)
        return pd.DataFrame(sets, index=names, columns=pd.Index(self.labels))

    def annotate(
        self,
        adata: "AnnData | None" = None,
        *,
        key_added: str = DEFAULT_KEY_ADDED,
        reject: "Reject | None" = None,
        min_confidence: float | None = None,
        max_novelty: float | None = None,
        layer: str | None = None,
        gene_symbols: str | None = None,
        organism: "Organism | None" = None,
    ) -> None:
        """Write labels into AnnData, and measures of how far they can be trusted.

        Parameters
        ----------
        adata
            Cells, as for :meth:`predict`; `None` takes the data that the model was made with.
        key_added
            Prefix of the slots.
        reject, min_confidence, max_novelty, layer, gene_symbols, organism
            As for :meth:`predict`.

        Returns
        -------
        Nothing; writes

        `adata.obs["<key_added>_prediction"]`
            Categorical: the label of highest probability, or the unlabeled category for a cell that an encoder cannot
            read or that is rejected. Its categories are those that occur, in the order of `labels`.
        `adata.obs["<key_added>_confidence"]`
            Calibrated probability of the most probable label, in [0, 1]. NaN for cells that cannot be read.
        `adata.obs["<key_added>_novelty"]`
            Share of training cells that lie closer to their nearest label than this cell lies to its own, in [0, 1]:
            near 1 for a cell unlike all training cells, whatever its confidence.
        `adata.obsm["<key_added>_contributions"]`
            DataFrame `(n_obs, n_modalities)`: how much each modality contributed to the label. Shapley values of the
            log-probability of the most probable label; a row sums to what the modalities together add to it, compared
            with a cell at the mean of the training cells. Negative if a modality counts against the label.
        `adata.obs["<key_added>_disagreement"]`
            Share of modalities that would have given another label on their own; only with several modalities.
        `adata.obsm["<key_added>_probabilities"]`
            DataFrame `(n_obs, n_labels)`, columns in the order of `labels`. A slash in a label is written as `|`,
            because names in HDF5 cannot contain a slash.
        `adata.uns["scmpt"]["annotations"]["<key_added>"]`
            Which model it was: class, name or folder, day of training, encoders with fingerprints, head, numbers of
            reference cells and labels, where expression was read, versions, and what was written.

        Raises
        ------
        RuntimeError, KeyError, ValueError
            As :meth:`predict`; also for a view of a backed file, which cannot hold new columns, for more labels than a
            file can hold columns of (4,090), and for a `key_added` that no file can hold, or that would overwrite what
            the model reads, such as the column of labels.
        """
        self._check_if_trained(warn=False)
        adata, modalities = self._query(adata, layer, gene_symbols, organism)
        keys = PredictionKeys.from_prefix(key_added)
        check_writable(adata, key_added, keys.slots, reads=self._read_slots())
        check_records(adata)
        check_recorded(adata, key_added, keys.slots)
        check_columns_fit(self.labels, f"adata.obsm[{keys.probabilities!r}]")
        limits = self._limits(reject, min_confidence, max_novelty)
        inputs = modalities.read(adata, missing_ok=True)
        predictions = predictions_of(self.module, self.novelty, inputs)
        warn_of_novel_cells(predictions.novelty)
        predicted = self._decode(predictions.probabilities, limits, predictions.novelty)
        write_predictions(adata, keys, predictions, predicted, self.labels, self.unlabeled_category)
        facts = facts_of_reference_model(self)
        write_model_record(
            adata,
            UNS_KEYS.annotations,
            key_added,
            keys.slots,
            modalities.source,
            **facts,
            reject=reject,
            min_confidence=limits.min_confidence,
            max_novelty=limits.max_novelty,
        )

    def get_latent_representation(
        self,
        adata: "AnnData | None" = None,
        indices: "Sequence[int] | IntArray | None" = None,
        batch_size: int | None = None,
        *,
        layer: str | None = None,
        gene_symbols: str | None = None,
        organism: "Organism | None" = None,
    ) -> "FloatArray":
        """The fused representation: what the head sees just before it classifies.

        Arguments and errors as for :meth:`predict`.

        Returns
        -------
        float32, shape `(n_cells, n_hidden)`, for a stacked head the weighted log-probabilities of every modality, shape
        `(n_cells, n_modalities * n_labels)`; by convention stored in `adata.obsm["X_scmpt"]`. NaN for cells that an
        encoder cannot read.
        """
        self._check_if_trained(warn=False)
        _check_batch_size(batch_size)
        adata, modalities = self._query(adata, layer, gene_symbols, organism)
        inputs = modalities.read(adata, rows_of(adata, indices), missing_ok=True)
        return batched(self.module, lambda tensors: (self.module.represent(tensors),), inputs, batch_size)[0]

    evaluate = _evaluation.evaluate
    evaluate_per_class = _evaluation.evaluate_per_class
    is_training_cell = _evaluation.is_training_cell

    def _probabilities(
        self, adata: "AnnData", modalities: "Modalities", rows: "IntArray", batch_size: int | None = None
    ) -> "FloatArray":
        """Calibrated probabilities of some cells, shape `(n_rows, n_labels)`; NaN where nothing can be said."""
        inputs = modalities.read(adata, rows, missing_ok=True)
        return torch.from_numpy(self.module.logits(inputs, batch_size=batch_size)).softmax(dim=-1).numpy()

    def _calibrated(self) -> "Calibration":
        if self.calibration is None:
            raise ValueError(
                "Expected cells to calibrate on; the model was trained without validation cells. Train it with "
                "`train_size` below 1, or with `fusion='stacked'`, which learns out of fold."
            )
        return self.calibration

    def _limits(
        self, reject: "Reject | None" = None, min_confidence: float | None = None, max_novelty: float | None = None
    ) -> "_Limits":
        """Limits that were asked for, or else those of the model; an error for one out of range."""
        if reject is not None:
            check_reject(reject)
            self._calibrated()
        limits = _Limits(
            self.min_confidence if min_confidence is None else min_confidence,
            self.max_novelty if max_novelty is None else max_novelty,
            reject,
        )
        check_share(limits.min_confidence, "min_confidence")
        check_share(limits.max_novelty, "max_novelty")
        return limits

    def _decode(
        self, probabilities: "FloatArray", limits: "_Limits | None" = None, novelty: "FloatArray | None" = None
    ) -> "StrArray":
        """Labels of probabilities; the unlabeled category where they are NaN, beyond the limits or rejected."""
        limits = self._limits() if limits is None else limits
        predicted = decode(pd.DataFrame(probabilities, columns=pd.Index(self.labels)), self.unlabeled_category)
        limit = limits.min_confidence
        if limits.reject is not None:
            limit = max(limit, self._calibrated().least_confidence(limits.reject))
        unsure = probabilities.max(axis=1, initial=0) < limit
        if novelty is not None:
            unsure |= novelty > limits.max_novelty
        predicted[unsure] = self.unlabeled_category
        return predicted

    def _trained_rows(self, adata: "AnnData", modalities: "Modalities") -> "IntArray":
        """The cells of some data that the model was trained on; the one place that tells."""
        return self.record.rows_in(cell_keys(adata, modalities.source))


class _Limits(NamedTuple):
    """Cells beyond them stay unlabelled."""

    min_confidence: float
    max_novelty: float
    reject: "Reject | None" = None


def _check_batch_size(batch_size: int | None) -> None:
    if batch_size is not None:
        check_positive(batch_size, "batch_size")
