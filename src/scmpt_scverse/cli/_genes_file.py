"""The genes of a panel, as a file names them."""

from pathlib import Path

from scmpt_scverse.cli._joined import tables_of

_CELLS = ".h5ad"


def read_genes(path: Path, gene_symbols: str | None) -> list[str]:
    """Names of genes, as the file has them.

    Parameters
    ----------
    path
        The `.h5ad` file of a query, or a text file with a gene at the start of each line: what follows a tab or a comma
        is not read.
    gene_symbols
        Column of `.var` of the reference with symbols, which is read where the query has such a column, too.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It is damaged, or no text.
    """
    if path.suffix != _CELLS:
        return _lines(path)
    var = tables_of(path)[1]
    names = var.get(gene_symbols, var.index)
    return [str(name) for name in names if name != ""]


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
