"""Open the models that commands are given. What kind a model is, is known before anything slow."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from scmpt_scverse._checks import did_you_mean, list_some
from scmpt_scverse.cli._group import quiet_libraries

if TYPE_CHECKING:
    from scmpt_scverse import SCMMGPT, SCMPT
    from scmpt_scverse.zero_shot import Labels


def is_text_model(path: Path) -> bool:
    """Whether a model takes labels as texts (`SCMMGPT`), rather than having learned them from cells (`SCMPT`).

    Raises
    ------
    FileNotFoundError
        There is no such folder, and no model of this package has that name.
    ValueError
        The model is damaged.
    """
    from scmpt_scverse._saved_files import saved_class
    from scmpt_scverse.model import SCMMGPT, pretrained_folder, pretrained_names

    folder = pretrained_folder(path)
    if not folder.exists():
        names = pretrained_names()
        raise FileNotFoundError(
            f"Expected a saved model in {path}; found no such folder.{did_you_mean(str(path), names)} Pass the folder "
            f"of a model, or the name of one that comes with this package ({list_some(names)})."
        )
    return saved_class(folder) == SCMMGPT.__name__


def read_model(path: Path) -> "SCMPT":
    """The model saved in a folder, without data; raises as :meth:`scmpt_scverse.SCMPT.load` does."""
    from scmpt_scverse import SCMPT
    from scmpt_scverse.model import pretrained_folder

    if is_text_model(path):
        raise typer.BadParameter(
            f"Expected a model that learned its labels from cells; found a text model, {path}. Make one with `scmpt "
            "train`, or use `scmpt annotate` or `scmpt search`, which take text models.",
            param_hint="MODEL_DIR",
        )
    quiet_libraries()
    return SCMPT.load(str(pretrained_folder(path)), adata=False)


def check_text_model(path: Path) -> None:
    """A usage error unless a model is a text model; raises as :func:`is_text_model`, too."""
    if not is_text_model(path):
        raise typer.BadParameter(
            f"Expected a text model; found {path}, which learned its labels from cells. Pass a model of `scmpt align`, "
            "or one that comes with this package.",
            param_hint="MODEL",
        )


def check_labels(model: "SCMMGPT", labels: "Labels | None", tissue: str | None) -> None:
    """Refuse labels before cells are read; warnings come when they are used. Raises as `SCMMGPT.resolve_labels`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.resolve_labels(labels, tissue=tissue)


def read_text_model(path: Path) -> "SCMMGPT":
    """The text model of that name or folder; raises as :meth:`scmpt_scverse.SCMMGPT.from_pretrained` does."""
    from scmpt_scverse import SCMMGPT

    quiet_libraries()
    return SCMMGPT.from_pretrained(path)
