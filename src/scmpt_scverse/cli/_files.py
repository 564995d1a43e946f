"""Read and write the files that commands are given: refuse early, never leave half a file, never lose a result."""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from scmpt_scverse._folders import check_folder, check_name, check_run_folder
from scmpt_scverse._h5ad import SavedElsewhere, check_suffix, free_name, reason, write_cells, written_whole

if TYPE_CHECKING:
    from anndata import AnnData


def check_output(path: Path, *, source: Path | None, force: bool, suffix: str = ".h5ad") -> None:
    """Refuse an output file that cannot be written, before any work is done.

    Raises
    ------
    FileNotFoundError
        Its folder does not exist.
    FileExistsError
        It is no file; or it exists, or is the input `source`, without `force`.
    OSError
        Its folder or the file cannot be written, or the disk has less room than `source` takes.
    """
    check_suffix(path, suffix)
    check_name(path)
    if path.is_dir():
        raise FileExistsError(f"The output {path} is a folder. Choose another name.")
    target = Path(os.path.realpath(path))  # a link is followed
    check_folder(target.parent)
    if target.exists():
        _check_replaceable(path, target, source, force)
    if source is not None and suffix == ".h5ad" and source.is_file():
        n_bytes, free = source.stat().st_size, shutil.disk_usage(target.parent).free
        if free < n_bytes:
            raise OSError(
                errno.ENOSPC,
                f"Expected room for {n_bytes / 1e9:.1f} GB in {target.parent}, the size of the input; found "
                f"{free / 1e9:.1f} GB. Make room, or write elsewhere.",
            )


def check_model_dir(path: Path, *, force: bool) -> None:
    """Refuse a folder that a model cannot be saved to, before it is trained; raises as :func:`check_output` does."""
    check_name(path)
    if path.exists() and not path.is_dir():
        raise FileExistsError(f"Expected a folder for the model at {path}; found a file. Choose another name.")
    if path.exists() and not force:
        raise FileExistsError(f"The model folder {path} exists. Choose another name, or pass --force to write into it.")
    check_folder(path if path.exists() else path.absolute().parent)


def check_checkpoints(path: Path, model_dir: Path) -> None:
    """Refuse a folder that training cannot be kept in, or in which the model is to be, before anything is read.

    Raises
    ------
    FileExistsError
        It is that of the model, which would then exist when the model is saved, or a file.
    OSError, ValueError
        As :func:`scmpt_scverse._folders.check_run_folder`.
    """
    if path.resolve().is_relative_to(model_dir.resolve()):
        raise FileExistsError(
            f"Expected a folder for checkpoints outside that of the model; found {path}. Choose another name."
        )
    check_run_folder(path)


def save_cells(adata: "AnnData", path: Path) -> None:
    """Write an .h5ad file whole or not at all: a file beside it takes its place when it is complete.

    Raises as :func:`save_or_rescue`.
    """

    def write(where: Path) -> None:
        with written_whole(where) as partial:
            write_cells(adata, partial)

    save_or_rescue(write, path)


def save_or_rescue(write: Callable[[Path], object], path: Path) -> None:
    """Write a result, or where that fails, write it beside or to the folder of temporary files, and say where.

    Raises
    ------
    SavedElsewhere
        The result is not at `path`, but where the message says.
    OSError
        The result is lost.
    """
    try:
        write(path)
    except SavedElsewhere:
        raise
    except Exception as error:  # of the disk, or what anndata raises for cells that have no form in a file
        for folder in (path.absolute().parent, Path(tempfile.gettempdir())):
            other = free_name(path, folder)
            if _is_written(write, other):
                raise SavedElsewhere(path, other, error) from error
        raise OSError(
            f"Expected to write {path}; found that neither it nor another file beside it or in "
            f"{tempfile.gettempdir()} can be written ({reason(error)}). Make room, write elsewhere, or remove from the "
            "input what cannot be written."
        ) from error


def save_or_rescue_each(results: Mapping[Path, Callable[[Path], object]]) -> None:
    """Write several results, each as :func:`save_or_rescue` does and whatever becomes of the others."""
    failures: list[OSError] = []
    for path, write in results.items():
        try:
            save_or_rescue(write, path)
        except OSError as error:
            failures.append(error)
    if failures:
        raise failures[0] if len(failures) == 1 else OSError(" ".join(map(str, failures)))


def _is_written(write: Callable[[Path], object], path: Path) -> bool:
    with suppress(Exception):  # that of the place asked for is the one to report
        write(path)
        return True
    return False


def _check_replaceable(path: Path, target: Path, source: Path | None, force: bool) -> None:
    if not target.is_file():
        raise FileExistsError(f"The output {path} is no file. Choose another name.")
    if not force:
        what = "is the input itself" if source is not None and source.exists() and path.samefile(source) else "exists"
        raise FileExistsError(f"The output {path} {what}. Choose another name, or pass --force to replace it.")
    if not os.access(target, os.W_OK) or _is_kept_by_sticky_bit(target):
        raise PermissionError(
            errno.EACCES, f"The output {path} exists and cannot be replaced by you. Choose another name."
        )


def _is_kept_by_sticky_bit(target: Path) -> bool:
    """Whether it is somebody else's file in a folder, such as /tmp, where only owners may replace files."""
    folder, file = target.parent.stat(), target.stat()
    return bool(folder.st_mode & 0o1000) and _user() not in {0, folder.st_uid, file.st_uid}


def _user() -> int:
    return os.geteuid() if hasattr(os, "geteuid") else 0  # Windows has no sticky bit
