"""Arguments and options that several commands share, and what those of `train` mean together."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scmpt_scverse._checks import did_you_mean, list_some

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

InFile = Annotated[Path, typer.Argument(metavar="IN.h5ad", help="Cells to read.", show_default=False)]
OutFile = Annotated[Path, typer.Argument(metavar="OUT.h5ad", help="File to write.", show_default=False)]
ModelDir = Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="Folder of the model.", show_default=False)]
Model = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL",
        help="Folder of a model, or the name of one that comes with this package, such as scmmgpt-mini.",
        show_default=False,
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace the output if it exists, even if it is the input.")]
Layer = Annotated[str | None, typer.Option(help="Key of .layers with expression.", show_default=".X")]
GeneSymbols = Annotated[str | None, typer.Option(help="Column of .var with gene symbols.", show_default="var_names")]
QueryLayer = Annotated[
    str | None,
    typer.Option(help="Key of .layers with expression; X for .X.", show_default="as in the training cells"),
]
QueryGeneSymbols = Annotated[
    str | None,
    typer.Option(
        help="Column of .var with gene symbols; var_names for the names.", show_default="as in the training cells"
    ),
]
Genes = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="The genes to read: a query with a targeted panel (.h5ad), or a text file with one gene per line.",
        show_default="all",
    ),
]
Organism = Annotated[
    str,
    typer.Option(
        help="Species of the cells: human; mouse, or another with --orthologs, read through human orthologs; auto, by "
        "the names of genes; or native, symbols as they are."
    ),
]
QueryOrganism = Annotated[
    str | None,
    typer.Option(
        help="Species of the cells: human; mouse, or another with --orthologs, read through human orthologs; auto, by "
        "the names of genes; or native, symbols as they are.",
        show_default="as the training cells",
    ),
]
OrthologsFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Orthologs of the species, .csv or .tsv: columns gene, human_gene, and if known gene_id and aliases.",
        show_default=False,
    ),
]
TextLabels = Annotated[
    list[str] | None,
    typer.Option(help="Text models: a cell type to choose from; repeatable.", show_default="all types that it knows"),
]
LabelsFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Text models: cell types, one per line, optionally with a description or markers after a tab.",
        show_default=False,
    ),
]
Tissue = Annotated[
    str | None, typer.Option(help="Text models: choose from the cell types of this tissue.", show_default=False)
]
Background = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="Text models: what cells are compared with, from 0 (mean of the file) to 1 (mean of other studies).",
        show_default="0.5",
    ),
]
Seed = Annotated[int, typer.Option(help="The same seed gives the same model.")]
MaxEpochs = Annotated[
    int | None,
    typer.Option(min=1, help="Maximum number of passes over the training cells.", show_default="by their number"),
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


def choose_encoders(
    preset: str, named: "Mapping[str, str | None]", *, counts: bool, obsm_keys: dict[str, str]
) -> dict[str, str] | None:
    """Modality to encoder where one was asked for; `None` where the preset is taken as it is.

    `named` has the encoder of each modality that was asked for. The other modalities are those of the preset, except
    where `obsm_keys` brings one.
    """
    from scmpt_scverse.modalities import COUNTS, preset_of

    if all(encoder is None for encoder in named.values()) and counts:
        return None
    wanted = {name: encoder for name, encoder in preset_of(preset).encoders.items() if name not in obsm_keys}
    wanted |= {name: encoder for name, encoder in named.items() if encoder is not None}
    if not counts:
        wanted.pop(COUNTS, None)
    return {name: encoder for name, encoder in wanted.items() if encoder != _NO_ENCODER}


def check_only_for_text_models(model: Path, options: "Mapping[str, object]") -> None:
    """A usage error where options of text models are given for another model; `options` are values by name."""
    given = [option for option, value in options.items() if value is not None]
    if given:
        raise typer.BadParameter(
            f"Only for a text model; {model} learned its labels from cells and has no others.",
            param_hint=", ".join(given),
        )


def checked_choice(value: str | None, choices: "Sequence[str]", option: str, advice: str = "") -> None:
    """A usage error unless an option was left out or is one of the choices of a registry."""
    if value is not None and value not in choices:
        hint = did_you_mean(value, choices)
        raise typer.BadParameter(
            " ".join(filter(None, (f"{value!r} is not one of {list_some(choices)}.{hint}", advice))), param_hint=option
        )
