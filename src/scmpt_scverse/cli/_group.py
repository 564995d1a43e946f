"""How all commands end: exit code 0, or 1 and one line that says what went wrong."""

import logging
import os
import sys
import warnings
from typing import Any, TextIO

import typer
from typer.core import TyperGroup

#: What users can cause, raised with sentences made for them; anything else is a bug and keeps its traceback.
_USER_ERRORS = (ValueError, KeyError, ImportError, OSError)


class Group(TyperGroup):
    """Commands that print an error as `error: ...` and end with exit code 1, and a warning as `warning: ...`.

    With `--debug` an error keeps its traceback.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run the command that `ctx` asks for."""
        if not is_interactive():
            # Read by huggingface-hub and transformers when they are imported.
            os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            try:
                return super().invoke(ctx)
            except BrokenPipeError:  # whoever read the output has enough; typer ends quietly
                raise
            except _USER_ERRORS as error:
                if ctx.params["debug"]:
                    raise
                typer.echo(f"error: {_message(error)}", err=True)
                raise typer.Exit(1) from error


def is_interactive() -> bool:
    """Whether progress bars make sense: somebody is watching."""
    return sys.stderr.isatty()


def quiet_libraries() -> None:
    """Of what scvi-tools and Lightning log, show only what is worse than news; importing them sets their levels."""
    import scvi

    scvi.settings.verbosity = logging.WARNING
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _message(error: Exception) -> str:
    # str() of a KeyError is the repr of its message.
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return text or type(error).__name__


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    if not issubclass(category, FutureWarning | DeprecationWarning):  # those are for developers
        typer.echo(f"warning: {message}", err=True)
