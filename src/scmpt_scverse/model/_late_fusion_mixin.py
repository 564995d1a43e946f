"""A second opinion: ask a language model where the head is unsure, and mix what both say."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from scmpt_scverse import llm, metrics
from scmpt_scverse._categories import as_categorical
from scmpt_scverse._checks import check_choice, check_positive, check_share
from scmpt_scverse._keys import DEFAULT_KEY_ADDED, LLMKeys
from scmpt_scverse.llm._ask import check_limits
from scmpt_scverse.llm._late_fusion import mix_cross_fitted
from scmpt_scverse.model._embedding_mixin import rows_of
from scmpt_scverse.model._fields import category_codes
from scmpt_scverse.model._prediction_mixin import PredictionMixin, cells_digest
from scmpt_scverse.model._unsure import cells_by_confidence, most_probable, uncertain_clusters
from scmpt_scverse.tl._embed import check_writable
from scmpt_scverse.tl._llm_opinions import Opinions, opinions_of, write_llm_record, write_opinions
from scmpt_scverse.tl._llm_questions import DEFAULT_MAX_CALLS, ask_about
from scmpt_scverse.tl._llm_subjects import DEFAULT_N_GENES, cluster_codes

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import BoolArray, FloatArray, IntArray, StrPath

_WAYS = ("uncertain", "clusters")


class LateFusionMixin(PredictionMixin):
    """Late fusion of the head with a language model."""

    def refine(
        self,
        adata: "AnnData | None" = None,
        client: llm.LLMClient | None = None,
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
        seed: int = 0,
        progress: bool = True,
    ) -> llm.Report:
        """Ask a language model about cells of which the head is unsure, and mix both opinions.

        Parameters
        ----------
        adata
            Cells, as for :meth:`predict`; `None` takes the data that the model was made with.
        client
            The language model (:func:`scmpt_scverse.llm.get`).
        candidates
            How many of the head's most probable labels it chooses among.
        cells
            `"uncertain"`: the cells whose confidence is below `confidence_below`, without those that the head was
            trained on; `"clusters"`: one question for each cluster of `cluster_key` whose mean probabilities are that
            uncertain; or row numbers or a mask, whatever their confidence.
        cluster_key
            Column of `.obs` with clusters.
        confidence_below
            Confidence from which on nobody is asked, in [0, 1].
        max_calls, max_cost
            The most requests to send, the least certain first, and what they may cost, in the currency of the client's
            price.
        dry_run
            Ask and write nothing; the report says how many calls, tokens and how much money it would take.
        n_genes
            Genes that are shown, most expressed first.
        context, markers
            As in :func:`scmpt_scverse.llm.build_request`.
        show_probabilities
            Show the head's probabilities of the candidates.
        weight
            Share of the language model in the mixture, in [0, 1]. `None` fits it on the labelled cells among those
            asked about, without those that the head was trained on; fit it on labelled cells, and pass it on
            (`report.weight`) for a query without labels.
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
        The report. Its `scores` compare head, language model and mixture on the labelled cells among those asked about,
        where there are any; where the weight was fitted, each cell is mixed there by a weight fitted without it. Writes

        `adata.obs["<key_added>_llm_prediction"]`
            Categorical: the language model's choice, the unlabeled category where it abstained; missing where it was
            not asked or failed.
        `adata.obs["<key_added>_llm_rationale"]`
            What it wrote beside its choice, as plain text.
        `adata.obsm["<key_added>_llm_probabilities"]`
            DataFrame `(n_obs, n_labels)`, 0 for labels that were no candidates; NaN where there is no answer.
        `adata.obs["<key_added>_mixed_prediction"]`, `adata.obs["<key_added>_mixed_confidence"]`
            The label of the mixture and its probability; the head's where there is no answer.
        `adata.uns["scmpt"]["llm"]["<key_added>"]`
            Model, parameters, settings, counts, tokens, price and weight.

        What :meth:`annotate` writes is not touched.

        Raises
        ------
        RuntimeError, KeyError
            As :meth:`predict`; also a missing `cluster_key`.
        TypeError
            No client, or `cells` are neither rows nor a mask.
        ValueError
            As :meth:`predict`; an option is out of range, or there is no labelled cell to fit a weight on.
        PermissionError, ConnectionError
            As :meth:`scmpt_scverse.llm.LLMClient.answer`; answers so far are in the cache.
        """
        self._check_if_trained(warn=False)
        adata = self._adata_or_own(adata)
        check_writable(adata, key_added)
        client = _checked(client, candidates, confidence_below, n_genes, weight, cells, cluster_key)
        check_limits(client, max_calls, max_cost)
        if not dry_run:
            client.check()
        codes = None if cluster_key is None else cluster_codes(adata, cluster_key)
        reader = self._gene_reader(adata)
        head = self._probabilities(adata, np.arange(adata.n_obs), None)
        is_trained_on = self._is_trained_on(adata)
        truth = self._truth(adata, is_trained_on)
        if codes is not None:
            subjects = uncertain_clusters(reader, head, codes, confidence_below, n_genes)
        elif isinstance(cells, str):
            is_unsure = head.max(axis=1) < confidence_below  # NaN, of cells that cannot be read, is not
            subjects = cells_by_confidence(reader, head, np.flatnonzero(is_unsure & ~is_trained_on), n_genes)
        else:
            subjects = cells_by_confidence(reader, head, rows_of(adata, cells), n_genes)
        is_judged = (truth >= 0) & (subjects.of_cell >= 0)
        if weight is None and subjects.genes and not is_judged.any() and not dry_run:
            raise ValueError(
                "Expected labelled cells, not trained on, among those to ask about, to fit the weight of the language "
                "model on; found none. Pass `weight=`, such as the one that was fitted on other, labelled cells."
            )
        places, shown = most_probable(head, subjects, candidates)
        requests, answers, report = ask_about(
            subjects,
            [self.labels[of_one].tolist() for of_one in places],
            client,
            probabilities=shown if show_probabilities else None,
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
        opinions = opinions_of(subjects.of_cell, requests, answers, self.labels, self.unlabeled_category)
        is_judged &= opinions.is_given
        fitted, scores = self._judge(head, opinions, truth, np.flatnonzero(is_judged), weight, seed)
        report = replace(report, weight=fitted, scores=scores)
        keys = LLMKeys.from_prefix(key_added)
        mixed = llm.mix_probabilities(head, opinions.probabilities, fitted)
        write_opinions(adata, keys, opinions)
        adata.obs[keys.mixed_prediction] = as_categorical(self._decode(mixed), self._categories)
        adata.obs[keys.mixed_confidence] = mixed.max(axis=1)  # NaN where the row is NaN
        settings = {
            "cells": cells if isinstance(cells, str) else "given",
            "cluster_key": cluster_key,
            "candidates": candidates,
            "confidence_below": confidence_below,
            "n_genes": n_genes,
            "context": context,
            "markers": markers,
            "show_probabilities": show_probabilities,
            "weight": "fitted" if weight is None else "given",
            "n_judged": int(is_judged.sum()),
            "seed": seed,
        }
        write_llm_record(adata, key_added, client, answers, report, settings)
        return report

    def _judge(
        self,
        head: "FloatArray",
        opinions: Opinions,
        truth: "IntArray",
        rows: "IntArray",
        weight: float | None,
        seed: int,
    ) -> "tuple[float, pd.DataFrame | None]":
        """The weight, fitted if `None`, and how head, language model and mixture do on labelled cells."""
        if len(rows) == 0:
            return (0.0 if weight is None else weight), None
        both = head[rows], opinions.probabilities[rows]
        if weight is None:
            mixed, weight = mix_cross_fitted(*both, truth[rows], seed=seed), llm.fit_weight(*both, truth[rows])
        else:
            mixed = llm.mix_probabilities(*both, weight)
        predictions = {
            "head": self._decode(head[rows]),
            "language model": opinions.prediction[rows],
            "mixture": self._decode(mixed),
        }
        return weight, metrics.bootstrap_metrics(self.labels[truth[rows]], predictions, seed=seed)

    def _is_trained_on(self, adata: "AnnData") -> "BoolArray":
        is_trained_on = np.zeros(adata.n_obs, dtype=bool)
        if cells_digest(adata) == self.training_digest_:
            is_trained_on[self.trained_on_] = True
        return is_trained_on

    def _truth(self, adata: "AnnData", is_trained_on: "BoolArray") -> "IntArray":
        """Code of the label of each cell; -1 without label, and where the head knows the answer from training."""
        codes = category_codes(adata, self.registry["setup_args"]["labels_key"], self._categories)
        return np.where(is_trained_on | (codes == len(self.labels)), -1, codes)


def _checked(
    client: llm.LLMClient | None,
    candidates: int,
    confidence_below: float,
    n_genes: int,
    weight: float | None,
    cells: Any,
    cluster_key: str | None,
) -> llm.LLMClient:
    """The client; an error for options that cannot be meant."""
    if not isinstance(client, llm.LLMClient):
        raise TypeError(
            f"`refine` needs a client, such as `scmpt_scverse.llm.get('openai', model=...)`; found {client!r}."
        )
    check_positive(candidates, "candidates")
    if candidates < 2:
        raise ValueError("`candidates` must be at least 2, so that there is a choice; found 1.")
    check_share(confidence_below, "confidence_below")
    check_positive(n_genes, "n_genes")
    if weight is not None:
        check_share(weight, "weight")
    if isinstance(cells, str):
        check_choice(cells, _WAYS, "cells")
    if (cluster_key is None) == (isinstance(cells, str) and cells == "clusters"):
        raise ValueError(
            "`cluster_key` and `cells='clusters'` belong together; found "
            f"`cluster_key={cluster_key!r}` with {'`cells=' + repr(cells) + '`' if isinstance(cells, str) else 'rows'}."
        )
    return client
