"""The commands. What is heavy to import is imported inside them, so that `--help` answers at once."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.console import Console

from scmpt_scverse._h5ad import read_cells
from scmpt_scverse.cli._files import check_model_dir, check_output, read_model, write_cells
from scmpt_scverse.cli._group import Group, is_interactive, quiet_libraries
from scmpt_scverse.cli._options import (
    CacheAction,
    Force,
    GeneSymbols,
    InFile,
    Layer,
    MaxEpochs,
    ModelDir,
    OutFile,
    Seed,
    choose_encoders,
    parse_objectives,
    parse_obsm_keys,
)
from scmpt_scverse.cli._tables import table_of

if TYPE_CHECKING:
    from scmpt_scverse._types import Precision

app = typer.Typer(
    cls=Group, no_args_is_help=True, add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False
)


@app.callback()
def main(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Annotate single cells by fusing what a text encoder and a foundation model of expression read in them.

    Start with `scmpt demo`: it annotates real cells in about a minute, without data or network.

    Exit codes: 0 it worked; 1 it failed, and stderr says why; 2 the command was not understood.
    """


@app.command()
def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for model, cells and pictures.")] = Path(
        "scmpt_demo"
    ),
    splits: Annotated[int, typer.Option(min=1, help="Ways to divide the cells; the table is their mean.")] = 5,
    seed: Seed = 0,
    max_epochs: MaxEpochs = None,
) -> None:
    """Annotate 210 real blood cells after learning from 490 others, and compare with simpler predictors.

    Example: `scmpt demo --out my_demo`
    """
    from scmpt_scverse.cli._demo import run_demo

    run_demo(out, seed=seed, n_splits=splits, max_epochs=max_epochs, console=Console())


@app.command()
def embed(
    source: InFile,
    output: OutFile,
    encoder: Annotated[str, typer.Option(help="Name (see `scmpt info`), hub id, or folder.", show_default=False)],
    layer: Layer = None,
    gene_symbols: GeneSymbols = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Cells per forward pass.", show_default="auto")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Neither use nor fill the cache of embeddings.")] = False,
    force: Force = False,
) -> None:
    """Embed every cell with a frozen encoder; adds .obsm["X_ENCODER"].

    The file may be larger than memory. The same command goes on where an interrupted one was, by what is in the cache.

    Example: `scmpt embed cells.h5ad embedded.h5ad --encoder minilm`
    """
    check_output(output, source=source, force=force)
    from scmpt_scverse import tl

    n_cells = tl.embed_file(
        source,
        output,
        encoder,
        layer=layer,
        gene_symbols=gene_symbols,
        batch_size=batch_size or "auto",
        device=device,
        precision=cast("Precision", precision),
        cache=not no_cache,
        progress=is_interactive(),
    )
    typer.echo(f"Embedded {n_cells} cells with {encoder}: {output}")


@app.command()
def train(
    source: InFile,
    model_dir: ModelDir,
    labels_key: Annotated[str, typer.Option(help="Column of .obs with cell types.", show_default=False)],
    unlabeled_category: Annotated[str, typer.Option(help="The label that means: not known.")] = "Unknown",
    layer: Layer = None,
    gene_symbols: GeneSymbols = None,
    batch_key: Annotated[str | None, typer.Option(help="Column of .obs with batches.")] = None,
    text: Annotated[str | None, typer.Option(help="Text encoder, or `none`.", show_default="ember-v1")] = None,
    expression: Annotated[
        str | None, typer.Option(help="Expression encoder, or `none`.", show_default="scgpt-human")
    ] = None,
    obsm: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=KEY", help="A modality that .obsm has already, instead of its encoder; repeatable."),
    ] = None,
    max_epochs: MaxEpochs = None,
    seed: Seed = 0,
    accelerator: Annotated[str, typer.Option(help="auto, cpu, gpu or mps.")] = "auto",
    force: Force = False,
) -> None:
    """Learn cell types from labelled cells and save the model.

    Cells without label are left out. Embeddings that the file has are used, missing ones are made.

    Example: `scmpt train cells.h5ad my_model --labels-key cell_type --text minilm --expression scgpt-mini`
    """
    obsm_keys = parse_obsm_keys(obsm or [])
    encoders = choose_encoders(text, expression, obsm_keys)
    check_model_dir(model_dir, force=force)
    adata = read_cells(source)
    import scvi

    from scmpt_scverse import SCMPT

    quiet_libraries()
    scvi.settings.seed = seed
    SCMPT.setup_anndata(
        adata,
        labels_key,
        unlabeled_category=unlabeled_category,
        layer=layer,
        gene_symbols=gene_symbols,
        batch_key=batch_key,
        obsm_keys=obsm_keys,
    )
    model = SCMPT(adata, encoders=encoders)
    model.embed(progress=is_interactive())
    model.train(max_epochs=max_epochs, accelerator=accelerator, enable_progress_bar=is_interactive())
    model.save(str(model_dir), overwrite=force)
    typer.echo(f"Learned {len(model.labels)} labels from {sum(model.label_counts_.values())} cells: {model_dir}")
    typer.echo(f"Next: scmpt annotate {model_dir} QUERY.h5ad OUT.h5ad")


