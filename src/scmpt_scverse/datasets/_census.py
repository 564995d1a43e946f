"""Cells of the CELLxGENE Census, or of any SOMA experiment, by a query: how many there are, and a copy of them."""

import errno
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse
from tqdm.auto import tqdm

from scmpt_scverse._checks import list_some, warn_user
from scmpt_scverse._folders import check_file
from scmpt_scverse._h5ad import check_storable, check_suffix, write_in_parts, written_whole
from scmpt_scverse._slots import UNS_KEYS
from scmpt_scverse._storable import storable
from scmpt_scverse.datasets._census_query import JOINID, CellQuery, chosen_cells
from scmpt_scverse.datasets._soma import DEFAULT_RELEASE, matrix_of, opened_experiment

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import IntArray, StrPath

_MEASUREMENT, _LAYER = "RNA", "raw"
#: Cells that are read at a time; 100 to 300 MB on their way into the file.
_CHUNK_SIZE = 4096
#: Compressed, a value and its column take at least so many bytes.
_BYTES_PER_VALUE = 2
#: Names of genes and of cells, in the order in which columns are looked for.
_SYMBOLS, _GENE_IDS, _CELL_NAMES = "feature_name", ("feature_id", "var_id"), "obs_id"
#: Of a column that becomes the names of the genes.
_NAME = "_name"


def census_labels(
    obs_filter: str | None = None,
    *,
    source: "StrPath" = DEFAULT_RELEASE,
    organism: str = "human",
    labels_key: str = "cell_type",
    max_cells_per_label: int | None = None,
    batch_key: str | None = "donor_id",
    primary_only: bool = True,
    seed: int = 0,
) -> pd.DataFrame:
    """Labels of the cells that a query of the CELLxGENE Census finds, with their numbers; no expression is read.

    Parameters
    ----------
    obs_filter
        Comparisons of columns of cells with values, joined by `and` and `or`:
        `"tissue_general == 'blood' and disease == 'normal'"`. `None` takes all cells.
    source
        Date of a release of the Census, or path or URI of any SOMA experiment.
    organism
        Species, in a release: `"human"`, `"mouse"`, `"marmoset"`, `"rhesus macaque"` or `"chimpanzee"`.
    labels_key
        Column with labels. Cells without one, or with one that says so, such as `unknown`, are left out.
    max_cells_per_label
        Of labels with more cells, so many are taken; `None` for all.
    batch_key
        Column with donors or studies, which then give a cell of a label in turn; `None` draws from all alike.
    primary_only
        Leave out the further copies of cells that several studies have, where the experiment marks them.
    seed
        Of the draw.

    Returns
    -------
    One row per label, most frequent first: `n_found` and `n_cells`, the cells that the query finds and those that are
    taken; and `ontology_id` where the experiment has a column of the labels' ids.

    Raises
    ------
    ConnectionError
        The release cannot be reached.
    FileNotFoundError
        There is no experiment.
    ImportError
        The extra `census` is not installed.
    KeyError
        The filter, or an argument, names a column that is not there.
    ValueError
        The filter cannot be understood, or no cell with a label passes it.
    """
    query = CellQuery(obs_filter, str(source), organism, labels_key, max_cells_per_label, batch_key, primary_only, seed)
    with opened_experiment(query.source, organism) as experiment:
        return chosen_cells(experiment.obs, query).labels


def fetch_census(
    path: "StrPath",
    obs_filter: str | None,
    *,
    source: "StrPath" = DEFAULT_RELEASE,
    organism: str = "human",
    labels_key: str = "cell_type",
    max_cells_per_label: int | None = None,
    batch_key: str | None = "donor_id",
    primary_only: bool = True,
    genes: Sequence[str] | None = None,
    measurement: str = _MEASUREMENT,
    layer: str = _LAYER,
    seed: int = 0,
    progress: bool = True,
) -> pd.DataFrame:
    """Copy the counts of the cells that a query of the CELLxGENE Census finds to an `.h5ad` file.

    Cells are chosen by their table, then read and written in parts, so memory does not hold their expression. The file
    is what a model is trained on (`anndata.read_h5ad(path, backed="r")`): a copy gives the same model next year,
    whatever becomes of the release, and every pass over the cells is as fast as the disk.

    Parameters
    ----------
    path
        File to write, over one that exists; it appears when it is complete.
    obs_filter, source, organism, labels_key, max_cells_per_label, batch_key, primary_only, seed
        As in :func:`census_labels`.
    genes
        Symbols or Ensembl ids of the genes to copy; `None` copies all.
    measurement, layer
        Where the experiment has the counts.
    progress
        Show a bar.

    Returns
    -------
    As :func:`census_labels`. The file has counts in `.X` (CSR, float32); all columns of the cells in `.obs`, with
    labels as categories; genes by symbol, or by id where genes share a symbol, and their columns in `.var`; and in
    `.uns["scmpt"]["source"]` the query, its release, and how many cells it found.

    Raises
    ------
    ConnectionError, FileNotFoundError, ImportError, KeyError, ValueError
        As :func:`census_labels`, or none of `genes` is there.
    OSError
        The file cannot be written, for instance because the disk is full.

    Warns
    -----
    UserWarning
        Some of `genes` are not there.
    """
    path = Path(path)
    check_suffix(path)
    check_file(path)
    query = CellQuery(obs_filter, str(source), organism, labels_key, max_cells_per_label, batch_key, primary_only, seed)
    with opened_experiment(query.source, organism) as experiment:
        matrix = matrix_of(experiment, measurement, layer)
        var = _var(experiment.ms[measurement].var, genes)
        chosen = chosen_cells(experiment.obs, query)
        _check_room(path.absolute().parent, chosen.n_values if genes is None else None)
        cells = _cells(experiment.obs, chosen.rows, var, query)
        check_storable(cells)
        parts = _parts(matrix, chosen.rows, var.index.to_numpy(), progress=progress)
        with written_whole(path) as partial:
            write_in_parts(cells, parts, partial)
    return chosen.labels


