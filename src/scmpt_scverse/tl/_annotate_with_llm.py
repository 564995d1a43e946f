"""Labels from a language model alone: the baseline for a classifier, and for the mixture of both."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from scmpt_scverse import llm
from scmpt_scverse._checks import check_cells, list_some
from scmpt_scverse._labels import label_text, labels_or
from scmpt_scverse._slots import DEFAULT_KEY_ADDED, Slot
from scmpt_scverse.llm import DEFAULT_MAX_CALLS, DEFAULT_N_GENES, AskOptions, ask_about
from scmpt_scverse.pp import HUMAN, ExpressionReader, Organism
from scmpt_scverse.tl._second_opinion import (
    cells_as_subjects,
    check_second_opinion,
    cluster_codes,
    clusters_as_subjects,
    write_second_opinion,
)

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import StrArray, StrPath


def annotate_with_llm(
    adata: "AnnData",
    client: str | type[llm.LLMClient] | llm.LLMClient,
    labels: Sequence[str],
    *,
    cluster_key: str | None = None,
    layer: str | None = None,
    gene_symbols: str | None = None,
    organism: Organism = HUMAN,
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
        Cells; pass a subset to ask about fewer. Expression is read in chunks.
    client
        The language model, from :func:`scmpt_scverse.llm.get`; or a name or class that needs no options.
    labels
        Labels that it may choose, at least two.
    cluster_key
        Column of `.obs` with clusters: one question per cluster, about its mean expression. `None` asks about each
        cell.
    layer, gene_symbols, organism
        As in :func:`embed`.
    n_genes
        Genes per question, most expressed first.
    context
        Tissue, condition, species and the like; sent unchanged.
    markers
        Label to marker genes; those of `labels` are sent unchanged.
    unlabeled_category
        Label to write where the model abstained.
    max_calls, max_cost
        Maximum number of requests, and maximum cost in the currency of the client's price; `None` for no limit.
        Questions beyond a limit are left out.
    dry_run
        Send and write nothing; the report gives the calls, tokens and price that the run would take.
    cache_path
        File of answers, one JSON object per line; questions in it are not asked again. `None` uses the one in the
        cache folder.
    key_added
        Prefix of the slots; a mixture that :meth:`SCMPT.refine` wrote under this prefix is removed.
    seed
        Passed to the model; it also determines the order of the candidates.
    progress
        Show a progress bar.

    Returns
    -------
    The report. Writes

    `adata.obs["<key_added>_llm_prediction"]`
        Categorical; missing where the model was not asked or failed.
    `adata.obs["<key_added>_llm_rationale"]`
        Rationale of the model, as plain text; empty where there is none.
    `adata.obsm["<key_added>_llm_probabilities"]`
        DataFrame `(n_obs, n_labels)`; NaN where the model abstained or did not answer.
    `adata.uns["scmpt"]["llm"]["<key_added>"]`
        Model, parameters, settings, counts, tokens and price.

    Raises
    ------
    KeyError
        `cluster_key`, `layer` or `gene_symbols` does not exist.
    TypeError
        `adata` is not an AnnData, or `client` is not a client or needs options.
    ValueError
        Fewer than two labels, a repeated or missing one, or `unlabeled_category` among them; a limit out of range, or
        `max_cost` for a client without a price; expression that cannot be read, as in :func:`embed`; or data that
        cannot be written to.
    PermissionError, ConnectionError
        As in :meth:`scmpt_scverse.llm.LLMClient.answer`; answers so far are in the cache.
    OSError
        The file of answers cannot be written.
    """
    check_cells(adata)
    labels = [labels] if isinstance(labels, str) else list(labels)
    check_second_opinion(adata, key_added, () if cluster_key is None else (Slot("obs", cluster_key),), labels)
    unlabeled_category = label_text(unlabeled_category)
    names = _checked_candidates(labels, unlabeled_category)
    client = llm.get(client)
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
    options.check_client(client)
    codes = None if cluster_key is None else cluster_codes(adata, cluster_key)
    reader = ExpressionReader(adata, layer=layer, gene_symbols=gene_symbols, organism=organism)
    if codes is None:
        subjects = cells_as_subjects(reader, np.arange(adata.n_obs), n_genes)
    else:
        subjects = clusters_as_subjects(reader, codes, np.arange(codes.max(initial=-1) + 1), n_genes)
    opinion = ask_about(client, subjects, names, options, abstention=unlabeled_category)
    if not dry_run:
        settings = {
            **options.content,
            "cluster_key": cluster_key,
            "layer": layer,
            "organism": reader.organism,
            "labels": names.tolist(),
        }
        write_second_opinion(adata, key_added, opinion, settings)
    return opinion.report


def _checked_candidates(labels: Sequence[str], unlabeled_category: str) -> "StrArray":
    """The labels to choose from, as text."""
    names = labels_or([labels] if isinstance(labels, str) else list(labels), "")
    if len(names) < 2 or len(set(names)) < len(names) or "" in names:
        raise ValueError(
            f"Expected at least two different `labels`, none missing or blank; found {list_some(names)}. Pass every "
            "label that occurs, once."
        )
    if unlabeled_category in names:
        raise ValueError(
            f"`labels` are what the model chooses among, and {unlabeled_category!r} is written where it abstains; "
            f"found it among {list_some(names)}. Remove it from `labels`, or pass another `unlabeled_category=`."
        )
    return names
