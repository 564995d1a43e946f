"""The command that trains a text model. What is heavy to import is imported inside it."""

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import rich
import typer

from scmpt_scverse._checks import check_key, errors_named
from scmpt_scverse._h5ad import read_cells
from scmpt_scverse.cli._files import check_model_dir, save_or_rescue
from scmpt_scverse.cli._group import is_interactive, quiet_libraries
from scmpt_scverse.cli._options import Force, GeneSymbols, Layer, Organism, OrthologsFile, Seed, checked_choice
from scmpt_scverse.cli._species import chosen_organism
from scmpt_scverse.cli._tables import table_of

if TYPE_CHECKING:
    from anndata import AnnData


#: Of the folder, beside that of the model, that keeps the state of training.
_PARTIAL_SUFFIX = ".partial"


def align(
    studies: Annotated[
        list[Path],
        typer.Argument(metavar="STUDY.h5ad...", help="Labelled cells, one study per file.", show_default=False),
    ],
    model_dir: Annotated[
        Path, typer.Argument(metavar="OUT_MODEL", help="Folder of the model to write.", show_default=False)
    ],
    labels_key: Annotated[str, typer.Option(help="Column of .obs with cell types.", show_default=False)],
    markers: Annotated[
        list[Path],
        typer.Option(metavar="TABLE", help="Marker genes: .csv, .tsv, .gmt or .xlsx; repeatable.", show_default=False),
    ],
    marker_organism: Annotated[str, typer.Option(help="Species whose rows of the tables are used.")] = "human",
    organism: Organism = "human",
    orthologs: OrthologsFile = None,
    unlabeled_category: Annotated[
        list[str] | None, typer.Option(help="A label that means `not known`; repeatable.", show_default="Unknown")
    ] = None,
    text: Annotated[str, typer.Option(help="Text encoder: name, hub id, or folder.")] = "minilm",
    layer: Layer = None,
    gene_symbols: GeneSymbols = None,
    seed: Seed = 0,
    accelerator: Annotated[str, typer.Option(help="auto, cpu, gpu or mps.")] = "auto",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show how labels are mapped, and how long training would take.")
    ] = False,
    force: Force = False,
) -> None:
    """Learn from marker tables and labelled studies to label cells by text, and save the model.

    Each study is left out once, to calibrate the confidence, so pass two or more. Their genes may differ. Files are
    read in chunks, whatever their size. Until the model is saved, OUT_MODEL.partial keeps the state of training: the
    same command continues from there.

    Example: `scmpt align blood.h5ad gut.h5ad my_text_model --labels-key cell_type --markers PanglaoDB.tsv`
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
    species = chosen_organism(organism, orthologs) or "human"
    known = sorted({each for table in tables for each in table["organism"]})
    checked_choice(marker_organism, known, "--marker-organism")
    unlabeled = unlabeled_category or ["Unknown"]
    first, cells = _first_with_labels(studies, labels_key, unlabeled)
    others = [study for study in studies if study != first]
    quiet_libraries()
    scvi.settings.seed = seed
    # Layer and symbols as in the files, because queries are read likewise.
    SCMMGPT.setup_anndata(
        cells, labels_key, unlabeled_category=unlabeled, layer=layer, gene_symbols=gene_symbols, organism=species
    )
    model = SCMMGPT(cells, text_encoder=text)
    report = model.label_report(markers=tables, studies=others, marker_organism=marker_organism)
    what = f"{report['n_cells'].sum()} labelled cells of {len(studies)} {'study' if len(studies) == 1 else 'studies'}"
    has_no_markers = report["registered_type"].isna()
    if dry_run or has_no_markers.any():
        report["study"] = report["study"].replace("adata", str(first))
        shown = report if dry_run else report[has_no_markers]
        title = f"Labels of {what}" if dry_run else "Labels without markers: they are learned from names and cells only"
        rich.print(table_of(shown.fillna("").set_index("label"), title, index="label"))
    options: dict[str, Any] = {"studies": others, "marker_organism": marker_organism, "accelerator": accelerator}
    if dry_run:
        seconds = model.expected_seconds(markers=tables, **options)
        typer.echo(f"Training would take about {max(1, round(seconds / 60))} min. Nothing was written.")
        return
    partial = model_dir.with_name(model_dir.name + _PARTIAL_SUFFIX)
    model.train(markers=tables, progress=is_interactive(), checkpoints=partial, **options)
    save_or_rescue(lambda folder: model.save(str(folder), overwrite=force), model_dir)
    shutil.rmtree(partial)
    typer.echo(f"Learned from {what}: {model_dir}")
    typer.echo(f"Next: scmpt annotate {model_dir} QUERY.h5ad OUT.h5ad --labels LABEL --labels LABEL")


def _first_with_labels(paths: Sequence[Path], labels_key: str, unlabeled: Sequence[str]) -> "tuple[Path, AnnData]":
    """The first file with several labels, which the model is set up with, and its cells."""
    from scmpt_scverse._labels import labels_or

    for path in paths:
        cells = read_cells(path, backed=True)
        with errors_named(str(path)):
            check_key(labels_key, cells.obs.columns, "adata.obs")
        if len(set(labels_or(cells.obs[labels_key], unlabeled)) - {unlabeled[0]}) > 1:
            return path, cells
    return paths[0], read_cells(paths[0], backed=True)


def _check_distinct(paths: Sequence[Path]) -> None:
    repeated = [str(path) for path, n in Counter(path.resolve() for path in paths).items() if n > 1]
    if repeated:
        raise typer.BadParameter(
            f"Expected each study once; found {', '.join(repeated)} more than once.", param_hint="STUDY.h5ad..."
        )
