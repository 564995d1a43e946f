"""Labels by a language model alone: the baseline that a trained head, or their mixture, has to beat."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from scmpt_scverse import llm
from scmpt_scverse._checks import check_positive, list_some
from scmpt_scverse._keys import DEFAULT_KEY_ADDED, LLMKeys
from scmpt_scverse.llm._ask import check_limits
from scmpt_scverse.pp._expression import ExpressionReader
from scmpt_scverse.tl._embed import check_writable
from scmpt_scverse.tl._llm_opinions import opinions_of, write_llm_record, write_opinions
from scmpt_scverse.tl._llm_questions import DEFAULT_MAX_CALLS, ask_about
from scmpt_scverse.tl._llm_subjects import DEFAULT_N_GENES, cells_as_subjects, cluster_codes, clusters_as_subjects

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import StrPath


def annotate_with_llm(
    adata: "AnnData",
    client: llm.LLMClient,
    labels: Sequence[str],
    *,
    cluster_key: str | None = None,
    layer: str | None = None,
    gene_symbols: str | None = None,
    n_genes: int = DEFAULT_N_GENES,
    context: "str | Mapping[str, str] | None" = None,
    markers: Mapping[str, Sequence[str]] | None = None,
    unlabeled_category: str = "Unknown",
    max_calls: int | None = DEFAULT_MAX_CALLS,
    max_cost: float | None = None,
    dry_run: bool = False,
    cache_path: "StrPath | None" = None,
    key_added: str = DEFAULT_KEY_ADDED,
    seed: int = 0,
    progress: bool = True,
) -> llm.Report:
    """Have a language model choose the label of every cell, or cluster, from a list; nothing is trained.

    Parameters
    ----------
    adata
        Cells; for fewer of them pass a subset. Expression is read in chunks.
    client
        The model (:func:`scmpt_scverse.llm.get`).
    labels
        All labels that it may choose.
    cluster_key
        Column of `.obs` with clusters: one question a cluster, about its mean expression. `None` asks about each cell.
    layer, gene_symbols
        As in :func:`embed`.
    n_genes
        Genes that are shown, most expressed first.
    context, markers
        As in :func:`scmpt_scverse.llm.build_request`.
    unlabeled_category
        What is written where the model abstained.
    max_calls, max_cost
        The most requests to send, and what they may cost, in the currency of the client's price.
    dry_run
        Ask and write nothing; the report says how many calls, tokens and how much money it would take.
    cache_path
        File of answers (:class:`scmpt_scverse.llm.AnswerCache`); what is in it is not asked again.
    key_added
        Prefix of the slots.
    seed
        Passed to the model, and what the order of the candidates is drawn from.
    progress
        Show a progress bar.

    Returns
    -------
    The report. Writes

    `adata.obs["<key_added>_llm_prediction"]`
        Categorical; missing where the model was not asked or failed.
    `adata.obs["<key_added>_llm_rationale"]`
        What it wrote beside its choice, as plain text.
    `adata.obsm["<key_added>_llm_probabilities"]`
        DataFrame `(n_obs, n_labels)`; NaN where there is no answer.
    `adata.uns["scmpt"]["llm"]["<key_added>"]`
        Model, parameters, settings, counts, tokens and price.

    Raises
    ------
    KeyError
        `cluster_key`, `layer` or `gene_symbols` is not there.
    ValueError
        Fewer than two labels or one twice, a limit out of range, no gene symbols, or data that cannot be written to.
    PermissionError, ConnectionError
        As :meth:`scmpt_scverse.llm.LLMClient.answer`; answers so far are in the cache.
    """
    check_writable(adata, key_added)
    check_positive(n_genes, "n_genes")
    names = np.array([str(label) for label in labels], dtype=object)
    if len(names) < 2 or len(set(names)) < len(names):
        raise ValueError(f"Expected at least two different `labels`; found {list_some(names)}.")
    check_limits(client, max_calls, max_cost)
    if not dry_run:
        client.check()
    codes = None if cluster_key is None else cluster_codes(adata, cluster_key)
    reader = ExpressionReader(adata, layer=layer, gene_symbols=gene_symbols)
    if codes is None:
        subjects = cells_as_subjects(reader, np.arange(adata.n_obs), n_genes)
    else:
        subjects = clusters_as_subjects(reader, codes, range(int(codes.max(initial=-1)) + 1), n_genes)
    requests, answers, report = ask_about(
        subjects,
        [names.tolist()] * len(subjects.genes),
        client,
        probabilities=None,
        context=context,
        markers=markers,
        max_calls=max_calls,
        max_cost=max_cost,
        dry_run=dry_run,
        cache_path=cache_path,
        seed=seed,
        progress=progress,
    )
    if dry_run:
        return report
    keys = LLMKeys.from_prefix(key_added)
    write_opinions(adata, keys, opinions_of(subjects.of_cell, requests, answers, names, unlabeled_category))
    settings = {
        "cluster_key": cluster_key,
        "layer": layer,
        "n_genes": n_genes,
        "context": context,
        "markers": markers,
        "seed": seed,
        "labels": list(names),
    }
    write_llm_record(adata, key_added, client, answers, report, settings)
    return report
