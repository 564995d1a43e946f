"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

InFile = Annotated[Path, typer.Argument(metavar="IN.h5ad", help="Cells to read.", show_default=False)]
OutFile = Annotated[Path, typer.Argument(metavar="OUT.h5ad", help="File to write.", show_default=False)]
ModelDir = Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="Folder of the model.", show_default=False)]
Force = Annotated[bool, typer.Option("--force", help="Replace the output if it exists, even if it is the input.")]
Layer = Annotated[str | None, typer.Option(help="Key of .layers with expression.", show_default=".X")]
GeneSymbols = Annotated[str | None, typer.Option(help="Column of .var with gene symbols.", show_default="var_names")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same model.")]
MaxEpochs = Annotated[
    int | None, typer.Option(min=1, help="Most passes over the training cells.", show_default="by their number")
]
