"""The command that trains a text model. What is heavy to import is imported inside it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scmpt_scverse._checks import check_key
from scmpt_scverse._h5ad import read_cells
from scmpt_scverse.cli._files import check_model_dir, save_or_rescue
from scmpt_scverse.cli._group import is_interactive, quiet_libraries
from scmpt_scverse.cli._options import Force, GeneSymbols, Layer, Seed, checked_choice

if TYPE_CHECKING:
    from anndata import AnnData

#: Column of studies; the name is one that no column of labels has.
_STUDY_KEY = "scmpt_study"


def align(
    model_dir: Annotated[
        Path, typer.Argument(metavar="OUT_MODEL", help="Folder of the model to write.", show_default=False)
    ],
    studies: Annotated[
        list[Path],
        typer.Argument(metavar="STUDY.h5ad...", help="Labelled cells, a study per file.", show_default=False),
    ],
    labels_key: Annotated[str, typer.Option(help="Column of .obs with cell types.", show_default=False)],
    markers: Annotated[
        list[Path],
        typer.Option(metavar="TABLE", help="Marker genes: .csv, .tsv, .gmt or .xlsx; repeatable.", show_default=False),
    ],
    organism: Annotated[str, typer.Option(help="Whose rows of the tables are used.")] = "human",
    unlabeled_category: Annotated[
        list[str] | None, typer.Option(help="A label that means: not known; repeatable.", show_default="Unknown")
    ] = None,
    text: Annotated[str, typer.Option(help="Text encoder: name, hub id, or folder.")] = "minilm",
    layer: Layer = None,
    gene_symbols: GeneSymbols = None,
    seed: Seed = 0,
    accelerator: Annotated[str, typer.Option(help="auto, cpu, gpu or mps.")] = "auto",
    force: Force = False,
) -> None:
    """Learn from marker tables and labelled studies to label cells by text, and save the model.

    Each study is left out once, to learn how sure the model may be; so pass two or more. Their genes may differ.

    Example: `scmpt align my_text_model blood.h5ad gut.h5ad --labels-key cell_type --markers PanglaoDB.tsv`
    """
    check_model_dir(model_dir, force=force)
    _check_distinct(studies)
    import scvi

    from scmpt_scverse import SCMMGPT, encoders, knowledge
    from scmpt_scverse.model import pretrained_names

    if str(model_dir) in pretrained_names():  # which commands would open instead
        raise typer.BadParameter(
            f"{str(model_dir)!r} is the name of a model that comes with this package. Choose another.",
            param_hint="OUT_MODEL",
        )
    if not isinstance(encoders.get(text), encoders.TextEncoder):  # its weights are not read yet
        raise typer.BadParameter(
            f"Expected an encoder of texts; found {text!r}. Pass a sentence-transformers model, such as minilm.",
            param_hint="--text",
        )
    tables = [knowledge.read_markers(table) for table in markers]
    checked_choice(organism, sorted({each for table in tables for each in table["organism"]}), "--organism")
    unlabeled = unlabeled_category or ["Unknown"]
    cells = _concatenated(studies, labels_key, unlabeled, layer=layer, gene_symbols=gene_symbols)
    quiet_libraries()
    scvi.settings.seed = seed
    # Layer and symbols as in the files, because queries are read likewise.
    SCMMGPT.setup_anndata(
        cells,
        labels_key,
        unlabeled_category=unlabeled,
        layer=layer,
        gene_symbols=gene_symbols,
        batch_key=_STUDY_KEY,
    )
    model = SCMMGPT(cells, text_encoder=text)
    model.train(markers=tables, organism=organism, accelerator=accelerator, progress=is_interactive())
    save_or_rescue(lambda folder: model.save(str(folder), overwrite=force), model_dir)
    n_labelled = int((cells.obs[labels_key] != unlabeled[0]).sum())
    what = "study" if len(studies) == 1 else "studies"
    typer.echo(f"Learned from {n_labelled} labelled cells of {len(studies)} {what}: {model_dir}")
    typer.echo(f"Next: scmpt annotate {model_dir} QUERY.h5ad OUT.h5ad --labels LABEL --labels LABEL")


def _concatenated(
    paths: Sequence[Path], labels_key: str, unlabeled: Sequence[str], *, layer: str | None, gene_symbols: str | None
) -> "AnnData":
    """Cells of all studies over all of their genes: expression and symbols where the files have them, and studies."""
    import anndata

    # A number, because files in different folders may have the same name; no folder, which is nobody's business.
    studies = {
        f"{number} {path.stem}": _study(path, labels_key, unlabeled, layer=layer, gene_symbols=gene_symbols)
        for number, path in enumerate(paths, start=1)
    }
    cells = anndata.concat(studies, join="outer", label=_STUDY_KEY, index_unique="-", fill_value=0)
    if gene_symbols is not None:
        cells.var[gene_symbols] = cells.var_names
    return cells


def _study(
    path: Path, labels_key: str, unlabeled: Sequence[str], *, layer: str | None, gene_symbols: str | None
) -> "AnnData":
    """Expression over distinct gene symbols, which are what columns of several studies meet by, and labels as text."""
    from anndata import AnnData
    from pandas import DataFrame
    from scipy import sparse

    from scmpt_scverse._labels import labels_or
    from scmpt_scverse.pp import ExpressionReader

    cells = read_cells(path)
    with _named(path):
        check_key(labels_key, cells.obs.columns, "adata.obs")
        labels = labels_or(cells.obs[labels_key], unlabeled)
        read = ExpressionReader(cells, layer=layer, gene_symbols=gene_symbols).rows(0, cells.n_obs)
    matrix, genes = read.matrix, list(read.genes)
    if read.without_symbol is not None:  # it counts for the total of a cell
        matrix, genes = sparse.hstack([matrix, read.without_symbol[:, None]], format="csr"), [*genes, ""]
    # Names of cells play no role, and may occur twice.
    obs = DataFrame({labels_key: labels}, index=[str(number) for number in range(cells.n_obs)])
    var = DataFrame(index=genes)
    return AnnData(matrix, obs, var) if layer is None else AnnData(None, obs, var, layers={layer: matrix})


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Say of which file an error is."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        kind = KeyError if isinstance(error, KeyError) else ValueError  # it is the file that has the wrong type
        raise kind(f"{path}: {error.args[0] if error.args else error}") from error


def _check_distinct(paths: Sequence[Path]) -> None:
    repeated = [str(path) for path, n in Counter(path.resolve() for path in paths).items() if n > 1]
    if repeated:
        raise typer.BadParameter(
            f"Expected each study once; found {', '.join(repeated)} more than once.", param_hint="STUDY.h5ad..."
        )
