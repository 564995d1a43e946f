"""Arguments and options that several commands share, and what those of `train` mean together."""

from enum import StrEnum
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


class CacheAction(StrEnum):
    """What `scmpt cache` does."""

    info = "info"
    clear = "clear"


#: Names no encoder: the model does without that modality.
_NO_ENCODER = "none"


def parse_obsm_keys(pairs: list[str]) -> dict[str, str]:
    """`["text=X_mine"]` as `{"text": "X_mine"}`; a usage error for anything else."""
    obsm_keys = {}
    for pair in pairs:
        name, _, key = pair.partition("=")
        if not (name and key):
            raise typer.BadParameter(
                f"Expected NAME=KEY, such as expression=X_pca; found {pair!r}.", param_hint="--obsm"
            )
        if name in obsm_keys:
            raise typer.BadParameter(f"The modality {name!r} is given twice.", param_hint="--obsm")
        obsm_keys[name] = key
    return obsm_keys


def parse_objectives(pairs: list[str]) -> dict[str, float]:
    """`["cell_value=0.5"]` as `{"cell_value": 0.5}`; a usage error for anything else."""
    objectives = {}
    for pair in pairs:
        name, _, weight = pair.partition("=")
        try:
            objectives[name] = float(weight)
        except ValueError as error:
            raise typer.BadParameter(
                f"Expected NAME=WEIGHT, such as cell_value=0.5; found {pair!r}.", param_hint="--objective"
            ) from error
    return objectives


def choose_encoders(text: str | None, expression: str | None, obsm_keys: dict[str, str]) -> dict[str, str]:
    """Modality to encoder: what was asked for, else the pair of the paper, except where `obsm_keys` brings one."""
    from scmpt_scverse.encoders._catalog import DEFAULT_ENCODERS

    given = {"text": text, "expression": expression}
    wanted = {
        name: encoder or DEFAULT_ENCODERS[name] for name, encoder in given.items() if encoder or name not in obsm_keys
    }
    return {name: encoder for name, encoder in wanted.items() if encoder != _NO_ENCODER}
