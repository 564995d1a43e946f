"""`scgpt-human` comes from its mirror or else from Google Drive; both real clients, against servers of this machine."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from tests._drive_server import HOST, DriveServer, running_drive
from tests._hub_server import HubServer
from tests._scgpt_folder import make_scgpt_folder

from scmpt_scverse import encoders
from scmpt_scverse._folders import ENCODERS_VARIABLE
from scmpt_scverse._hashing import file_sha256
from scmpt_scverse.encoders import CARDS

MIRROR = "u-cellm/scGPT-whole-human"
FILES = ("args.json", "best_model.pt", "vocab.json")


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """A small checkpoint in the place of the real one, with its hashes."""
    folder = make_scgpt_folder(tmp_path / "published", ["CD3D", "MS4A1"])
    hashes = {name: file_sha256(folder / name) for name in FILES}
    monkeypatch.setitem(CARDS, "scgpt-human", replace(CARDS["scgpt-human"], sha256=hashes))
    monkeypatch.setenv(ENCODERS_VARIABLE, str(tmp_path / "encoders"))
    return {name: (folder / name).read_bytes() for name in FILES}


@pytest.fixture
def hub(hub: HubServer, published: dict[str, bytes]) -> HubServer:
    """The hub on this machine, with a mirror."""
    hub.repositories[MIRROR] = {**published, "README.md": b"mirror", "setup.py": b"import os"}
    return hub


@pytest.fixture
def drive(published: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[DriveServer]:
    pytest.importorskip("gdown")
    monkeypatch.setenv("HOME", str(tmp_path))  # where gdown keeps cookies
    with running_drive() as server:
        send = requests.Session.request

        def here(self: requests.Session, method: str, url: str, *args: Any, **options: Any) -> requests.Response:
            return send(self, method, url.replace(HOST, server.url), *args, **options)

        monkeypatch.setattr(requests.Session, "request", here)
        server.files = dict(published)
        yield server


def fetched(tmp_path: Path) -> dict[str, bytes]:
    """What stands in the folder of the encoder, once it can be opened."""
    assert encoders.get("scgpt-human").embedding_dim == 64
    folder = tmp_path / "encoders" / "scgpt-human"
    assert not folder.with_name("scgpt-human.partial").exists()
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_hashes_of_the_mirror_are_known() -> None:
    card = CARDS["scgpt-human"]
    assert card.mirror == MIRROR
    assert sorted(card.sha256) == sorted(FILES)
    assert all(len(digest) == 64 and int(digest, 16) for digest in card.sha256.values())


def test_the_mirror_is_asked_first(
    hub: HubServer, drive: DriveServer, published: dict[str, bytes], tmp_path: Path
) -> None:
    hub.moved = {"best_model.pt"}
    assert fetched(tmp_path) == published, "nothing but the files of the checkpoint"
    assert not drive.seen
    assert any(request.startswith("GET /moved/") for request in hub.seen)


def test_a_connection_that_drops_is_taken_up_again(
    hub: HubServer, drive: DriveServer, published: dict[str, bytes], tmp_path: Path
) -> None:
    hub.dropped = {"best_model.pt": 1}
    assert fetched(tmp_path) == published


@pytest.mark.parametrize("fault", ["gone", "cut", "wrong", "incomplete"])
def test_drive_gives_what_the_mirror_does_not(
    hub: HubServer, drive: DriveServer, published: dict[str, bytes], tmp_path: Path, fault: str
) -> None:
    if fault == "gone":
        del hub.repositories[MIRROR]
    elif fault == "cut":
        hub.broken = {"best_model.pt"}
    elif fault == "wrong":
        hub.repositories[MIRROR]["best_model.pt"] = b"somebody else's weights"
    else:
        del hub.repositories[MIRROR]["best_model.pt"]
    drive.moved = {"best_model.pt"}
    assert fetched(tmp_path) == published
    assert any(path.startswith("/download?") for path in drive.seen)


def test_no_wrong_file_is_used_wherever_it_comes_from(
    hub: HubServer, drive: DriveServer, published: dict[str, bytes], tmp_path: Path
) -> None:
    del hub.repositories[MIRROR]
    drive.files["best_model.pt"] = published["best_model.pt"][:-1] + b"?"
    with pytest.raises(OSError, match=r"differs from what was published in best_model\.pt.*try again.*On a mach"):
        encoders.get("scgpt-human")
    assert not (tmp_path / "encoders" / "scgpt-human").exists()
    drive.files["best_model.pt"] = published["best_model.pt"]
    assert fetched(tmp_path) == published, "the wrong file is not resumed from"


def test_a_drive_that_drops_is_resumed(
    hub: HubServer, drive: DriveServer, published: dict[str, bytes], tmp_path: Path
) -> None:
    del hub.repositories[MIRROR]
    drive.dropped = {"best_model.pt": 1}
    with pytest.raises(OSError, match="Could not download the encoder 'scgpt-human'"):
        encoders.get("scgpt-human")
    assert fetched(tmp_path) == published