@app.command()
def annotate(
    model_dir: ModelDir,
    source: InFile,
    output: OutFile,
    key_added: Annotated[str, typer.Option(help="Prefix of what is written.")] = "scmpt",
    force: Force = False,
) -> None:
    """Predict cell types; adds prediction and confidence to .obs, probabilities to .obsm.

    The cells need no label column, and their genes may be others, or in another order, than those learned from.

    Example: `scmpt annotate my_model query.h5ad annotated.h5ad`
    """
    check_output(output, source=source, force=force)
    adata = read_cells(source)
    model = read_model(model_dir)
    model.embed(adata, progress=is_interactive())
    model.annotate(adata, key_added=key_added)
    write_cells(adata, output)
    typer.echo(f"Annotated {adata.n_obs} cells: {output}")
    for label, count in adata.obs[f"{key_added}_prediction"].value_counts().items():
        typer.echo(f"{count:8d}  {label}")


@app.command()
def evaluate(
    model_dir: ModelDir,
    source: InFile,
    csv: Annotated[Path | None, typer.Option(metavar="FILE.csv", help="Write the table there too.")] = None,
    force: Force = False,
) -> None:
    """Compare predictions with the labels of cells that were not learned from, and with the majority label.

    Labels are read from the column that the model learned from.

    Example: `scmpt evaluate my_model labelled.h5ad --csv scores.csv`
    """
    if csv is not None:
        check_output(csv, source=source, force=force, suffix=".csv")
    adata = read_cells(source)
    model = read_model(model_dir)
    model.embed(adata, progress=is_interactive())
    scores = model.evaluate(adata)
    Console().print(table_of(scores, str(source), index="predictor"))
    if csv is not None:
        scores.to_csv(csv, index_label="predictor")


@app.command()
def pretrain(
    data: Annotated[
        list[Path], typer.Argument(metavar="DATA.h5ad...", help="Cells to learn from.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write.", show_default=False)],
    init: Annotated[
        str | None, typer.Option(metavar="CHECKPOINT", help="scGPT checkpoint to continue from: name or folder.")
    ] = None,
    layer: Layer = None,
    gene_symbols: GeneSymbols = None,
    vocabulary: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Gene symbols to know, one a line.", show_default="from the data"),
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
    batch_size: Annotated[int | None, typer.Option(min=2, help="Cells of a step.", show_default="128")] = None,
    n_visible: Annotated[
        int | None, typer.Option(min=1, help="Genes of a cell shown at a time.", show_default="192")
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
    """Pre-train a small scGPT encoder on your cells, or continue one.

    Files are read in small pieces, so they may be larger than memory. The same command resumes an interrupted run.

    Example: `scmpt pretrain liver.h5ad gut.h5ad --out my_encoder`
    """
    from scmpt_scverse import encoders

    quiet_libraries()
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
        vocabulary=None if vocabulary is None else vocabulary.read_text(encoding="utf-8").split(),
        recipe=recipe,
        compact=compact,
        accelerator=accelerator,
        devices=int(devices) if devices.lstrip("-").isdigit() else devices,
    )
    typer.echo(f"Learned {len(encoder.vocabulary)} genes: {out}")
    typer.echo(f"Next: scmpt probe LABELLED.h5ad --encoder {out} --labels-key COLUMN")


@app.command()
def probe(
    source: Annotated[
        list[Path], typer.Argument(metavar="LABELLED.h5ad...", help="Cells not trained on.", show_default=False)
    ],
    encoder: Annotated[str, typer.Option(help="Name (see `scmpt info`), hub id, or folder.", show_default=False)],
    labels_key: Annotated[str, typer.Option(help="Column of .obs with cell types.", show_default=False)],
    layer: Layer = None,
    gene_symbols: GeneSymbols = None,
    n_seeds: Annotated[int, typer.Option(min=2, help="Repetitions, for the interval.")] = 5,
) -> None:
    """Measure what a linear classifier reads from an encoder, beside random weights and principal components.

    Macro F1 in stratified 5-fold cross-validation, its mean over the repetitions and the 95 % interval of that.

    Example: `scmpt probe labelled.h5ad --encoder my_encoder --labels-key cell_type`
    """
    from scmpt_scverse import encoders, tl

    probed = encoders.get(encoder)
    console = Console()
    for path in source:
        scores = tl.linear_probe(
            read_cells(path),
            probed,
            labels_key,
            layer=layer,
            gene_symbols=gene_symbols,
            n_seeds=n_seeds,
            progress=is_interactive(),
        )
        console.print(table_of(scores, str(path), index="features"))


@app.command()
def cache(
    action: Annotated[CacheAction, typer.Argument(help="Show what is there, or remove it.")] = CacheAction.info,
) -> None:
    """Show or clear the cache of embeddings.

    It is in the user's cache folder, or where the environment variable SCMPT_CACHE says, and holds up to 10 GB, or what
    SCMPT_CACHE_GB says.

    Examples: `scmpt cache`, `scmpt cache clear`
    """
    from scmpt_scverse.streaming._embedding_cache import EmbeddingCache

    rows = EmbeddingCache()
    if action is CacheAction.clear:
        rows.clear()
        typer.echo(f"Cleared: {rows.path}")
        return
    Console().print(table_of(rows.info().set_index("encoder"), str(rows.path), index="encoder"))


@app.command()
def info(
    path: Annotated[
        Path | None,
        typer.Argument(metavar="MODEL_DIR|FILE.h5ad", help="What to describe.", show_default="this machine"),
    ] = None,
) -> None:
    """Describe this machine and the encoders, or a saved model, or the cells of a file.

    Examples: `scmpt info`, `scmpt info my_model`, `scmpt info cells.h5ad`
    """
    from scmpt_scverse.cli._info import describe_cells, describe_machine, describe_model

    console = Console()
    if path is None:
        describe_machine(console)
    elif not path.exists():
        raise FileNotFoundError(
            f"Expected the folder of a model or an .h5ad file at {path}; found none. Check the path."
        )
    elif path.is_dir():
        describe_model(path, console)
    else:
        describe_cells(path, console)
