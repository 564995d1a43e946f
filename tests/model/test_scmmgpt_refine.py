"""A second opinion about labels from texts: the code is that of SCMPT, so what differs is tested here."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anndata import AnnData
from tests._adata import snapshot
from tests._zero_shot import LABELS

from scmpt_scverse import SCMMGPT, llm, pp
from scmpt_scverse.llm._base import Answers


class Oracle(llm.LLMClient):
    """Knows the type of a cell by its genes; abstains where that is no candidate."""

    model = "oracle"
    instruction = "Say."
    price = (1.0, 2.0)
    max_output_tokens = 10

    def __init__(self, adata: AnnData | None = None) -> None:
        self.asked: list[llm.Request] = []
        labels = [] if adata is None else adata.obs["cell_type"]
        sentences = [] if adata is None else pp.cell_sentences(adata)
        # As sets: the model reads genes in its own order, which decides where expression is the same.
        genes = [frozenset(sentence.split()) for sentence in sentences]
        self.truth = dict(zip(genes, labels, strict=True))

    @property
    def parameters(self) -> dict[str, Any]:
        return {"client": "oracle"}

    def answer(self, requests: Iterable[llm.Request]) -> Answers:
        for request in requests:
            data = json.loads(request.messages[1].content.removeprefix("<data>").removesuffix("</data>"))
            self.asked.append(request)
            truth = self.truth.get(frozenset(data["genes"].split()))
            if truth in request.candidates:
                chosen = tuple(float(label == truth) for label in request.candidates)
                yield request, llm.Answer("answered", chosen, "It is.", "", 7, 3, "oracle-1")
            else:
                yield request, llm.Answer("abstained", reason="does not know")


@pytest.fixture
def oracle(text_query: AnnData) -> Oracle:
    return Oracle(text_query)


def test_uncertain_cells_are_asked_about_and_mixed(
    text_model: SCMMGPT, text_query: AnnData, oracle: Oracle, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"cache_path": tmp_path / "answers.jsonl", "progress": False, "n_genes": 180}
    soft = text_model.predict(text_query, labels=LABELS, soft=True)
    truth = text_query.obs["cell_type"].to_numpy()
    text_model.annotate(text_query, LABELS)
    before = snapshot(text_query)
    dry = text_model.refine(text_query, oracle, LABELS, dry_run=True, **options)
    assert dry.n_cells == (soft.max(axis=1) < 0.9).sum() > 5
    assert not oracle.asked
    assert snapshot(text_query) == before
    report = text_model.refine(text_query, oracle, LABELS, weight=0.8, **options)
    assert report.weight == 0.8
    assert report.scores is None
    assert report.n_cells == len(oracle.asked) == dry.n_cells
    assert all(set(request.candidates) < set(LABELS) for request in oracle.asked)
    obs = text_query.obs
    answered = obs["scmmgpt_llm_prediction"].isin(LABELS).to_numpy()
    np.testing.assert_array_equal(obs["scmmgpt_llm_prediction"][answered], truth[answered])
    mixed = obs["scmmgpt_mixed_prediction"].astype(object).to_numpy()
    assert (mixed == truth).mean() > (soft.idxmax(axis=1) == truth).mean()
    asked = obs["scmmgpt_llm_prediction"].notna().to_numpy()
    np.testing.assert_array_equal(mixed[~asked], soft.idxmax(axis=1)[~asked])
    assert set(text_query.obsm["scmmgpt_llm_probabilities"]) == set(LABELS)
    assert text_query.uns["scmpt"]["llm"]["scmmgpt"]["model"] == "oracle"


def test_the_weight_is_fitted_on_labels_in_any_words(
    text_model: SCMMGPT, text_query: AnnData, oracle: Oracle, tmp_path: Path
) -> None:
    words = text_query.obs["cell_type"].replace({"B cell": "B lymphocytes", "hepatocyte": "no such thing"})
    words.iloc[::2] = "Unknown"
    text_query.obs["mine"] = words
    options: dict[str, Any] = {"cache_path": tmp_path / "answers.jsonl", "progress": False, "n_genes": 180}
    options["confidence_below"] = 1.0
    report = text_model.refine(text_query, oracle, LABELS, labels_key="mine", **options)
    assert report.weight is not None
    assert report.weight > 0.5
    assert report.scores is not None
    n_labelled = int((~words.isin(["Unknown", "no such thing"])).sum())
    record = json.loads(text_query.uns["scmpt"]["llm"]["scmmgpt"]["settings"])
    assert record["n_judged"] <= n_labelled
    assert record["n_judged"] > 0.8 * n_labelled
    assert report.scores.loc["language model"].iloc[0] >= report.scores.loc["head"].iloc[0]


def test_clusters(text_model: SCMMGPT, text_query: AnnData, oracle: Oracle, tmp_path: Path) -> None:
    text_query.obs["cluster"] = text_query.obs["cell_type"].map({name: f"c{n}" for n, name in enumerate(LABELS)})
    options: dict[str, Any] = {"cache_path": tmp_path / "answers.jsonl", "progress": False, "weight": 0.5}
    options |= {"cells": "clusters", "cluster_key": "cluster", "confidence_below": 1.0}
    report = text_model.refine(text_query, oracle, LABELS, **options)
    assert report.n_cells == len(oracle.asked) == 4
    text_query.obs["x_llm_prediction"] = "a"
    options |= {"cluster_key": "x_llm_prediction", "key_added": "x"}
    with pytest.raises(ValueError, match="which is read"):
        text_model.refine(text_query, oracle, LABELS, **options)


def test_refusals_before_the_query_is_read(
    text_model: SCMMGPT, text_query: AnnData, oracle: Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SCMMGPT, "_query", lambda *_: pytest.fail("the query was read"))
    for options, error, words in (
        ({}, ValueError, "Expected `weight=`.*or `labels_key=`"),
        ({"labels_key": "celltype"}, KeyError, "No 'celltype' in `adata.obs`"),
        ({"weight": 2}, ValueError, "`weight` must be a share"),
        ({"weight": 0.5, "refine": "more"}, ValueError, "Unknown `refine='more'`"),
        ({"weight": 0.5, "labels": ["B cell"]}, ValueError, "at least two labels"),
        ({"weight": 0.5, "candidates": 1}, ValueError, "`candidates` must be at least 2"),
        ({"weight": 0.5, "n_genes": 0}, ValueError, "`n_genes` must be"),
        ({"weight": 0.5, "cells": "all"}, ValueError, "Unknown `cells='all'`"),
        ({"weight": 0.5, "cells": "clusters"}, ValueError, "belong together"),
        ({"weight": 0.5, "key_added": " "}, ValueError, "`key_added` must be"),
        ({"weight": 0.5, "client": None}, TypeError, "needs a `client`"),
    ):
        given: dict[str, Any] = {"client": oracle, "labels": LABELS, **options}
        with pytest.raises(error, match=words):
            text_model.refine(text_query, **given)
    assert not oracle.asked
