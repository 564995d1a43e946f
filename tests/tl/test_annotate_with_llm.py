"""Labels by a language model alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anndata import AnnData
from tests._adata import LABELS_KEY, snapshot
from tests._llm import ChatServer

from scmpt_scverse import llm, tl


@pytest.fixture
def cells(pbmc: AnnData) -> AnnData:
    return pbmc[:20].copy()


def test_every_cell_gets_one_of_the_labels(cells: AnnData, server: ChatServer, tmp_path: Path) -> None:
    labels = ["T cell", "B cell/plasma", "monocyte"]
    before = snapshot(cells)
    report = tl.annotate_with_llm(cells, server.client(), labels, cache_path=tmp_path / "answers.jsonl", progress=False)
    # The server chooses the first label in alphabetical order.
    assert (cells.obs["scmpt_llm_prediction"] == "B cell/plasma").all()
    assert cells.obs["scmpt_llm_prediction"].cat.categories.tolist() == ["B cell/plasma"]
    assert cells.obs["scmpt_llm_rationale"].str.startswith("Because of ").all()
    table = cells.obsm["scmpt_llm_probabilities"]
    assert table.columns.tolist() == ["T cell", "B cell|plasma", "monocyte"]
    assert np.allclose(table.to_numpy(), [0.1, 0.8, 0.1])
    assert report.n_calls == 20
    assert cells.uns["scmpt"]["llm"]["scmpt"]["model"] == "good"
    after = snapshot(cells)
    assert isinstance(before["obs"], dict)
    assert isinstance(after["obs"], dict)
    assert {name: after["obs"][name] for name in before["obs"]} == before["obs"]
    assert after["X"] == before["X"]


def test_clusters(cells: AnnData, server: ChatServer, tmp_path: Path) -> None:
    server.forget()
    report = tl.annotate_with_llm(
        cells,
        server.client("none-fits"),
        ["T", "B"],
        cluster_key="louvain",
        unlabeled_category="?",
        cache_path=tmp_path / "answers.jsonl",
        progress=False,
    )
    assert report.n_calls == len(server.received()) == cells.obs["louvain"].nunique()
    assert (cells.obs["scmpt_llm_prediction"] == "?").all()
    assert cells.obsm["scmpt_llm_probabilities"].isna().all(axis=None)


def test_a_tiny_language_model_end_to_end(cells: AnnData, language_model: Path, tmp_path: Path) -> None:
    client = llm.TransformersClient(language_model, precision="float32", device="cpu")
    labels = sorted(set(cells.obs[LABELS_KEY]))
    path = tmp_path / "answers.jsonl"
    report = tl.annotate_with_llm(cells, client, labels, n_genes=30, cache_path=path, progress=False)
    assert (report.n_calls, report.price) == (20, 0)
    assert report.input_tokens > 20 * 100
    assert np.allclose(cells.obsm["scmpt_llm_probabilities"].sum(axis=1), 1)
    again = cells.copy()
    recorded = llm.get("recorded", path=path)
    report = tl.annotate_with_llm(again, recorded, labels, n_genes=30, cache_path=path, progress=False)
    assert (report.n_calls, report.n_cached) == (0, 20)
    assert again.obs["scmpt_llm_prediction"].tolist() == cells.obs["scmpt_llm_prediction"].tolist()


def test_labels_are_texts_and_an_older_mixture_is_removed(cells: AnnData, server: ChatServer, tmp_path: Path) -> None:
    cells.obs["scmpt_mixed_prediction"] = "of an earlier call"
    cells.obs["scmpt_mixed_confidence"] = 1.0
    labels: list[Any] = [2.0, 1.0]  # a column of integers with missing values
    tl.annotate_with_llm(cells, server.client(), labels, cache_path=tmp_path / "answers.jsonl", progress=False)
    assert (cells.obs["scmpt_llm_prediction"] == "1").all()
    assert not any("mixed" in name for name in cells.obs)


def test_dry_run_and_bad_input(cells: AnnData, server: ChatServer, tmp_path: Path) -> None:
    before = snapshot(cells)
    report = tl.annotate_with_llm(cells, server.client(), ["T", "B"], dry_run=True, progress=False)
    assert (report.n_calls, report.price) == (20, None)
    assert snapshot(cells) == before
    with pytest.raises(
        ValueError, match="Expected at least two different `labels`, none missing or blank; found 'T', 'T'"
    ):
        tl.annotate_with_llm(cells, server.client(), ["T", "T"])
    for wrong in (["T", None], ["T", " "], "TB"):
        with pytest.raises(ValueError, match="none missing or blank"):
            tl.annotate_with_llm(cells, server.client(), wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="do not fit the client 'openai': missing a required argument: 'model'"):
        tl.annotate_with_llm(cells, "openai", ["T", "B"])
    with pytest.raises(KeyError, match="No 'leiden' in `adata.obs`"):
        tl.annotate_with_llm(cells, server.client(), ["T", "B"], cluster_key="leiden")
    with pytest.raises(PermissionError, match="environment variable NOT_SET"):
        tl.annotate_with_llm(cells, server.client(api_key=None, api_key_variable="NOT_SET"), ["T", "B"])


def test_the_unlabeled_category_is_no_label_to_choose(cells: AnnData, server: ChatServer, tmp_path: Path) -> None:
    server.forget()
    options: dict[str, Any] = {"cache_path": tmp_path / "answers.jsonl", "progress": False}
    wrong: list[tuple[list[Any], dict[str, Any]]] = [
        (["T", "Unknown"], {}),
        (["T", "B"], {"unlabeled_category": "B"}),
        ([1.0, 2.0], {"unlabeled_category": 2}),
    ]
    for labels, more in wrong:
        with pytest.raises(ValueError, match="is written where it abstains; found it among"):
            tl.annotate_with_llm(cells, server.client(), labels, **more, **options)
    assert server.received() == []
