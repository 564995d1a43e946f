"""A second opinion: who is asked about, what is written, what is not touched, and what leaves the machine."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anndata import AnnData, read_h5ad
from tests._adata import LABELS_KEY, snapshot
from tests._llm import KEY, ChatServer
from tests._model import probabilities

from scmpt_scverse import SCMPT, llm
from scmpt_scverse.llm._base import Answers

LLM_SLOTS = {"scmpt_llm_prediction", "scmpt_llm_rationale", "scmpt_mixed_prediction", "scmpt_mixed_confidence"}


class Oracle(llm.LLMClient):
    """Knows the true label by the genes of a cell, says it on most questions, abstains on some and fails on others."""

    model = "oracle"
    instruction = "Say."
    price = (1.0, 2.0)
    max_output_tokens = 10

    def __init__(self, adata: AnnData | None = None, labels: Iterable[str] = ()) -> None:
        self.asked: list[dict[str, Any]] = []
        self.truth: dict[str, str] = {}
        if adata is not None:
            from scmpt_scverse import pp

            self.truth = dict(zip(pp.cell_sentences(adata, max_genes=100), labels, strict=True))

    @property
    def parameters(self) -> dict[str, Any]:
        return {"client": "oracle"}

    def answer(self, requests: Iterable[llm.Request]) -> Answers:
        for request in requests:
            data = json.loads(request.messages[1].content.removeprefix("<data>").removesuffix("</data>"))
            self.asked.append(data)
            number = len(self.asked)
            truth = self.truth.get(data["genes"], request.candidates[0])
            if number % 10 == 0:
                yield request, llm.Answer("failed", reason="bad day")
            elif number % 5 == 0 or truth not in request.candidates:
                yield request, llm.Answer("abstained", reason="does not know")
            else:
                rest = 0.02 / (len(request.candidates) - 1)
                chosen = tuple(0.98 if label == truth else rest for label in request.candidates)
                yield request, llm.Answer("answered", chosen, "It is.", "", 7, 3, "oracle-1")


@pytest.fixture
def query(pbmc: AnnData) -> AnnData:
    """140 labelled cells that the model did not see."""
    return pbmc[1::4][:140].copy()


@pytest.fixture
def oracle(query: AnnData) -> Oracle:
    return Oracle(query, query.obs[LABELS_KEY].astype(str))


def refine(model: SCMPT, adata: AnnData | None, client: llm.LLMClient, path: Path, **options: Any) -> llm.Report:
    return model.refine(adata, client, cache_path=path / "answers.jsonl", progress=False, **options)


def test_asks_where_the_head_is_unsure_and_mixes(
    trained: SCMPT, query: AnnData, oracle: Oracle, tmp_path: Path
) -> None:
    trained.annotate(query)
    head = probabilities(trained, query).to_numpy()
    report = refine(trained, query, oracle, tmp_path, confidence_below=0.9, max_calls=None)
    unsure = head.max(axis=1) < 0.9
    assert report.n_cells == len(oracle.asked) == unsure.sum()
    prediction, rationale = query.obs["scmpt_llm_prediction"], query.obs["scmpt_llm_rationale"]
    assert prediction[~unsure].isna().all()
    assert prediction.isna().sum() == (~unsure).sum() + report.n_failed
    assert (prediction == "Unknown").sum() == report.n_abstained > 0
    answered = (prediction.notna() & (prediction != "Unknown")).to_numpy()
    assert (prediction[answered].astype(str) == query.obs[LABELS_KEY][answered].astype(str)).all()
    assert (rationale[answered] == "It is.").all()
    assert (rationale[~answered] == "").all()
    # The mixture: the head's own bytes where nobody answered, the linear mixture elsewhere.
    assert report.weight is not None
    assert report.weight > 0.3
    other = query.obsm["scmpt_llm_probabilities"].to_numpy()
    assert np.isfinite(other).all(axis=1).tolist() == answered.tolist()
    mixed = np.where(answered[:, None], (1 - report.weight) * head + report.weight * other, head)
    assert (query.obs["scmpt_mixed_prediction"].astype(str) == trained.labels[mixed.argmax(axis=1)]).all()
    assert np.allclose(query.obs["scmpt_mixed_confidence"], mixed.max(axis=1))
    assert (query.obs["scmpt_mixed_confidence"].to_numpy()[~answered] == head.max(axis=1)[~answered]).all()


def test_metrics_on_the_same_cells(trained: SCMPT, query: AnnData, oracle: Oracle, tmp_path: Path) -> None:
    report = refine(trained, query, oracle, tmp_path, confidence_below=0.9)
    assert report.scores is not None
    assert report.scores.index.tolist() == ["head", "language model", "mixture"]
    given = query.obs["scmpt_llm_prediction"].notna().to_numpy()
    assert (report.scores["n_cells"] == given.sum()).all()
    truth = query.obs[LABELS_KEY].astype(str)
    for name, predicted in (
        ("head", trained.predict(query)),
        ("language model", query.obs["scmpt_llm_prediction"].astype(str).to_numpy()),
    ):
        assert report.scores.loc[name, "accuracy"] == pytest.approx((truth == predicted)[given].mean())
    assert report.scores.loc["mixture", "accuracy"] > report.scores.loc["head", "accuracy"]
    # On the cells that the weight was fitted on, which are all, the mixture is not below the head.
    assert (truth == query.obs["scmpt_mixed_prediction"].astype(str))[given].mean() >= (
        truth == trained.predict(query)
    )[given].mean()


def test_weight_0_is_the_head_bit_for_bit(trained: SCMPT, query: AnnData, oracle: Oracle, tmp_path: Path) -> None:
    trained.annotate(query)
    report = refine(trained, query, oracle, tmp_path, weight=0)
    assert report.weight == 0
    mixed, alone = query.obs["scmpt_mixed_confidence"], query.obs["scmpt_confidence"]
    assert mixed.to_numpy().tobytes() == alone.to_numpy().tobytes()
    assert query.obs["scmpt_mixed_prediction"].tolist() == query.obs["scmpt_prediction"].tolist()
    assert report.scores is not None
    assert report.scores.loc["mixture"].equals(report.scores.loc["head"])


def test_nothing_of_the_user_or_the_head_changes(
    trained: SCMPT, query: AnnData, oracle: Oracle, tmp_path: Path
) -> None:
    trained.annotate(query)
    before = snapshot(query)
    refine(trained, query, oracle, tmp_path)
    after = snapshot(query)
    for part in ("X", "var", "names"):
        assert after[part] == before[part]
    assert isinstance(after["obs"], dict)
    assert isinstance(before["obs"], dict)
    assert {name: after["obs"][name] for name in before["obs"]} == before["obs"]
    assert set(after["obs"]) - set(before["obs"]) == LLM_SLOTS
    assert isinstance(after["obsm"], dict)
    assert isinstance(before["obsm"], dict)
    assert {name: after["obsm"][name] for name in before["obsm"]} == before["obsm"]
    assert set(after["obsm"]) - set(before["obsm"]) == {"scmpt_llm_probabilities"}
    assert "embeddings" in query.uns["scmpt"]


def test_slots_and_record_survive_h5ad(trained: SCMPT, query: AnnData, oracle: Oracle, tmp_path: Path) -> None:
    report = refine(trained, query, oracle, tmp_path, context={"tissue": "blood"}, seed=3)
    refine(trained, query, oracle, tmp_path, key_added="second", weight=0.5)
    query.write_h5ad(tmp_path / "query.h5ad")
    again = read_h5ad(tmp_path / "query.h5ad")
    assert again.obs["scmpt_llm_rationale"].tolist() == query.obs["scmpt_llm_rationale"].tolist()
    assert again.obs["scmpt_llm_prediction"].isna().tolist() == query.obs["scmpt_llm_prediction"].isna().tolist()
    assert {name.replace("scmpt", "second") for name in LLM_SLOTS} <= set(again.obs)
    record = again.uns["scmpt"]["llm"]["scmpt"]
    assert (record["model"], record["client"], list(record["served_models"])) == ("oracle", "Oracle", ["oracle-1"])
    assert record["n_calls"] == report.n_calls
    assert record["input_tokens"] == report.input_tokens == 7 * (report.n_calls - report.n_abstained - report.n_failed)
    assert record["price"] == report.price
    assert record["weight"] == report.weight
    settings = json.loads(record["settings"])
    assert (settings["seed"], settings["context"], settings["weight"]) == (3, {"tissue": "blood"}, "fitted")
    assert json.loads(again.uns["scmpt"]["llm"]["second"]["settings"])["weight"] == "given"
    assert str(tmp_path) not in str(record)


def test_questions(trained: SCMPT, query: AnnData, oracle: Oracle, tmp_path: Path) -> None:
    markers = {"Dendritic": ["FCER1A"]}
    refine(trained, query, oracle, tmp_path, cells=[7, 3, 7], candidates=4, n_genes=20, markers=markers, weight=0.5)
    soft = probabilities(trained, query)
    order = sorted([3, 7], key=lambda row: soft.iloc[row].max())
    for row, asked in zip(order, oracle.asked, strict=True):
        best = soft.iloc[row].nlargest(4)
        shown = {asked["candidates"][key]: value for key, value in asked["probabilities"].items()}
        assert shown == {label: pytest.approx(value, abs=0.005) for label, value in best.items()}
        assert len(asked["genes"].split()) == 20
        assert ("markers" in asked) == ("Dendritic" in best)
    oracle.asked.clear()
    refine(trained, query, oracle, tmp_path, cells=np.arange(140) == 3, show_probabilities=False, weight=0.5)
    (asked,) = oracle.asked
    assert "probabilities" not in asked
    assert len(asked["candidates"]) == 3


def test_clusters_are_asked_about_once(trained: SCMPT, query: AnnData, oracle: Oracle, tmp_path: Path) -> None:
    query.obs["cluster"] = query.obs["louvain"].astype(str).where(np.arange(140) > 4)  # five cells are in none
    report = refine(
        trained, query, oracle, tmp_path, cells="clusters", cluster_key="cluster", confidence_below=0.95, weight=0.5
    )
    head = probabilities(trained, query)
    means = head.groupby(query.obs["cluster"], observed=True).mean()
    unsure = means.index[means.max(axis=1) < 0.95]
    assert 1 < report.n_cells == len(oracle.asked) == len(unsure) <= query.obs["cluster"].nunique()
    assert all(len(asked["candidates"]) == 3 for asked in oracle.asked)
    said = query.obs["scmpt_llm_prediction"].astype(str)
    for cluster in unsure:
        assert said[query.obs["cluster"] == cluster].nunique() == 1
    assert query.obs["scmpt_llm_prediction"][~query.obs["cluster"].isin(unsure)].isna().all()
    first = set(oracle.asked[0]["candidates"].values())
    assert first == set(means.loc[means.max(axis=1).idxmin()].nlargest(3).index)


def test_own_data_leave_out_the_cells_trained_on(trained: SCMPT, tmp_path: Path) -> None:
    own = trained.adata
    assert own is not None
    cells = own.copy()
    oracle = Oracle(cells, cells.obs[LABELS_KEY].astype(str))
    report = refine(trained, cells, oracle, tmp_path, confidence_below=1.0)
    held_out = np.setdiff1d(np.arange(cells.n_obs), trained.record.rows)
    assert report.n_cells <= len(held_out)
    asked = np.flatnonzero(cells.obs["scmpt_llm_prediction"].notna())
    assert np.isin(asked, held_out).all()
    with pytest.raises(ValueError, match="Expected labelled cells, not trained on, among those to ask about"):
        refine(trained, cells, oracle, tmp_path, cells=trained.record.rows)


def test_without_labels_a_weight_is_needed_before_anything_is_asked(
    trained: SCMPT, query: AnnData, oracle: Oracle, tmp_path: Path
) -> None:
    del query.obs[LABELS_KEY]
    with pytest.raises(ValueError, match=r"to fit the weight of the language model on; found none. Pass `weight=`"):
        refine(trained, query, oracle, tmp_path)
    assert oracle.asked == []
    report = refine(trained, query, oracle, tmp_path, weight=0.3)
    assert report.scores is None
    assert report.weight == 0.3


def test_dry_run_asks_and_writes_nothing(trained: SCMPT, query: AnnData, oracle: Oracle, tmp_path: Path) -> None:
    trained.embed(query, progress=False)
    before = snapshot(query)
    dry = refine(trained, query, oracle, tmp_path, dry_run=True)
    assert snapshot(query) == before
    assert oracle.asked == []
    assert list(tmp_path.iterdir()) == []
    assert dry.is_dry_run
    assert dry.price == pytest.approx((dry.input_tokens * 1.0 + dry.n_calls * 10 * 2.0) / 1e6)
    report = refine(trained, query, oracle, tmp_path)
    assert report.n_calls == dry.n_calls
    assert replace(dry, is_dry_run=False).n_questions == report.n_questions
    again = refine(trained, query, oracle, tmp_path, dry_run=True)
    assert again.n_calls == report.n_failed  # failures would be asked again


def test_limits_leave_out_the_surest(trained: SCMPT, query: AnnData, oracle: Oracle, tmp_path: Path) -> None:
    report = refine(trained, query, oracle, tmp_path, max_calls=8)
    assert report.n_left_out == report.n_questions - 8 > 0
    confidence = probabilities(trained, query).max(axis=1).to_numpy()
    asked = query.obs["scmpt_llm_prediction"].notna().to_numpy()
    assert asked.sum() == 8
    assert confidence[asked].max() <= np.sort(confidence)[7]


def test_nothing_to_ask(trained: SCMPT, query: AnnData, oracle: Oracle, tmp_path: Path) -> None:
    report = refine(trained, query, oracle, tmp_path, confidence_below=0.0)
    assert (report.n_cells, report.n_calls, report.weight) == (0, 0, 0)
    assert query.obs["scmpt_llm_prediction"].isna().all()
    assert query.obs["scmpt_mixed_prediction"].tolist() == trained.predict(query).tolist()


def test_cells_that_cannot_be_read_are_not_asked_about(
    trained: SCMPT, query: AnnData, oracle: Oracle, tmp_path: Path
) -> None:
    values = query.X.toarray()
    values[[2, 7]] = 0
    query.X = values
    with pytest.warns(UserWarning, match="2 of 140 cells have no expression"):
        refine(trained, query, oracle, tmp_path, cells=np.arange(10), weight=0.5)
    assert query.obs["scmpt_llm_prediction"].isna().to_numpy()[[2, 7]].all()
    assert (query.obs["scmpt_mixed_prediction"].astype(str).to_numpy()[[2, 7]] == "Unknown").all()
    assert query.obs["scmpt_mixed_confidence"].isna().to_numpy().nonzero()[0].tolist() == [2, 7]


def test_only_genes_labels_and_context_leave_the_machine(
    trained: SCMPT, query: AnnData, server: ChatServer, tmp_path: Path
) -> None:
    query.obs_names = [f"patient-{number}-barcode" for number in range(140)]
    query.obs["diagnosis"] = "a secret diagnosis"
    query.obs["cluster"] = "a secret cluster " + query.obs["louvain"].astype(str)
    query.uns["note"] = "a secret note"
    query.var["comment"] = "a secret comment"
    for options in ({}, {"cells": "clusters", "cluster_key": "cluster"}):
        server.forget()
        report = refine(trained, query, server.client(), tmp_path, context="blood", confidence_below=0.95, **options)
        received = server.received()
        assert len(received) == report.n_calls > 0
        for one in received:
            everything = json.dumps(one)
            assert "secret" not in everything.replace(KEY, "")
            assert "patient" not in everything
            body = json.loads(one["raw"])
            assert set(body) == {"model", "messages", "response_format", "temperature", "seed", "max_tokens"}
            user = body["messages"][1]["content"].removeprefix("<data>").removesuffix("</data>")
            data = json.loads(user)
            assert set(data) == {"genes", "candidates", "probabilities", "context"}
            assert set(data["genes"].split()) <= set(query.var_names)
            assert set(data["candidates"].values()) <= set(trained.labels)
            instructions = body["messages"][0]["content"]
            assert not any(gene in instructions.split() for gene in query.var_names)
    text = (tmp_path / "answers.jsonl").read_text()
    assert KEY not in text
    query.write_h5ad(tmp_path / "query.h5ad")
    assert KEY.encode() not in (tmp_path / "query.h5ad").read_bytes()


def test_a_second_run_pays_nothing(trained: SCMPT, query: AnnData, server: ChatServer, tmp_path: Path) -> None:
    first = refine(trained, query, server.client(), tmp_path, max_calls=10)
    said = query.obs["scmpt_llm_prediction"].astype(str).tolist()
    assert first.n_calls == 10
    server.forget()
    fresh = query.copy()
    second = refine(trained, fresh, server.client(), tmp_path, cells=np.flatnonzero(np.array(said) != "nan"))
    assert (second.n_calls, second.n_cached) == (0, 10)
    assert server.received() == []
    assert fresh.obs["scmpt_llm_prediction"].astype(str).tolist() == said
    assert second.weight == first.weight


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"client": None}, TypeError, "`refine` needs a `client`; found None"),
        ({"client": "oracle"}, ValueError, "Unknown `client='oracle'`"),
        ({"client": "openai"}, TypeError, "do not fit the client 'openai': missing a required argument: 'model'"),
        ({"client": 3}, TypeError, "`client` must be one of"),
        ({"candidates": 1}, ValueError, "`candidates` must be at least 2"),
        ({"confidence_below": 2}, ValueError, "`confidence_below` must be a share"),
        ({"weight": -1}, ValueError, "`weight` must be a share"),
        ({"n_genes": 0}, ValueError, "`n_genes` must be a whole number"),
        ({"cells": "unsure"}, ValueError, "Unknown `cells='unsure'`"),
        ({"cells": "clusters"}, ValueError, "`cluster_key` and `cells='clusters'` belong together"),
        ({"cluster_key": "louvain"}, ValueError, "`cluster_key` and `cells='clusters'` belong together"),
        ({"cells": "clusters", "cluster_key": "leiden"}, KeyError, "No 'leiden' in `adata.obs`"),
        ({"cells": ["a"]}, TypeError, "`cells` must be row numbers or a mask"),
        ({"max_calls": 0}, ValueError, "`max_calls` must be a whole number"),
        ({"cells": [10_000]}, IndexError, "found 10000"),
    ],
)
def test_bad_options(
    trained: SCMPT, query: AnnData, oracle: Oracle, options: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        trained.refine(query, **{"client": oracle, "progress": False, **options})
    assert oracle.asked == []
    assert "X_minilm" not in query.obsm, "options are checked before anything is embedded"


def test_untrained_model_does_not_refine(embedded: AnnData, oracle: Oracle) -> None:
    SCMPT.setup_anndata(embedded, LABELS_KEY, obsm_keys={"e": "X_pca"})
    with pytest.raises(RuntimeError, match="[Tt]rain"):
        SCMPT(embedded, fusion="concat", n_hidden=8).refine(client=oracle)
