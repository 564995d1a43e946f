"""Saved models from anyone: nothing is run, nothing takes the memory, and what is wrong is one sentence."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tests._model import probabilities

from scmpt_scverse import SCMPT


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "model"))


def _edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads((folder / "model.json").read_text())
    change(content)
    (folder / "model.json").write_text(json.dumps(content))


def _refused(folder: Path) -> str:
    with pytest.raises(ValueError, match=r"^The model in .* cannot be read \(.*\)\. Copy it again") as error:
        SCMPT.load(str(folder), adata=False)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_bombs_in_json_are_refused(folder: Path) -> None:
    whole = (folder / "model.json").read_text()
    for text in ("[" * 100_000, '{"format": ' + "9" * 10_000 + "}", '{"a":' * 50_000, whole[:-40], "\x00" * 100):
        (folder / "model.json").write_text(text)
        _refused(folder)
    (folder / "model.json").write_bytes(b"\xff\xfe{}")
    _refused(folder)


@pytest.mark.parametrize("name", ["registry", "init_params", "modalities", "record"])
@pytest.mark.parametrize("value", [None, [], {}, 1e308, "text", float("nan")])
def test_other_values_are_refused(folder: Path, name: str, value: object) -> None:
    _edit(folder, lambda content: content.update({name: value}))
    _refused(folder)


@pytest.mark.parametrize("size", [10**12, 2**70, -1, 0, 0.5, "4096", True, float("nan")])
@pytest.mark.parametrize("where", ["n_hidden", "n_layers", "embedding_dim"])
def test_sizes_beyond_the_weights_are_refused(folder: Path, where: str, size: object) -> None:
    def change(content: dict[str, Any]) -> None:
        options = content["init_params"]
        (options["encoders"]["text"] if where == "embedding_dim" else options)[where] = size

    _edit(folder, change)
    _refused(folder)


def test_types_that_are_no_numbers_are_refused(folder: Path) -> None:
    for dtype in ("V1000000000", "S1000000000", "O", "U5", "no type"):
        array = {"__array__": [1, 2], "dtype": dtype}
        _edit(folder, partial(dict.update, record=array))
        assert "cannot be read" in _refused(folder)


def test_weights_of_other_shapes_and_types_are_refused(folder: Path) -> None:
    file = folder / "model.safetensors"
    whole = load_file(file)
    changes: dict[str, Callable[[np.ndarray[Any, Any]], Any]] = {
        "shape": lambda values: np.concatenate([values.ravel(), values.ravel()]),
        "type": lambda values: np.zeros(values.shape, np.int64 if values.dtype.kind == "f" else np.float64),
        "nothing": lambda values: None,
        "empty": lambda values: np.zeros(0, dtype=values.dtype),
    }
    n_tried = 0
    for name in whole:
        part = name.split(".")[0]
        for kind, change in changes.items():
            # Of what is learned about trust, sizes decide; how many cells are usual is free.
            if (part != "module" and kind in {"type", "nothing"}) or (name == "novelty.usual" and kind != "nothing"):
                continue
            changed = change(whole[name])
            kept = {key: values for key, values in whole.items() if key != name}
            save_file(kept if changed is None else {**kept, name: changed}, file)
            try:
                _refused(folder)
            except pytest.fail.Exception as error:
                raise AssertionError(f"{name} was accepted ({kind})") from error
            n_tried += 1
    assert n_tried > 20


@pytest.mark.parametrize("place", [0.3, 0.999])
def test_a_number_that_changed_on_the_way_is_refused(folder: Path, place: float) -> None:
    """Of 64 kB or a gigabyte, one bit: a model with it may well load, and predict."""
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    content[header + int(place * (len(content) - header))] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"numbers in model\.safetensors are others than those that were written"):
        SCMPT.load(str(folder), adata=False)


def test_a_header_that_lies_is_refused(folder: Path) -> None:
    file = folder / "model.safetensors"
    whole = file.read_bytes()
    for damaged in (
        (2**63 - 1).to_bytes(8, "little") + whole[8:],
        (2).to_bytes(8, "little") + b"{}",
        whole[:100],
        whole.replace(b'"data_offsets":[0,', b'"data_offsets":[9,'),
        b"",
    ):
        file.write_bytes(damaged)
        _refused(folder)


def test_saving_follows_no_link(trained: SCMPT, saved: Path, tmp_path: Path) -> None:
    folder, precious = tmp_path / "model", tmp_path / "precious"
    folder.mkdir()
    precious.write_text("mine")
    for name in ("model.json", "model.safetensors", ".model.json.partial"):
        (folder / name).symlink_to(precious)
    trained.save(str(folder), overwrite=True)
    assert precious.read_text() == "mine"
    assert not (folder / "model.json").is_symlink()
    assert SCMPT.load(str(folder), adata=False).is_trained


def test_a_failed_save_leaves_the_model_that_was_there(
    trained: SCMPT, folder: Path, pbmc: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    write = Path.write_text

    def full(self: Path, *args: Any, **kwargs: Any) -> int:
        if self.name == "model.json":
            raise OSError(28, "No space left on device")
        return write(self, *args, **kwargs)

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        trained.save(str(folder), overwrite=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_data_that_are_no_cells_are_refused(folder: Path) -> None:
    (folder / "adata.h5ad").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ValueError, match="found a git-lfs pointer"):
        SCMPT.load(str(folder))


def test_a_whole_model_is_still_read(trained: SCMPT, folder: Path, embedded: Any) -> None:
    assert np.array_equal(
        probabilities(SCMPT.load(str(folder), adata=False), embedded), probabilities(trained, embedded)
    )
