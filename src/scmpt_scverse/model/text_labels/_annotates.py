"""Labels of cells from texts: which, how sure, and at what level."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

import pandas as pd

from scmpt_scverse._checks import check_choice, rows_of
from scmpt_scverse._slots import (
    DEFAULT_TEXT_KEY_ADDED,
    UNS_KEYS,
    Slot,
    TextLabelKeys,
    check_recorded,
    check_records,
    check_writable,
    write_slots,
)
from scmpt_scverse._storable import check_columns_fit
from scmpt_scverse.evaluation import decode
from scmpt_scverse.model._model_record import facts_of_text_model, write_model_record
from scmpt_scverse.model._predictions import text_label_values
from scmpt_scverse.model.text_labels._embeddings import TextEmbeddings
from scmpt_scverse.model.text_labels._evaluation import evaluate_text_labels
from scmpt_scverse.trust import check_alpha, cumulative_sets
from scmpt_scverse.zero_shot import (
    REFINEMENTS,
    UNKNOWN,
    AnswerLimits,
    Labels,
    Query,
    Refine,
    TextModel,
    answers_of,
    checked_others,
)

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import FloatArray, IntArray, StrArray
    from scmpt_scverse.modalities import ExpressionSource
    from scmpt_scverse.pp import Organism


class AnnotatesByTextMixin:
    """Labels of cells, of those that a user names."""

    _setup_args: dict[str, Any]
    _unlabeled_names: list[str]
    _cells: "Callable[[AnnData | None], AnnData]"
    _query: "Callable[[AnnData | None, str | None, str | None, Organism | None], Query]"
    _read_slots: "Callable[[], tuple[Slot, ...]]"
    _own_data: "Callable[[], AnnData | None]"
    _trained: Callable[[], TextModel]
    _source: "Callable[[AnnData, str | None, str | None, Organism | None], ExpressionSource]"
    _encode: TextEmbeddings
    _loaded_from: str
    _trained_on: str
    background: float

    @overload
    def predict(
        self,
        adata: "AnnData | None" = None,
        indices: "Sequence[int] | IntArray | None" = None,
        soft: Literal[False] = False,
        *,
        labels: "Labels | None" = None,
        tissue: str | None = None,
        refine: Refine = "self-train",
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
        labels: "Labels | None" = None,
        tissue: str | None = None,
        refine: Refine = "self-train",
        layer: str | None = None,
        gene_symbols: str | None = None,
        organism: "Organism | None" = None,
    ) -> pd.DataFrame: ...

    def predict(
        self,
        adata: "AnnData | None" = None,
        indices: "Sequence[int] | IntArray | None" = None,
        soft: bool = False,
        *,
        labels: "Labels | None" = None,
        tissue: str | None = None,
        refine: Refine = "self-train",
        layer: str | None = None,
        gene_symbols: str | None = None,
        organism: "Organism | None" = None,
    ) -> "StrArray | pd.DataFrame":
        """Predict a label for each cell, chosen from those that you name.

        Parameters
        ----------
        adata
            Cells with expression, counts or log-normalised; `None` takes the data that the model was made with. They
            are compared with one another, unless `background` is 1, so pass all cells of a study. Not changed.
        indices
            Row numbers or a mask of the cells that are wanted; all are read. `None` takes all.
        soft
            Give probabilities instead of labels.
        labels
            Names of cell types, ids of the Cell Ontology, or a mapping of names to a description or to a list of marker
            genes. `None` takes all types that the model knows, or those of a tissue.
        tissue
            Take the types that marker tables name for a tissue, such as `"pancreas"`; not with `labels`.
        refine
            How to use other cells of the query: `"self-train"` averages scores over neighbours, then trains a
            classifier on the surest cells of each label; `"smooth"` only averages; `"none"` judges each cell by its
            own genes.
        layer, gene_symbols
            Where the expression of these cells is: key of `.layers`, `"X"` for `.X`, and column of `.var` with gene
            symbols, `"var_names"` for the names of the columns. `None` takes what :meth:`setup_anndata` was given.

        Returns
        -------
        Labels of shape `(n_cells,)`; with `soft`, a DataFrame `(n_cells, n_labels)` of probabilities. Cells without
        expression of any gene that the model knows get `"Unknown"`, or NaN.

        Raises
        ------
        RuntimeError
            The model is not trained.
        ValueError
            Fewer than two labels, no such tissue, or hardly any gene that the model knows.

        Warns
        -----
        UserWarning
            Labels mean the same, nothing is known of one, or genes that were named are not in the data.
        """
        rows = rows_of(self._cells(adata), indices)
        table = self._probability_table(adata, labels, tissue, refine, layer, gene_symbols, organism).iloc[rows]
        return table if soft else decode(table, UNKNOWN)

    def predict_sets(
        self,
        adata: "AnnData | None" = None,
        alpha: float = 0.1,
        *,
        indices: "Sequence[int] | IntArray | None" = None,
        labels: "Labels | None" = None,
        tissue: str | None = None,
        refine: Refine = "self-train",
        layer: str | None = None,
        gene_symbols: str | None = None,
        organism: "Organism | None" = None,
    ) -> pd.DataFrame:
        """The most probable labels of each cell, as many as it takes to reach a probability of `1 - alpha`.

        Parameters
        ----------
        adata, indices, labels, tissue, refine, layer, gene_symbols, organism
            As for :meth:`predict`.
        alpha
            Probability that may be left to the labels outside a set, in (0, 1).

        Returns
        -------
        Boolean DataFrame `(n_cells, n_labels)`: which labels belong to the set of each cell, at least one; all for a
        cell that cannot be read.

        Raises
        ------
        RuntimeError, ValueError
            As :meth:`predict`; also where `alpha` is out of range.

        Notes
        -----
        **There is no guaranteed coverage**, unlike for :meth:`SCMPT.predict_sets`. Conformal prediction needs labelled
        cells that are exchangeable with those of the query. Here there are none: other studies have other labels, and a
        guarantee over studies would take at least `1 / alpha - 1` of them. What is calibrated is one temperature for
        each way to refine, on studies that were left out of training. So sets hold the true label about as often as
        they say if the query is like those studies, and if its true label was named at all.
        """
        check_alpha(alpha)
        rows = rows_of(self._cells(adata), indices)
        table = self._probability_table(adata, labels, tissue, refine, layer, gene_symbols, organism).iloc[rows]
        return pd.DataFrame(cumulative_sets(table.to_numpy(), alpha), index=table.index, columns=table.columns)

    def annotate(
        self,
        adata: "AnnData | None" = None,
        labels: "Labels | None" = None,
        *,
        tissue: str | None = None,
        refine: Refine = "self-train",
        min_confidence: float = 0.0,
        max_novelty: float = 1.0,
        back_off: float = 0.8,
        key_added: str = DEFAULT_TEXT_KEY_ADDED,
        layer: str | None = None,
        gene_symbols: str | None = None,
        organism: "Organism | None" = None,
    ) -> None:
        """Write a label for each cell into AnnData, chosen from those that you name.

        Parameters
        ----------
        adata, labels, tissue, refine, layer, gene_symbols, organism
            As for :meth:`predict`.
        min_confidence
            Cells of lower confidence get `"Unknown"`, in [0, 1].
        max_novelty
            Cells of higher novelty get `"Unknown"`, in [0, 1]. At 0.5 other types fit as well as the best label.
        back_off
            Probability that a term of the Cell Ontology has to reach to be written as the broader term, in (0, 1].
        key_added
            Prefix of the slots.

        Returns
        -------
        Nothing; writes

        `adata.obs["<key_added>_prediction"]`
            Categorical: the most probable label, or `"Unknown"`.
        `adata.obs["<key_added>_confidence"]`
            Its probability, calibrated on studies that the model was not trained on, in [0, 1].
        `adata.obs["<key_added>_ontology_id"]`
            Its id in the Cell Ontology, missing where it has none.
        `adata.obs["<key_added>_novelty"]`
            How likely it is that the cell's type was not named, in [0, 1]. Other types are those in the model that are
            neither a label, nor a subtype nor a supertype of one: 0.5 if the best of them fit as well as the best
            label, near 1 if they fit much better. Not written if there are no other types.
        `adata.obs["<key_added>_backed_off"]`, `adata.obs["<key_added>_backed_off_id"]`
            Categorical: name and id of the most specific term, of the label or above it, whose probability reaches
            `back_off`; at worst what all labels are. Missing where the cell cannot be read.
        `adata.obs["<key_added>_backed_off_confidence"]`
            Its probability: the sum over the labels that are kinds of it. Registered types without a term are left out.
        `adata.obsm["<key_added>_scores"]`
            DataFrame `(n_obs, n_labels)` of probabilities. A slash in a label is written as `|`.
        `adata.uns["scmpt"]["annotations"]["<key_added>"]`
            Which model it was, and what it was asked: class, name or folder, day of training, text encoder with its
            fingerprint, numbers of labels and of types that it knows, options, where expression was read, versions, and
            what was written.

        Raises
        ------
        RuntimeError, ValueError
            As :meth:`predict`; also for data that cannot be written to, and where `max_novelty` is given and there is
            no other type to compare with.
        """
        cells = self._cells(adata)
        keys = TextLabelKeys.from_prefix(key_added)
        check_writable(cells, key_added, keys.slots, reads=self._read_slots())
        check_records(cells)
        check_recorded(cells, key_added, keys.slots)
        check_choice(refine, REFINEMENTS, "refine")
        limits = AnswerLimits(min_confidence, max_novelty, back_off)
        trained = self._trained()
        candidates = trained.candidates(labels, tissue)
        check_columns_fit(candidates.names, f"adata.obsm[{keys.scores!r}]")
        others = checked_others(trained, candidates, limits)
        answers = answers_of(
            trained, self._query(adata, layer, gene_symbols, organism), candidates, others, refine, limits
        )
        write_slots(cells, keys.slots, text_label_values(cells, keys, answers, candidates))
        write_model_record(
            cells,
            UNS_KEYS.annotations,
            key_added,
            keys.slots,
            self._source(cells, layer, gene_symbols, organism),
            **facts_of_text_model(self),
            n_labels=len(candidates.names),
            tissue=tissue,
            refine=refine,
            min_confidence=float(min_confidence),
            max_novelty=float(max_novelty),
            back_off=float(back_off),
        )

    evaluate = evaluate_text_labels

    def get_latent_representation(
        self,
        adata: "AnnData | None" = None,
        indices: "Sequence[int] | IntArray | None" = None,
        *,
        layer: str | None = None,
        gene_symbols: str | None = None,
        organism: "Organism | None" = None,
    ) -> "FloatArray":
        """Coordinates of cells on the axes of the text tower, on which texts and cells are compared.

        Parameters
        ----------
        adata, indices, layer, gene_symbols, organism
            As for :meth:`predict`.

        Returns
        -------
        float32, shape `(n_cells, n_axes)`; NaN for cells that cannot be read. By custom stored in
        `adata.obsm["X_scmmgpt"]`. The product with the coordinates that the tower gives a text is the product of
        the standardised cell, at length 1, with the profile that it writes: the tower's part of the score, up to the
        length of the profile. Axes are no orthogonal basis, and cells are relative to what they are compared with.
        """
        trained, cells = self._trained(), self._cells(adata)
        rows = rows_of(cells, indices)
        axes = trained.alignment.tower.axes.detach().cpu().numpy()
        return self._query(adata, layer, gene_symbols, organism).scores(axes.T)[rows]

    def _probability_table(
        self,
        adata: "AnnData | None",
        labels: "Labels | None",
        tissue: str | None,
        refine: Refine,
        layer: str | None,
        gene_symbols: str | None,
        organism: "Organism | None",
    ) -> pd.DataFrame:
        check_choice(refine, REFINEMENTS, "refine")
        trained, cells = self._trained(), self._cells(adata)
        candidates = trained.candidates(labels, tissue)
        found = trained.probabilities(self._query(adata, layer, gene_symbols, organism), candidates, refine)
        return pd.DataFrame(found, index=cells.obs_names, columns=pd.Index(candidates.names))
