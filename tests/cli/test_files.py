import os
import subprocess
import sys
from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
from anndata import AnnData

from scmpt_scverse._h5ad import read_cells, written_whole
from scmpt_scverse._h5ad._write import _is_running
from scmpt_scverse.cli._files import check_model_dir, check_output, save_cells


def _cells(value: float) -> AnnData:
    return AnnData(np.full((3, 2), value, dtype=np.float32))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "cells.h5ad"
    save_cells(_cells(1), path)
    save_cells(_cells(2), path)

    np.testing.assert_array_equal(read_cells(path).X, _cells(2).X)
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cells.h5ad"
    save_cells(_cells(1), path)

    def fail_halfway(adata: AnnData, filename: Path) -> None:
        filename.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr("scmpt_scverse.cli._files.write_cells", fail_halfway)
    with pytest.raises(OSError, match="No space left"):
        save_cells(_cells(2), path)

    np.testing.assert_array_equal(anndata.read_h5ad(path).X, _cells(1).X)
    assert list(tmp_path.iterdir()) == [path]


def test_files_that_are_no_cells_are_named(tmp_path: Path) -> None:
    text, truncated, other, whole = (tmp_path / f"{name}.h5ad" for name in ("text", "truncated", "other", "whole"))
    text.write_text("hello")
    save_cells(_cells(1), whole)
    truncated.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    h5py.File(other, "w").close()

    for path, found in (
        (text, "found a text file"),
        (truncated, "found one that cannot be read"),
        (other, "found an HDF5 file without obs and var"),
    ):
        with pytest.raises(ValueError, match=f"Expected an AnnData file at .*{path.name}; {found}"):
            read_cells(path)
    with pytest.raises(FileNotFoundError, match=r"Expected an .h5ad file at .*absent.h5ad; found none"):
        read_cells(tmp_path / "absent.h5ad")
    with pytest.raises(ValueError, match=r"ends in .h5ad; found 'cells.csv'"):
        read_cells(tmp_path / "cells.csv")


def test_too_little_memory_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cells.h5ad"
    save_cells(_cells(1), path)

    def fail(*args: object, **kwargs: object) -> None:
        raise MemoryError("Unable to allocate 5.00 TiB")

    monkeypatch.setattr("anndata.read_h5ad", fail)
    with pytest.raises(MemoryError, match=r"5.00 TiB"):
        read_cells(path)
    monkeypatch.setattr("scmpt_scverse._h5ad._structure.check_structure", fail)  # sizes that may be made up
    with pytest.raises(MemoryError, match="unless it is damaged"):
        read_cells(path)


def test_what_killed_processes_left_is_removed_on_their_machine_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cells.h5ad"
    with subprocess.Popen([sys.executable, "-c", ""]) as finished:
        pass

    def left_by(process: int) -> Path:
        with written_whole(path) as partial:
            partial.touch()
        left = partial.with_name(partial.name.replace(f".{os.getpid()}.", f".{process}."))
        left.touch()
        return left

    running = left_by(os.getppid())
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("platform.node", lambda: "another-node")
        far = left_by(finished.pid)
    dead, impossible = left_by(finished.pid), left_by(10**30)
    assert far.name != dead.name
    save_cells(_cells(1), path)
    assert {running, far, path} == set(tmp_path.iterdir()), (dead, impossible)


def test_windows_is_not_asked_whether_a_process_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """There `os.kill` ends the process, whatever the signal."""
    monkeypatch.setattr("os.name", "nt")
    monkeypatch.setattr("os.kill", lambda *_: pytest.fail("killed"))
    assert _is_running(10**9)


def test_outputs_are_not_replaced_unasked(tmp_path: Path) -> None:
    source, existing = tmp_path / "in.h5ad", tmp_path / "out.h5ad"
    save_cells(_cells(1), source)
    save_cells(_cells(1), existing)

    with pytest.raises(FileExistsError, match=r"out.h5ad exists. Choose another name, or pass --force"):
        check_output(existing, source=source, force=False)
    with pytest.raises(FileExistsError, match=r"in.h5ad is the input itself"):
        check_output(tmp_path / "." / "in.h5ad", source=source, force=False)
    with pytest.raises(FileExistsError, match=r"The model folder .* exists"):
        check_model_dir(tmp_path, force=False)
    check_output(existing, source=source, force=True)
    check_output(tmp_path / "new.h5ad", source=source, force=False)
    check_model_dir(tmp_path, force=True)


def test_outputs_need_a_folder_and_a_suffix(tmp_path: Path) -> None:
    source = tmp_path / "in.h5ad"

    with pytest.raises(FileNotFoundError, match=r"The folder .*absent does not exist"):
        check_output(tmp_path / "absent" / "out.h5ad", source=source, force=True)
    with pytest.raises(FileNotFoundError, match=r"The folder .*absent does not exist"):
        check_model_dir(tmp_path / "absent" / "model", force=True)
    with pytest.raises(ValueError, match=r"ends in .h5ad; found 'out.txt'"):
        check_output(tmp_path / "out.txt", source=source, force=True)
