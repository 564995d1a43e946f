"""Too little memory, calls nested too deep and a key pressed while a file is read: no fault of the file."""

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import pytest
import torch
from anndata import AnnData

from scmpt_scverse import SCMPT, _h5ad, _saved_files, encoders, llm
from scmpt_scverse._checks import is_of_machine
from scmpt_scverse._json import MOST_LEVELS, parsed_json
from scmpt_scverse.encoders._scgpt_checkpoint import open_folder
from scmpt_scverse.model import _saving

MACHINE = [MemoryError, RecursionError, KeyboardInterrupt]
_ALLOCATION = "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to"


def raising(error: BaseException | type[BaseException]) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


def test_errors_of_the_machine() -> None:
    errors: list[Exception] = [MemoryError(), RecursionError(), torch.OutOfMemoryError(), RuntimeError(_ALLOCATION)]
    assert all(map(is_of_machine, errors))
    errors = [RuntimeError("shapes differ"), ValueError(), OSError(errno.EIO, "input/output error")]
    assert not any(map(is_of_machine, errors))


@pytest.mark.parametrize("error", [*MACHINE, RuntimeError(_ALLOCATION), OSError(errno.EMFILE, "Too many open files")])
@pytest.mark.parametrize(
    ("module", "name"),
    [
        (_saved_files, "load_file"),
        (_saved_files, "parsed_json"),
        (json, "loads"),
        (_saving, "predictions_of"),
    ],
)
def test_reading_a_model(saved: Path, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, error: Any) -> None:
    if module is _saving and isinstance(error, OSError):
        pytest.skip("computes, and reads no file")
    monkeypatch.setattr(module, name, raising(error))
    with pytest.raises(type(error) if isinstance(error, Exception) else error) as raised:
        SCMPT.load(str(saved), adata=False)
    assert "cannot be read" not in str(raised.value)


@pytest.mark.parametrize("error", MACHINE)
@pytest.mark.parametrize(("module", "name"), [(anndata, "read_h5ad"), (_h5ad._read, "check_heaps")])
def test_reading_cells(
    pbmc: AnnData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, error: type[BaseException]
) -> None:
    pbmc[:5].copy().write_h5ad(tmp_path / "cells.h5ad")
    monkeypatch.setattr(module, name, raising(error))
    with pytest.raises(error) as raised:
        _h5ad.read_cells(tmp_path / "cells.h5ad")
    assert "cannot be read" not in str(raised.value)


@pytest.mark.parametrize("error", MACHINE)
def test_trying_whether_cells_can_be_written(
    pbmc: AnnData, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    monkeypatch.setattr("anndata.io.write_elem", raising(error))
    with pytest.raises(error) as raised:
        _h5ad.check_storable(pbmc)
    assert "Rename or remove" not in str(raised.value)


@pytest.mark.parametrize("error", [*MACHINE, torch.OutOfMemoryError("CUDA out of memory")])
def test_reading_an_encoder(scgpt_folder: Path, monkeypatch: pytest.MonkeyPatch, error: Any) -> None:
    monkeypatch.setattr(torch, "load", raising(error))
    monkeypatch.setattr("safetensors.torch.load_file", raising(error))
    with pytest.raises(type(error) if isinstance(error, Exception) else error) as raised:
        open_folder(scgpt_folder).load_network()
    assert "cannot be read" not in str(raised.value)


def lines(folder: Path) -> Path:
    answer = llm.Answer("answered", (1.0,))
    record = {"key": "k", "model": "m", "parameters": {}, "instruction": "", "answer": answer.__dict__}
    path = folder / "answers.jsonl"
    path.write_text(json.dumps(record) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("error", MACHINE)
@pytest.mark.parametrize("read", [llm.AnswerCache, llm.RecordedClient])
def test_reading_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], Any], error: type[BaseException]
) -> None:
    path = lines(tmp_path)
    read(path)
    monkeypatch.setattr(json, "loads", raising(error))
    with pytest.raises(error):
        read(path)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 50_000, '["\\"[", ' * 50_000])
def test_brackets_without_end_are_damage(saved: Path, tmp_path: Path, scgpt_folder: Path, text: str) -> None:
    """A parser gives up on them as on a nested call, but the file is at fault."""
    with pytest.raises(ValueError, match="brackets are nested .* deep|Expecting value|delimiter"):
        parsed_json(text)
    path = lines(tmp_path)
    path.write_text(text + "\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.warns(UserWarning, match="1 lines of .* hold no valid answer"):
        assert len(llm.AnswerCache(path)) == 1
    assert llm.RecordedClient(path).model == "m"
    folder = Path(shutil.copytree(scgpt_folder, tmp_path / "scgpt"))
    (folder / "args.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"Expected JSON in .*args.json.* Download the folder again"):
        encoders.get(str(folder))


def test_deep_records_are_damage_before_they_are_followed(saved: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "model"))
    content = json.loads((folder / "model.json").read_text())
    nested: Any = 1
    for _ in range(MOST_LEVELS * 3):
        nested = [nested]
    (folder / "model.json").write_text(json.dumps({**content, "history": {"train_loss": nested}}))
    with pytest.raises(ValueError, match="nested more than 100 levels deep.* Copy it again"):
        SCMPT.load(str(folder), adata=False)


def test_a_nested_call_is_no_damage(saved: Path) -> None:
    """The same file is read further up."""

    def at_depth(level: int) -> Any:
        return SCMPT.load(str(saved), adata=False) if level == 0 else at_depth(level - 1)

    with pytest.raises(RecursionError):
        at_depth(10_000)
    assert SCMPT.load(str(saved), adata=False).is_trained
