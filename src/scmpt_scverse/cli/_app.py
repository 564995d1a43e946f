"""The commands. What is heavy to import is imported inside them, so that `--help` answers at once."""

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from scmpt_scverse.cli._files import check_model_dir, check_output, read_cells, write_cells
from scmpt_scverse.cli._group import Group, is_interactive

app = typer.Typer(
    cls=Group, no_args_is_help=True, add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False
)

NO_ENCODER = "none"


class PrecisionName(StrEnum):
    """Choices of `--precision`."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


InFile = Annotated[Path, typer.Argument(metavar="IN.h5ad", help="Cells to read.", show_default=False)]
OutFile = Annotated[Path, typer.Argument(metavar="OUT.h5ad", help="File to write.", show_default=False)]
ModelDir = Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="Folder of a saved model.", show_default=False)]
Force = Annotated[bool, typer.Option("--force", help="Replace the output if it exists, even if it is the input.")]
Layer = Annotated[str | None, typer.Option(help="Key of .layers with expression.  [default: .X]")]
GeneSymbols = Annotated[str | None, typer.Option(help="Column of .var with gene symbols.  [default: var_names]")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same model.")]
MaxEpochs = Annotated[int | None, typer.Option(min=1, help="Most passes over the training cells.  [default: by size]")]


@app.callback()
def main(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Annotate single cells by fusing what a text encoder and a foundation model of expression read in them.

    Start with `scmpt demo`: it annotates real cells in about a minute, without data or network.

    Exit codes: 0 it worked, 1 it failed (the reason is on stderr), 2 the command was not understood.
    """


@app.command()
def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for model, cells and pictures.")] = Path("scmpt_demo"),
    seed: Seed = 0,
    max_epochs: MaxEpochs = None,
) -> None:
    """Annotate 210 real blood cells after learning from 490, and compare with simpler predictors.

    Example: `scmpt demo --out my_demo`
    """
    from scmpt_scverse.cli._demo import run_demo

    run_demo(out, seed=seed, max_epochs=max_epochs, console=Console())


@app.command()
def embed(
    source: InFile,
    output: OutFile,
    encoder: Annotated[str, typer.Option(help="Name (see `scmpt info`), hub id, or folder.", show_default=False)],
    layer: Layer = None,
    gene_symbols: GeneSymbols = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Cells per forward pass.  [default: auto]")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    precision: Annotated[PrecisionName, typer.Option(help="Number format of the encoder.")] = PrecisionName.AUTO,
    force: Force = False,
) -> None:
    """Embed every cell with a frozen encoder; adds .obsm["X_ENCODER"].

    Example: `scmpt embed cells.h5ad embedded.h5ad --encoder minilm`
    """
    check_output(output, source=source, force=force)
    adata = read_cells(source)
    from scmpt_scverse import tl

    tl.embed(
        adata,
        encoder,
        layer=layer,
        gene_symbols=gene_symbols,
        batch_size=batch_size or "auto",
        device=device,
        precision=precision.value,
        progress=is_interactive(),
    )
    write_cells(adata, output)
    typer.echo(f"Embedded {adata.n_obs} cells with {encoder}: {output}")


