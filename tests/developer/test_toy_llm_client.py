"""The example of `docs/developer/llm_clients.md` keeps the contract and works wherever a client does."""

import importlib.util
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from anndata import AnnData
from tests._adata import LABELS_KEY
from tests._distribution import install
from tests.contracts.test_llm_clients import LLMClientContract

from scmpt_scverse import SCMPT, llm, tl
from scmpt_scverse.llm import CLIENTS

EXAMPLES = Path(__file__).parents[2] / "docs" / "developer" / "examples"
LABELS = ["B cell", "Monocyte", "T cell"]


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("toy_llm_client", EXAMPLES / "toy_llm_client.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "toy_llm_client", module)  # pickle looks classes up there
    spec.loader.exec_module(module)
    return module


class TestToyClient(LLMClientContract):
    @pytest.fixture
    def build(self, toy: ModuleType) -> Callable[[], llm.LLMClient]:
        return partial(llm.get, toy.MarkerOverlapClient, markers={**toy.MARKERS, "B cell": ["CD79A", "CD74"]})


@pytest.fixture
def installed(toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the client, registered by the metadata of an installed package."""
    points = "[scmpt_scverse.llm]\nmarker_overlap = toy_llm_client:MarkerOverlapClient\n"
    install(tmp_path / "site", monkeypatch, points, name="toy-plugin")
    return "marker_overlap"


def test_annotates_by_name_class_and_instance(toy: ModuleType, installed: str, pbmc: AnnData, tmp_path: Path) -> None:
    cells = pbmc[:60].copy()
    for number, client in enumerate([installed, toy.MarkerOverlapClient, toy.MarkerOverlapClient()]):
        path = tmp_path / f"answers_{number}.jsonl"
        report = tl.annotate_with_llm(
            cells, client, LABELS, n_genes=200, cache_path=path, key_added=f"toy{number}", progress=False
        )
        assert report.n_calls == 60
    predicted = cells.obs["toy0_llm_prediction"].astype(str)
    for number in (1, 2):
        assert predicted.tolist() == cells.obs[f"toy{number}_llm_prediction"].astype(str).tolist()
    # Real cells: monocytes show LYZ and S100A9, B cells MS4A1 or CD79A.
    is_monocyte = cells.obs[LABELS_KEY].astype(str).str.contains("Monocyte")
    assert (predicted[is_monocyte] == "Monocyte").mean() > 0.8
    assert set(CLIENTS.names()) == {"openai", "transformers", "recorded", "marker_overlap"}


def test_is_a_second_opinion_for_a_model(toy: ModuleType, trained: SCMPT, pbmc: AnnData, tmp_path: Path) -> None:
    query = pbmc[1::5].copy()
    labels = {"CD14+ Monocyte": ["LYZ", "S100A9"], "CD19+ B": ["CD79A", "MS4A1"]}
    client = toy.MarkerOverlapClient(labels)
    report = trained.refine(query, client, cache_path=tmp_path / "answers.jsonl", weight=0.5, progress=False)
    assert report.n_calls > 0
    assert report.n_calls == report.n_abstained + int(
        np.isfinite(query.obsm["scmpt_llm_probabilities"]).all(axis=1).sum()
    )
