"""The commands that write what a saved model says of cells. What is heavy to import is imported inside them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scmpt_scverse._h5ad import check_storable, read_cells
from scmpt_scverse._slots import DEFAULT_KEY_ADDED, PredictionKeys, Slot, TextLabelKeys, check_writable
from scmpt_scverse.cli._files import check_output, save_cells
from scmpt_scverse.cli._group import is_interactive
from scmpt_scverse.cli._labels_file import given_labels
from scmpt_scverse.cli._models import check_labels, check_text_model, is_text_model, read_model, read_text_model
from scmpt_scverse.cli._options import (
    Background,
    Force,
    InFile,
    LabelsFile,
    Model,
    OrthologsFile,
    OutFile,
    QueryGeneSymbols,
    QueryLayer,
    QueryOrganism,
    TextLabels,
    Tissue,
    check_only_for_text_models,
    checked_choice,
)
from scmpt_scverse.cli._species import chosen_organism, where_read

if TYPE_CHECKING:
    from scmpt_scverse.model import SCMMGPT

_TEXT_KEY_ADDED = "scmmgpt"
#: A text fits a cell well that scores above: better than those of 19 in 20 cell types.
_HIGH_SCORE = 0.95


def annotate(
    model: Model,
    source: InFile,
    output: OutFile,
    labels: TextLabels = None,
    labels_file: LabelsFile = None,
    tissue: Tissue = None,
    refine: Annotated[
        str | None,
        typer.Option(
            help="Text models: how to use other cells of the file: none, smooth or self-train.",
            show_default="self-train",
        ),
    ] = None,
    min_confidence: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Cells below it stay Unknown.", show_default="as in the model, or 0"),
    ] = None,
    max_novelty: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Cells above it stay Unknown. Text models: at 0.5, a type that was not named fits as well.",
            show_default="as in the model, or 1",
        ),
    ] = None,
    background: Background = None,
    key_added: Annotated[
        str | None,
        typer.Option(
            help="Prefix of the names that are written.", show_default=f"{DEFAULT_KEY_ADDED}, or {_TEXT_KEY_ADDED}"
        ),
    ] = None,
    organism: QueryOrganism = None,
    orthologs: OrthologsFile = None,
    layer: QueryLayer = None,
    gene_symbols: QueryGeneSymbols = None,
    force: Force = False,
) -> None:
    """Predict cell types; adds prediction and confidence to .obs, probabilities to .obsm.

    The cells need no label column, and their genes may differ from those of the training cells, or be in another order.
    A text model (`scmpt align`) takes the labels from you, and compares the cells of the file with one another.

    Examples: `scmpt annotate my_model query.h5ad annotated.h5ad`, `scmpt annotate scmmgpt-mini query.h5ad out.h5ad
    --labels "B cell" --labels monocyte --labels "T cell"`, `scmpt annotate my_model mouse.h5ad out.h5ad --organism
    mouse`
    """
    check_output(output, source=source, force=force)
    species = chosen_organism(organism, orthologs)
    is_text = is_text_model(model)
    of_text = {
        "--labels": labels,
        "--labels-file": labels_file,
        "--tissue": tissue,
        "--refine": refine,
        "--background": background,
    }
    options: dict[str, Any] = {}
    if is_text:
        options = _text_options(labels, labels_file, tissue, refine, min_confidence, max_novelty)
        key_added = _TEXT_KEY_ADDED if key_added is None else key_added
        keys: TextLabelKeys | PredictionKeys = TextLabelKeys.from_prefix(key_added)
        opened = _text_model(model, background)
        check_labels(opened, options.get("labels"), tissue)
    else:
        check_only_for_text_models(model, of_text)
        key_added = DEFAULT_KEY_ADDED if key_added is None else key_added
        keys = PredictionKeys.from_prefix(key_added)
    adata = read_cells(source)
    check_writable(adata, key_added, keys.slots)
    check_storable(adata)
    if is_text:
        where = where_read(adata, opened.registry, layer, gene_symbols, species)
        opened.annotate(adata, key_added=key_added, **options, **where)
    else:
        trained = read_model(model)
        where = where_read(adata, trained.registry, layer, gene_symbols, species)
        trained.embed(adata, progress=is_interactive(), **where)
        trained.annotate(adata, key_added=key_added, min_confidence=min_confidence, max_novelty=max_novelty, **where)
    save_cells(adata, output)
    typer.echo(f"Annotated {adata.n_obs} cells: {output}")
    for label, count in adata.obs[keys.prediction].value_counts().items():
        typer.echo(f"{count:8d}  {label}")


def search(
    model: Model,
    source: InFile,
    output: OutFile,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What to look for, in quotes.", show_default=False)],
    background: Background = None,
    key_added: Annotated[str, typer.Option(help="Column of .obs that is written.")] = "scmmgpt_search",
    organism: QueryOrganism = None,
    orthologs: OrthologsFile = None,
    layer: QueryLayer = None,
    gene_symbols: QueryGeneSymbols = None,
    force: Force = False,
) -> None:
    """Score cells by how well a text fits them; adds a column from 0 to 1 to .obs.

    The score is the share of cell types known to the text model whose text fits the cell less well than yours.

    Example: `scmpt search scmmgpt-mini query.h5ad found.h5ad "cells that secrete insulin"`
    """
    if not text.strip():
        raise typer.BadParameter("Expected a text to search for; found a blank one.", param_hint="TEXT")
    check_output(output, source=source, force=force)
    species = chosen_organism(organism, orthologs)
    check_text_model(model)
    adata = read_cells(source)
    check_writable(adata, key_added, [Slot("obs", key_added)])
    check_storable(adata)
    opened = _text_model(model, background)
    where = where_read(adata, opened.registry, layer, gene_symbols, species)
    opened.search(adata, text, key_added=key_added, **where)
    save_cells(adata, output)
    n_found = int((adata.obs[key_added] > _HIGH_SCORE).sum())
    typer.echo(f"{n_found} of {adata.n_obs} cells score above {_HIGH_SCORE}: {output}")


def _text_model(model: Path, background: float | None) -> "SCMMGPT":
    opened = read_text_model(model)
    if background is not None:
        opened.background = background
    return opened


def _text_options(
    labels: list[str] | None,
    labels_file: Path | None,
    tissue: str | None,
    refine: str | None,
    min_confidence: float | None,
    max_novelty: float | None,
) -> dict[str, Any]:
    """Options of `SCMMGPT.annotate`, where they were given."""
    from scmpt_scverse.zero_shot import REFINEMENTS

    checked_choice(refine, REFINEMENTS, "--refine")
    options = {
        "labels": given_labels(labels, labels_file, tissue),
        "tissue": tissue,
        "refine": refine,
        "min_confidence": min_confidence,
        "max_novelty": max_novelty,
    }
    return {name: value for name, value in options.items() if value is not None}
