"""The genes of a panel, as a file names them."""

from pathlib import Path

import pandas as pd

from scmpt_scverse._h5ad import read_cells
from scmpt_scverse.cli._species import HUMAN, HUMAN_SYMBOLS

_CELLS = ".h5ad"


def read_genes(path: Path, organism: str, gene_symbols: str | None) -> list[str]:
    """Names of genes, those of another species as their human orthologs.

    Parameters
    ----------
    path
        The `.h5ad` file of a query, or a text file with a gene at the start of each line: what follows a tab or a comma
        is not read.
    organism
        Species of the query.
    gene_symbols
        Column of `.var` of the reference with symbols, which is read where the query has such a column, too.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It is damaged, or no text.
    """
    from anndata import AnnData

    from scmpt_scverse.pp import map_orthologs

    var = _genes_of_query(path) if path.suffix == _CELLS else pd.DataFrame(index=_lines(path))
    cells = AnnData(var=var)
    column = gene_symbols if gene_symbols in var and gene_symbols != HUMAN_SYMBOLS else None
    if organism != HUMAN:
        map_orthologs(cells, organism, gene_symbols=column, key_added=HUMAN_SYMBOLS)
        column = HUMAN_SYMBOLS
    names = cells.var_names if column is None else cells.var[column]
    return [str(name) for name in names if name != ""]


def _genes_of_query(path: Path) -> pd.DataFrame:
    cells = read_cells(path, backed=True)
    var = cells.var.copy()
    if cells.isbacked:
        cells.file.close()
    return var


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise FileNotFoundError(f"Expected a file of genes at {path}; found none. Check the path.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"Expected an .h5ad file, or one gene per line as text in UTF-8, at {path}; found something else ({error})."
        ) from error
    names = [line.replace(",", "\t").split("\t")[0].strip().strip('"') for line in text.splitlines()]
    return [name for name in names if name]
