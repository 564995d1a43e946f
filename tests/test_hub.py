"""Models are sent to the hub and fetched from it by the real client, against a server on this machine."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests._hub_server import HubServer, running_hub

from scmpt_scverse._hub import fetched, repository_of, send

FILES = ["README.md", "model.json", "model.safetensors"]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    client = pytest.importorskip("huggingface_hub")
    with running_hub() as server:
        template = client.constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(client.constants.ENDPOINT, server.url)
        monkeypatch.setattr(client.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(client.constants, "ENDPOINT", server.url)
        monkeypatch.setattr(client.hf_api.api, "endpoint", server.url)
        monkeypatch.setattr(client.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        yield server


@pytest.fixture
def model(saved: Path, tmp_path: Path) -> Path:
    """A saved model with a card, and data beside it that are nobody's business."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in FILES[1:]:
        (folder / name).write_bytes((saved / name).read_bytes())
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Mine\n")
    (folder / "adata.h5ad").write_bytes(b"patients")
    return folder


def sent(model: Path, place: "str | Path") -> str:
    return send(model, place, private=True, token="hf_token", message="A model")


def test_a_repository_gives_back_what_it_got(hub: HubServer, model: Path) -> None:
    assert sent(model, "lab/blood") == f"{hub.url}/lab/blood/commit/{'a' * 40}"
    assert sorted(hub.repositories["lab/blood"]) == FILES, "data of the user stay here"
    folder = fetched("hf:lab/blood")
    assert folder != model
    assert [(folder / name).read_bytes() for name in FILES] == [(model / name).read_bytes() for name in FILES]


def test_what_is_fetched_cannot_be_a_program(hub: HubServer, model: Path) -> None:
    sent(model, "lab/blood")
    hub.repositories["lab/blood"] |= {"model.pt": b"pickle", "setup.py": b"import os", "tokenizer.json": b"{}"}
    folder = fetched("lab/blood")
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert not any("model.pt" in request or "setup.py" in request for request in hub.seen)


def test_a_folder_gives_back_what_it_got(model: Path, tmp_path: Path) -> None:
    place = tmp_path / "shared" / "blood"
    assert sent(model, place) == str(place)
    assert sorted(path.name for path in place.iterdir()) == FILES
    (model / "README.md").write_text("new")
    sent(model, place)
    assert (place / "README.md").read_text() == "new"
    assert fetched(place) == place


def test_a_folder_with_something_else_is_left_alone(model: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").write_text("years of work")
    with pytest.raises(FileExistsError, match=r"found 'mine', 'thesis\.docx'\. Pass another path"):
        sent(model, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "thesis.docx"]


def test_no_such_model(hub: HubServer) -> None:
    with pytest.raises(OSError, match="Could not fetch the model 'lab/none'.*Check the name and the network"):
        fetched("lab/none")
    hub.repositories["lab/other"] = {"README.md": b"# Something else"}
    with pytest.raises(ValueError, match="Expected a model of this package in the repository 'lab/other'; found"):
        fetched("lab/other")


def test_a_connection_that_breaks(hub: HubServer, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent(model, "lab/blood")
    hub.broken = {"model.safetensors"}
    monkeypatch.setattr("time.sleep", lambda _: None)  # between the client's attempts
    with pytest.raises(OSError, match="Could not fetch the model 'lab/blood' \\(peer closed connection"):
        fetched("lab/blood")
    hub.broken = set()
    assert (fetched("lab/blood") / "model.safetensors").read_bytes() == (model / "model.safetensors").read_bytes()


def test_no_network(hub: HubServer, model: Path) -> None:
    hub.server_close()
    with pytest.raises(OSError, match="Could not send the model to 'lab/blood'.*pass the path of a folder"):
        sent(model, "lab/blood")
    with pytest.raises(OSError, match="Could not fetch the model 'lab/blood'"):
        fetched("lab/blood")


def test_a_model_of_the_future_is_refused(hub: HubServer, model: Path) -> None:
    content = json.loads((model / "model.json").read_text())
    (model / "model.json").write_text(json.dumps(content | {"format": 99}))
    sent(model, "lab/blood")
    with pytest.raises(ValueError, match="found 99. Install the version of scmpt-scverse that wrote it"):
        fetched("lab/blood")


def test_what_is_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert repository_of("lab/blood") == "lab/blood"
    (tmp_path / "lab" / "blood").mkdir(parents=True)
    assert repository_of("lab/blood") is None
    assert repository_of("hf:lab/blood") == "lab/blood"
    assert repository_of(Path("hf:lab/blood")) == "lab/blood"  # as a command line makes of it
    for folder in ("blood", "./lab", "../x", "a/b/c", "/lab/blood", Path("new/one")):
        assert repository_of(folder) is None
    for wrong in ("hf:blood", "hf:", "hf:a/b/c", "hf:a/b?x"):
        with pytest.raises(ValueError, match="Expected a repository such as 'hf:org/name'"):
            repository_of(wrong)
    with pytest.raises(ValueError, match="`revision` is of a repository"):
        fetched(tmp_path, revision="v1")