def _var(table: Any, genes: Sequence[str] | None) -> pd.DataFrame:
    """Genes by their numbers in the experiment, with a column of names that no two share."""
    var = table.read().concat().to_pandas().set_index(JOINID).sort_index()
    id_key = next((key for key in _GENE_IDS if key in var), None)
    if id_key is None:
        raise ValueError(
            f"Expected a column of gene ids, {list_some(_GENE_IDS)}, in the table of genes; found "
            f"{list_some(var.columns)}. Pass another `measurement`."
        )
    ids = var[id_key].astype(str)
    symbols = var[_SYMBOLS].astype(str) if _SYMBOLS in var else ids
    if genes is not None:
        if isinstance(genes, str):
            raise TypeError(f"Expected several genes as `genes`; found the text {genes!r}. Pass a list.")
        wanted = set(map(str, genes))
        is_wanted = symbols.isin(wanted) | ids.isin(wanted)
        absent = sorted(wanted - set(symbols) - set(ids))
        if not is_wanted.any():
            raise ValueError(
                f"Expected some of the {len(wanted)} genes of `genes` in the experiment; found none of "
                f"{list_some(absent, 3)} among genes such as {list_some(symbols, 3)}. Pass symbols or Ensembl ids."
            )
        if absent:
            warn_user(f"{len(absent)} of {len(wanted)} genes are not in the experiment: {list_some(absent, 5)}.")
        var, ids, symbols = var[is_wanted], ids[is_wanted], symbols[is_wanted]
    names = np.where(symbols.duplicated(keep=False), ids, symbols)
    return var.assign(**{_NAME: names})


def _cells(obs: Any, rows: "IntArray", var: pd.DataFrame, query: CellQuery) -> "AnnData":
    """The cells without their expression."""
    import anndata as ad

    table = obs.read(coords=(rows,)).concat().to_pandas().set_index(JOINID).loc[rows]
    names = table.pop(_CELL_NAMES) if _CELL_NAMES in table else pd.Series(table.index)
    table.index = pd.Index(names.astype(str), name=None)
    for name, column in table.items():
        if isinstance(column.dtype, pd.CategoricalDtype):
            table[name] = column.cat.remove_unused_categories()
    record = {**asdict(query), "n_cells": len(rows), "tiledbsoma": version("tiledbsoma")}
    genes = var.set_index(_NAME)
    genes.index.name = None
    return ad.AnnData(obs=table, var=genes, uns={UNS_KEYS.root: {UNS_KEYS.source: storable(record)}})


def _parts(matrix: Any, rows: "IntArray", columns: "IntArray", *, progress: bool) -> "Iterator[sparse.csr_matrix]":
    """Expression of the cells, some at a time."""
    every = len(columns) == columns[-1] - columns[0] + 1
    wanted = slice(int(columns[0]), int(columns[-1])) if every else columns  # ends of a slice are both in it
    with tqdm(total=len(rows), unit="cell", disable=not progress) as bar:
        for start in range(0, len(rows), _CHUNK_SIZE):
            some = rows[start : start + _CHUNK_SIZE]
            read = matrix.read((some, wanted)).tables().concat()
            places = (
                np.searchsorted(known, read.column(f"soma_dim_{axis}").to_numpy())
                for axis, known in enumerate((some, columns))
            )
            values = read.column("soma_data").to_numpy().astype(np.float32)
            yield sparse.coo_matrix((values, tuple(places)), shape=(len(some), len(columns))).tocsr()
            bar.update(len(some))


def _check_room(folder: Path, n_values: int | None) -> None:
    """Refuse what surely does not fit."""
    n_bytes, free = _BYTES_PER_VALUE * (n_values or 0), shutil.disk_usage(folder).free
    if free < n_bytes:
        raise OSError(
            errno.ENOSPC,
            f"Expected room for at least {n_bytes / 1e9:.1f} GB in {folder}; found {free / 1e9:.1f} GB. Make room, "
            "write elsewhere, or pass `max_cells_per_label`.",
        )
