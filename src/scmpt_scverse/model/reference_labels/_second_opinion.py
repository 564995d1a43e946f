"""A second opinion about labels of a reference: the method `refine` of `SCMPT`."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from scmpt_scverse import llm
from scmpt_scverse._slots import DEFAULT_KEY_ADDED, Slot
from scmpt_scverse.llm import DEFAULT_MAX_CALLS, DEFAULT_N_GENES, AskOptions
from scmpt_scverse.tl import Judged, Question, second_opinion

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import BoolArray, FloatArray, IntArray, StrArray, StrPath
    from scmpt_scverse.modalities import Modalities
    from scmpt_scverse.pp import Organism


class _LabelModel(Protocol):
    """What a model has to offer for a second opinion about its predictions."""

    @property
    def labels(self) -> "StrArray": ...
    @property
    def unlabeled_category(self) -> str: ...
    def _read_slots(self) -> tuple[Slot, ...]: ...
    def _check_if_trained(self, warn: bool = ...) -> Any: ...
    def _query(
        self, adata: "AnnData | None", layer: str | None, gene_symbols: str | None, organism: "Organism | None"
    ) -> "tuple[AnnData, Modalities]": ...
    def _probabilities(self, adata: "AnnData", modalities: "Modalities", rows: "IntArray") -> "FloatArray": ...
    def _label_codes(self, adata: "AnnData") -> "IntArray": ...
    def _trained_rows(self, adata: "AnnData", modalities: "Modalities") -> "IntArray": ...
    def _decode(self, probabilities: "FloatArray") -> "StrArray": ...


def refine_reference_labels(
    self: "_LabelModel",
    adata: "AnnData | None" = None,
    client: str | type[llm.LLMClient] | llm.LLMClient | None = None,
    *,
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
    key_added: str = DEFAULT_KEY_ADDED,
    layer: str | None = None,
    gene_symbols: str | None = None,
    organism: "Organism | None" = None,
    seed: int = 0,
    progress: bool = True,
) -> llm.Report:
    """Ask a language model about cells on which the model is unsure, and mix its answers with the predictions.

    Parameters
    ----------
    adata
        Cells, as for :meth:`predict`; `None` takes the data that the model was made with.
    client
        The language model, as made by :func:`scmpt_scverse.llm.get`; or a name or class that needs no options.
    candidates
        Number of most probable labels that it chooses among.
    cells
        `"uncertain"`: the cells whose confidence is below `confidence_below`, without training cells; `"clusters"`:
        one question for each cluster of `cluster_key` whose mean probabilities are that uncertain; or row numbers
        or a mask, whatever their confidence.
    cluster_key
        Column of `.obs` with clusters.
    confidence_below
        Confidence below which a cell or cluster is asked about, in [0, 1].
    max_calls, max_cost
        The most requests to send, the least certain first, and what they may cost, in the currency of the client's
        price.
    dry_run
        Ask and write nothing; the report gives the calls, tokens and price that it would take.
    n_genes
        Genes per question, most expressed first.
    context
        Tissue, condition, species and the like; sent as it is.
    markers
        Label to genes that are typical of it; only those of the candidates are sent.
    show_probabilities
        Show the model's probabilities of the candidates.
    weight
        Share of the language model in the mixture, in [0, 1]. `None` fits it on the labelled cells among those
        asked about, without training cells. For a query without labels, fit it on other, labelled cells and pass
        it on (`report.weight`).
    cache_path
        File of answers, one JSON object per line; questions in it are not asked again. `None` takes the one in the
        cache folder.
    key_added
        Prefix of the slots.
    layer, gene_symbols, organism
        As for :meth:`SCMPT.predict`.
    seed
        Passed to the language model; the order of the candidates is drawn from it.
    progress
        Show a progress bar.

    Returns
    -------
    The report. Its `scores` compare model, language model and mixture on the labelled cells among those asked
    about, where there are any; if the weight was fitted, each cell is mixed there by a weight fitted without it.
    Writes

    `adata.obs["<key_added>_llm_prediction"]`
        Categorical: the language model's choice, the unlabeled category where it abstained; missing where it was
        not asked or failed.
    `adata.obs["<key_added>_llm_rationale"]`
        Its reason, as plain text.
    `adata.obsm["<key_added>_llm_probabilities"]`
        DataFrame `(n_obs, n_labels)`, 0 for labels that were no candidates; NaN where there is no answer.
    `adata.obs["<key_added>_mixed_prediction"]`, `adata.obs["<key_added>_mixed_confidence"]`
        The label of the mixture and its probability; those of the model where there is no answer.
    `adata.uns["scmpt"]["llm"]["<key_added>"]`
        Model, parameters, settings, counts, tokens, price and weight.

    What :meth:`annotate` writes stays as it is.

    Raises
    ------
    RuntimeError, KeyError
        As :meth:`predict`; also a missing `cluster_key`.
    TypeError
        `client` is not a client, or cannot be made without options; or `cells` are neither rows nor a mask.
    ValueError
        As :meth:`predict`; an option is out of range, or there is no labelled cell to fit a weight on.
    PermissionError, ConnectionError
        As :meth:`scmpt_scverse.llm.LLMClient.answer`; answers so far are in the cache.
    """
    self._check_if_trained(warn=False)
    adata, modalities = self._query(adata, layer, gene_symbols, organism)
    options = AskOptions(
        n_genes=n_genes,
        context=context,
        markers=markers,
        max_calls=max_calls,
        max_cost=max_cost,
        dry_run=dry_run,
        cache_path=cache_path,
        seed=seed,
        progress=progress,
    )
    question = Question.checked(
        adata,
        client,
        options,
        self.labels,
        unlabeled=self.unlabeled_category,
        reads=self._read_slots(),
        cells=cells,
        cluster_key=cluster_key,
        candidates=candidates,
        confidence_below=confidence_below,
        show_probabilities=show_probabilities,
        weight=weight,
        key_added=key_added,
    )
    is_known = np.isin(np.arange(adata.n_obs), self._trained_rows(adata, modalities))
    judged = Judged(
        modalities.source.reader(adata),
        self._probabilities(adata, modalities, np.arange(adata.n_obs)),
        np.where(is_known, -1, self._label_codes(adata)),  # a training cell's label is no test of the model
        is_known,
        self._decode,
    )
    return second_opinion(adata, question, judged)
