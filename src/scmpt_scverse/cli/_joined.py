"""Several files of cells as one, which stays on disk."""

import errno
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from scmpt_scverse._checks import check_key, list_some
from scmpt_scverse._h5ad import read_cells
from scmpt_scverse._slots import provenance

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

#: Column of `.obs` that says which file a cell is from.
FILE_KEY = "scmpt_file"
#: Files that share a smaller part of the genes of the one with fewest are of two species, or name genes differently.
_LEAST_SHARED = 0.1
#: Values of a matrix that are held at a time, about a quarter of a GB.
_MOST_VALUES = 20_000_000


@contextmanager
def joined_cells(
    paths: Sequence[Path], labels_key: str, unlabeled: str | Sequence[str], gene_symbols: str | None
) -> Iterator["AnnData"]:
    """The cells of one file in memory; of several, those of all on disk, with the genes that all have.

    Parameters
    ----------
    paths
        Files, joined by the names of their columns.
    labels_key
        Column of `.obs` with labels, which all have.
    unlabeled
        Labels that mean: not known.
    gene_symbols
        Column of `.var` with symbols, which all have; `None` for the names of the columns.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    KeyError
        A file has no such column.
    ValueError
        A file is damaged or given twice, or they cannot be joined: they share hardly any gene, give genes different
        symbols, or store their matrices in different ways.
    OSError
        The folder of temporary files has no room for all of them.
    """
    if len(paths) == 1:
        yield read_cells(paths[0])
        return
    are_distinct = _check(paths, labels_key, unlabeled, gene_symbols)
    import anndata
    from anndata.experimental import concat_on_disk

    stems = Counter(path.stem for path in paths)
    names = [path.stem if stems[path.stem] == 1 else str(path) for path in paths]
    with tempfile.TemporaryDirectory(prefix="scmpt-") as folder:
        target = Path(folder) / "joined.h5ad"
        try:
            concat_on_disk(
                dict(zip(names, paths, strict=True)),
                target,
                join="inner",
                merge="same",
                label=FILE_KEY,
                # By its name, among others, a model knows a cell again that it was trained on.
                index_unique=None if are_distinct else "-",
                max_loaded_elems=_MOST_VALUES,
            )
        except (KeyError, NotImplementedError, TypeError, ValueError) as error:
            raise ValueError(
                f"Could not join {list_some(names)} ({error}): expected matrices and columns that are stored alike. "
                "Write the files again with a current anndata, all sparse or all dense, or join them with "
                "`anndata.concat`."
            ) from error
        adata = anndata.read_h5ad(target, backed="r")
        _drop_recorded_embeddings(adata, paths)
        try:
            yield adata
        finally:
            adata.file.close()


def _drop_recorded_embeddings(adata: "AnnData", paths: Sequence[Path]) -> None:
    """Remove embeddings that this package wrote to a file: joining drops their records, and each is of its genes.

    They are computed anew. Arrays that the user brought stay.
    """
    for path in paths:
        with _opened(path) as cells:
            for key in [key for key in adata.obsm if provenance(cells, key) is not None]:
                del adata.obsm[key]


def _check(paths: Sequence[Path], labels_key: str, unlabeled: str | Sequence[str], gene_symbols: str | None) -> bool:
    """Refuse files that cannot be joined, before that takes its time; say what they have and do not have in common.

    Returns whether all cells have names of their own.
    """
    from scmpt_scverse._labels import labels_or

    twice = [str(path) for path, count in Counter(path.resolve() for path in paths).items() if count > 1]
    if twice:
        raise ValueError(f"Expected each file once; found {list_some(twice)} twice. Name it once.")
    unknown = unlabeled if isinstance(unlabeled, str) else unlabeled[0]
    n_bytes = sum(path.stat().st_size for path in paths if path.is_file())
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < n_bytes:
        raise OSError(
            errno.ENOSPC,
            f"Expected room for {n_bytes / 1e9:.1f} GB in {tempfile.gettempdir()}, where the files are joined; found "
            f"{free / 1e9:.1f} GB. Make room, or name another folder in the environment variable TMPDIR.",
        )
    genes, labels, symbols, names_of_cells = [], [], [], []
    for path in paths:
        obs, var = tables_of(path)
        check_key(labels_key, obs.columns, f"{path}: adata.obs")
        if FILE_KEY in obs:
            raise ValueError(
                f"Expected no column {FILE_KEY!r} in adata.obs of {path}, in which the file of each cell is kept; "
                "found one. Rename it, or pass the file alone."
            )
        if gene_symbols is not None:
            check_key(gene_symbols, var.columns, f"{path}: adata.var")
            symbols.append(var[gene_symbols].astype(object))
        genes.append(set(var.index))
        names_of_cells += list(obs.index)
        labels.append(set(labels_or(obs[labels_key], unlabeled)) - {unknown})
    shared = set.intersection(*genes)
    if len(shared) < max(1, _LEAST_SHARED * min(map(len, genes))):
        found = "; ".join(
            f"{path.name}: {list_some(sorted(names), 3)}" for path, names in zip(paths, genes, strict=True)
        )
        raise ValueError(
            f"Expected files with the same genes; found {len(shared)} that all have ({found}). Give the genes of all "
            "files names of one kind, symbols or Ensembl ids."
        )
    for path, other in zip(paths[1:], symbols[1:], strict=False):
        one, two = (each[~each.index.duplicated()].reindex(sorted(shared)) for each in (symbols[0], other))
        if (differs := (one != two) & ~(one.isna() & two.isna())).any():
            raise ValueError(
                f"Expected the same symbols of a gene in adata.var[{gene_symbols!r}] of all files; found "
                f"{differs.sum()} others in {path}, such as of {list_some(one.index[differs], 3)}. Give all files "
                "symbols of one release, or leave `--gene-symbols` out where names of columns are symbols."
            )
    fewest, most = min(map(len, genes)), max(map(len, genes))
    if len(shared) == most:
        typer.echo(f"{len(paths)} files have the same {most} genes.")
    else:
        typer.echo(f"{len(paths)} files share {len(shared)} genes, of {fewest} to {most}.")
    counts = Counter(label for own in labels for label in own)
    alone = sorted(label for label, count in counts.items() if count == 1)
    if alone:
        typer.echo(f"Labels in one file only: {list_some(alone, 10)}. Check that they are no other spelling.")
    return len(set(names_of_cells)) == len(names_of_cells)


def tables_of(path: Path) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """`.obs` and `.var` of a file, which is closed again."""
    with _opened(path) as cells:
        return cells.obs.copy(), cells.var.copy()


@contextmanager
def _opened(path: Path) -> "Iterator[AnnData]":
    cells = read_cells(path, backed=True)
    try:
        yield cells
    finally:
        if cells.isbacked:
            cells.file.close()