@app.command()
def train(
    source: InFile,
    model_dir: Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="Folder to save to.", show_default=False)],
    labels_key: Annotated[str, typer.Option(help="Column of .obs with cell types.", show_default=False)],
    unlabeled_category: Annotated[str, typer.Option(help="The label that means: not known.")] = "Unknown",
    layer: Layer = None,
    gene_symbols: GeneSymbols = None,
    batch_key: Annotated[str | None, typer.Option(help="Column of .obs with batches.")] = None,
    text: Annotated[
        str | None, typer.Option(help="Text encoder, or `none`.  [default: ember-v1, unless --obsm text=...]")
    ] = None,
    expression: Annotated[
        str | None, typer.Option(help="Expression encoder, or `none`.  [default: scgpt-human, unless --obsm expression=...]")
    ] = None,
    obsm: Annotated[
        list[str] | None, typer.Option(metavar="NAME=KEY", help="An embedding that .obsm has already; repeatable.")
    ] = None,
    max_epochs: MaxEpochs = None,
    seed: Seed = 0,
    accelerator: Annotated[str, typer.Option(help="auto, cpu, gpu, mps.")] = "auto",
    force: Force = False,
) -> None:
    """Learn cell types from labelled cells and save the model.

    Cells without label, or with the unlabeled category, are left out. Embeddings that are in the file are used; missing
    ones are made.

    Example: `scmpt train cells.h5ad my_model --labels-key cell_type --text minilm --obsm expression=X_pca`
    """
    own = _own_modalities(obsm or [])
    encoders = {
        modality: given or default
        for modality, given, default in (("text", text, "ember-v1"), ("expression", expression, "scgpt-human"))
        if given != NO_ENCODER and (given or modality not in own)
    }
    check_model_dir(model_dir, force=force)
    adata = read_cells(source)
    import scvi

    from scmpt_scverse import SCMPT

    started = time.perf_counter()
    scvi.settings.seed = seed
    SCMPT.setup_anndata(
        adata,
        labels_key,
        unlabeled_category=unlabeled_category,
        layer=layer,
        gene_symbols=gene_symbols,
        batch_key=batch_key,
        obsm_keys=own or None,
    )
    model = SCMPT(adata, encoders=encoders)
    model.embed(progress=is_interactive())
    model.train(max_epochs=max_epochs, accelerator=accelerator, enable_progress_bar=is_interactive())
    model.save(model_dir, overwrite=force)
    typer.echo(f"Trained in {time.perf_counter() - started:.0f} s: {model_dir}")
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

    The cells need no label column, and their genes may be others or in another order than those of the training cells.

    Example: `scmpt annotate my_model query.h5ad annotated.h5ad`
    """
    check_output(output, source=source, force=force)
    adata = read_cells(source)
    from scmpt_scverse import SCMPT

    model = SCMPT.load(model_dir, adata=False)
    model.embed(adata, progress=is_interactive())
    model.annotate(adata, key_added=key_added)
    write_cells(adata, output)
    predicted, confidence = adata.obs[f"{key_added}_prediction"], adata.obs[f"{key_added}_confidence"]
    typer.echo(f"Annotated {adata.n_obs} cells, median confidence {confidence.median():.2f}: {output}")
    for label, count in predicted.value_counts().items():
        if count:
            typer.echo(f"{count:8d}  {label}")


@app.command()
def evaluate(
    model_dir: ModelDir,
    source: InFile,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the table there too.")] = None,
) -> None:
    """Compare predictions with the labels of the cells, and with the majority label.

    The labels are read from the column that the model was trained on.

    Example: `scmpt evaluate my_model labelled.h5ad --csv scores.csv`
    """
    adata = read_cells(source)
    from scmpt_scverse import SCMPT
    from scmpt_scverse.cli._tables import table_of

    model = SCMPT.load(model_dir, adata=False)
    model.embed(adata, progress=is_interactive())
    scores = model.evaluate(adata)
    Console().print(table_of(scores, f"{source}", index="predictor"))
    if csv is not None:
        scores.to_csv(csv)


@app.command()
def info(
    path: Annotated[
        Path | None, typer.Argument(metavar="[MODEL_DIR|FILE.h5ad]", help="What to describe.", show_default=False)
    ] = None,
) -> None:
    """Describe this machine and the encoders, or a saved model, or the cells of a file.

    Examples: `scmpt info`, `scmpt info my_model`, `scmpt info cells.h5ad`
    """
    from scmpt_scverse.cli._info import describe_cells, describe_machine, describe_model

    console = Console()
    if path is None:
        describe_machine(console)
    elif path.is_dir():
        describe_model(path, console)
    else:
        describe_cells(read_cells(path), console)


def _own_modalities(obsm: list[str]) -> dict[str, str]:
    """`["text=X_mine"]` as `{"text": "X_mine"}`."""
    pairs = [entry.partition("=") for entry in obsm]
    for entry, (name, _, key) in zip(obsm, pairs, strict=True):
        if not (name and key):
            raise typer.BadParameter(f"Expected NAME=KEY, such as expression=X_pca; found {entry!r}.")
    return {name: key for name, _, key in pairs}
