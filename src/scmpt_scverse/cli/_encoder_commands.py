"""The commands about encoders. What is heavy to import is imported inside them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer
from rich.console import Console

from scmpt_scverse._h5ad import read_cells
from scmpt_scverse.cli._files import check_output
from scmpt_scverse.cli._group import is_interactive, quiet_libraries
from scmpt_scverse.cli._options import (
    CacheAction,
    Force,
    GeneSymbols,
    InFile,
    Layer,
    Organism,
    OrthologsFile,
    OutFile,
    Seed,
    parse_objectives,
)
from scmpt_scverse.cli._species import chosen_organism
from scmpt_scverse.cli._tables import table_of

if TYPE_CHECKING:
    from scmpt_scverse._types import Precision


def embed(
    source: InFile,
    output: OutFile,
    encoder: Annotated[str, typer.Option(help="Name (see `scmpt info`), hub id, or folder.", show_default=False)],
    organism: Organism = "human",
    orthologs: OrthologsFile = None,
    layer: Layer = None,
    gene_symbols: GeneSymbols = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Cells per forward pass.", show_default="auto")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Neither use nor fill the cache of embeddings.")] = False,
    executor: Annotated[
        str, typer.Option(help="serial, or ray: an encoder on each GPU or core of a cluster.")
    ] = "serial",
    force: Force = False,
) -> None:
    """Embed every cell with a frozen encoder; adds .obsm["X_ENCODER"].

    The file may be larger than memory. The same command continues an interrupted run, with what is in the cache.

    Example: `scmpt embed cells.h5ad embedded.h5ad --encoder minilm`
    """
    check_output(output, source=source, force=force)
    species = chosen_organism(organism, orthologs)
    import h5py
    from anndata.io import read_elem

    from scmpt_scverse import tl

    tl.embed(
        source,
        encoder,
        output=output,
        layer=layer,
        gene_symbols=gene_symbols,
        organism=species or "human",
        batch_size=batch_size or "auto",
        device=device,
        precision=cast("Precision", precision),
        cache=not no_cache,
        executor=cast("Literal['serial', 'ray']", executor),
        progress=is_interactive(),
    )
    with h5py.File(output, "r") as file:
        n_cells = len(read_elem(file["obs"]))  # without the embeddings, which an AnnData reads even if it is backed
    typer.echo(f"Embedded {n_cells} cells with {encoder}: {output}")


def pretrain(
    data: Annotated[
        list[Path], typer.Argument(metavar="DATA.h5ad...", help="Cells to learn from.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write.", show_default=False)],
    init: Annotated[
        str | None, typer.Option(metavar="CHECKPOINT", help="scGPT checkpoint to continue from: name or folder.")
    ] = None,
    organism: Organism = "human",
    orthologs: OrthologsFile = None,
    layer: Layer = None,
    gene_symbols: GeneSymbols = None,
    vocabulary: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Gene symbols to know, one per line.", show_default="from the data"),
    ] = None,
    objective: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=WEIGHT",
            help="What to minimise: masked_value, cell_value, cell_expression, cell_summary; repeatable.",
            show_default="cell_expression=1",
        ),
    ] = None,
    embsize: Annotated[int | None, typer.Option(min=1, help="Width.", show_default="128, or as in --init")] = None,
    nlayers: Annotated[int | None, typer.Option(min=1, help="Layers.", show_default="2, or as in --init")] = None,
    nheads: Annotated[
        int | None, typer.Option(min=1, help="Attention heads.", show_default="4, or as in --init")
    ] = None,
    d_hid: Annotated[
        int | None, typer.Option(min=1, help="Feed-forward width.", show_default="256, or as in --init")
    ] = None,
    max_epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the cells.", show_default="30")] = None,
    batch_size: Annotated[int | None, typer.Option(min=2, help="Cells per step.", show_default="128")] = None,
    n_visible: Annotated[
        int | None, typer.Option(min=1, help="Genes of a cell shown at once.", show_default="192")
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Highest learning rate.", show_default="0.001")] = None,
    min_cells: Annotated[
        int | None, typer.Option(min=1, help="Genes in fewer cells get no token.", show_default="5")
    ] = None,
    seed: Seed = 0,
    compact: Annotated[
        bool, typer.Option("--compact", help="Weights in float16 safetensors, which official code does not read.")
    ] = False,
    accelerator: Annotated[str, typer.Option(help="auto, cpu, gpu or mps.")] = "auto",
    devices: Annotated[str, typer.Option(help="How many, or auto.")] = "auto",
) -> None:
    """Pre-train a small scGPT encoder on your cells, or continue training one.

    Files are read in small pieces, so they may be larger than memory. The same command resumes an interrupted run.

    Example: `scmpt pretrain liver.h5ad gut.h5ad --out my_encoder`
    """
    from scmpt_scverse import encoders

    quiet_libraries()
    species = chosen_organism(organism, orthologs)
    options: dict[str, Any] = {
        "objectives": parse_objectives(objective) if objective else None,
        "embsize": embsize,
        "nlayers": nlayers,
        "nheads": nheads,
        "d_hid": d_hid,
        "max_epochs": max_epochs,
        "batch_size": batch_size,
        "n_visible": n_visible,
        "lr": lr,
        "min_cells": min_cells,
        "seed": seed,
    }
    recipe = encoders.PretrainingRecipe(**{name: value for name, value in options.items() if value is not None})
    encoder = encoders.pretrain(
        data,
        out,
        init=init,
        layer=layer,
        gene_symbols=gene_symbols,
        organism=species or "human",
        vocabulary=None if vocabulary is None else vocabulary.read_text(encoding="utf-8").split(),
        recipe=recipe,
        compact=compact,
        accelerator=accelerator,
        devices=int(devices) if devices.lstrip("-").isdigit() else devices,
    )
    typer.echo(f"Learned {len(encoder.vocabulary)} genes: {out}")
    typer.echo(f"Next: scmpt probe LABELLED.h5ad --encoder {out} --labels-key COLUMN")


def probe(
    source: Annotated[
        list[Path],
        typer.Argument(
            metavar="LABELLED.h5ad...", help="Cells that the encoder was not trained on.", show_default=False
        ),
    ],
    encoder: Annotated[str, typer.Option(help="Name (see `scmpt info`), hub id, or folder.", show_default=False)],
    labels_key: Annotated[str, typer.Option(help="Column of .obs with cell types.", show_default=False)],
    organism: Organism = "human",
    orthologs: OrthologsFile = None,
    layer: Layer = None,
    gene_symbols: GeneSymbols = None,
    n_seeds: Annotated[int, typer.Option(min=2, help="Repetitions, for the interval.")] = 5,
) -> None:
    """Measure what a linear classifier reads from an encoder, next to random weights and principal components.

    Prints the macro F1 in stratified 5-fold cross-validation: the mean over repetitions, and its 95 % interval.

    Example: `scmpt probe labelled.h5ad --encoder my_encoder --labels-key cell_type`
    """
    from scmpt_scverse import encoders, tl

    species = chosen_organism(organism, orthologs)
    probed = encoders.get(encoder)
    console = Console()
    for path in source:
        scores = tl.linear_probe(
            read_cells(path),
            probed,
            labels_key,
            layer=layer,
            gene_symbols=gene_symbols,
            organism=species or "human",
            n_seeds=n_seeds,
            progress=is_interactive(),
        )
        console.print(table_of(scores, str(path), index="features"))


def cache(
    action: Annotated[CacheAction, typer.Argument(help="Show what is in the cache, or remove it.")] = CacheAction.info,
) -> None:
    """Show or clear the cache of embeddings.

    The cache is in the user's cache folder, or in the folder named by the environment variable SCMPT_CACHE. It holds up
    to 10 GB, or up to SCMPT_CACHE_GB.

    Examples: `scmpt cache`, `scmpt cache clear`
    """
    from scmpt_scverse.encoders import EmbeddingCache

    rows = EmbeddingCache()
    if action is CacheAction.clear:
        rows.clear()
        typer.echo(f"Cleared: {rows.path}")
        return
    Console().print(table_of(rows.info().set_index("encoder"), str(rows.path), index="encoder"))
