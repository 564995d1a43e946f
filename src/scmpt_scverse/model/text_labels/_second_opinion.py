"""A second opinion about labels from texts: the method `refine` of `SCMMGPT`."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
import pandas as pd

from scmpt_scverse import llm
from scmpt_scverse._checks import check_choice, check_key
from scmpt_scverse._labels import labels_or
from scmpt_scverse._slots import DEFAULT_TEXT_KEY_ADDED, Slot
from scmpt_scverse.evaluation import decode
from scmpt_scverse.llm import DEFAULT_MAX_CALLS, DEFAULT_N_GENES, AskOptions
from scmpt_scverse.modalities import ExpressionSource
from scmpt_scverse.tl import Judged, Question, second_opinion
from scmpt_scverse.zero_shot import REFINEMENTS, UNKNOWN, Labels, Query, Refine, TextModel, matching_candidates

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import BoolArray, IntArray, StrPath
    from scmpt_scverse.pp import Organism
    from scmpt_scverse.tl import Judged, Question, second_opinion

from scmpt_scverse.zero_shot import Candidates


class _TextLabelModel(Protocol):
    """What a model has to offer for a second opinion about its labels from texts."""

    @property
    def _unlabeled_names(self) -> list[str]: ...
    def _cells(self, adata: "AnnData | None") -> "AnnData": ...
    def _query(
        self, adata: "AnnData | None", layer: str | None, gene_symbols: str | None, organism: "Organism | None"
    ) -> Query: ...
    def _own_data(self) -> "AnnData | None": ...
    def _read_slots(self) -> tuple[Slot, ...]: ...
    def _source(
        self, adata: "AnnData", layer: str | None, gene_symbols: str | None, organism: "Organism | None"
    ) -> ExpressionSource: ...
    def _trained(self) -> TextModel: ...


def refine_text_labels(
    self: "_TextLabelModel",
    adata: "AnnData | None" = None,
    client: str | type[llm.LLMClient] | llm.LLMClient | None = None,
    labels: "Labels | None" = None,
    *,
    tissue: str | None = None,
    refine: Refine = "self-train",
    labels_key: str | None = None,
    candidates: int = 3,
    cells: "Literal['uncertain', 'clusters'] | Sequence[int] | IntArray | BoolArray" = "uncertain",
    cluster_key: str | None = None,
    confidence_below: float = 0.9,
    max_calls: int | None = DEFAULT_MAX_CALLS,
    max_cost: float | None = None,
    dry_run: bool = False,
    n_genes: int = DEFAULT_N_GENES,
    context: "str | Mapping[str, str] | None" = None,
    markers: Mapping[str, Sequence[str]] | None = None,
    show_probabilities: bool = True,
    weight: float | None = None,
    cache_path: "StrPath | None" = None,
    key_added: str = DEFAULT_TEXT_KEY_ADDED,
    layer: str | None = None,
    gene_symbols: str | None = None,
    organism: "Organism | None" = None,
    seed: int = 0,
    progress: bool = True,
) -> llm.Report:
    """Ask a language model about cells on which the model is unsure, and mix its answers with the predictions.

    Parameters
    ----------
    adata, labels, tissue, refine, layer, gene_symbols, organism
        As for :meth:`predict`; pass what :meth:`annotate` was given.
    client, candidates, cells, cluster_key, confidence_below, max_calls, max_cost, dry_run
        As for :meth:`scmpt_scverse.SCMPT.refine`.
    n_genes, context, markers, show_probabilities, cache_path, seed, progress
        As for :meth:`scmpt_scverse.SCMPT.refine`.
    labels_key
        Column of `.obs` with true labels of some of the cells, in any words, to fit the weight on. Values that
        stand for no label in :meth:`setup_anndata`, and labels that mean none or several of the candidates, are
        left out.
    weight
        Share of the language model in the mixture, in [0, 1]. `None` fits it on the cells that `labels_key` labels,
        among those asked about. One of both is needed.
    key_added
        Prefix of the slots.

    Returns
    -------
    The report. Writes what :meth:`scmpt_scverse.SCMPT.refine` does, `"Unknown"` for cells of which nothing is
    known; what :meth:`annotate` writes stays as it is.

    Raises
    ------
    RuntimeError, ValueError
        As :meth:`predict`; also where an option is out of range, or neither `weight` nor `labels_key` is given.
    KeyError
        `cluster_key` or `labels_key` is missing.
    TypeError
        `client` is not a client, or cannot be made without options; or `cells` are neither rows nor a mask.
    PermissionError, ConnectionError
        As :meth:`scmpt_scverse.llm.LLMClient.answer`; answers so far are in the cache.
    """
    check_choice(refine, REFINEMENTS, "refine")
    data, trained = self._cells(adata), self._trained()
    if weight is None and labels_key is None and not dry_run:
        raise ValueError(
            "Expected `weight=`, the share of the language model in the mixture, or `labels_key=`, a column with "
            "labels of some cells to fit it on; found neither. Pass one, such as `weight=0.5`."
        )
    reads = list(self._read_slots())
    if labels_key is not None:
        check_key(labels_key, data.obs.columns, "adata.obs")
        reads.append(Slot("obs", labels_key))
    options = AskOptions(n_genes, context, markers, max_calls, max_cost, dry_run, cache_path, seed, progress)
    chosen = trained.candidates(labels, tissue)
    question = Question.checked(
        data,
        client,
        options,
        chosen.names,
        unlabeled=UNKNOWN,
        reads=reads,
        cells=cells,
        cluster_key=cluster_key,
        candidates=candidates,
        confidence_below=confidence_below,
        show_probabilities=show_probabilities,
        weight=weight,
        key_added=key_added,
    )
    judged = Judged(
        self._source(data, layer, gene_symbols, organism).reader(data),
        trained.probabilities(self._query(adata, layer, gene_symbols, organism), chosen, refine),
        _true_candidates(self, data, labels_key, chosen),
        np.zeros(data.n_obs, dtype=bool),
        lambda soft: decode(pd.DataFrame(soft, columns=pd.Index(chosen.names)), UNKNOWN),
    )
    return second_opinion(data, question, judged)


def _true_candidates(
    model: "_TextLabelModel", adata: "AnnData", labels_key: str | None, candidates: "Candidates"
) -> "IntArray":
    """Number of the candidate that the label of each cell means, -1 where it has none; shape `(n_obs,)`."""
    # Labels that the model was trained on are no test of it.
    if labels_key is None or adata is model._own_data():
        return np.full(adata.n_obs, -1)
    truth = labels_or(adata.obs[labels_key], model._unlabeled_names)
    meant = matching_candidates(list(dict.fromkeys(truth)), candidates)
    numbers = {name: found[0] for name, found in meant.items() if len(found) == 1}
    numbers.pop(model._unlabeled_names[0], None)
    return np.array([numbers.get(name, -1) for name in truth])
