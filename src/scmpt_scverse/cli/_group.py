"""How all commands end: exit code 0, or 1 and one line that says what went wrong."""

import logging
import sys
import warnings
from typing import TYPE_CHECKING, Any, TextIO

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from click import Context

#: What users can cause, raised with sentences made for them; anything else is a bug and keeps its traceback.
_USER_ERRORS = (ValueError, KeyError, ImportError, OSError)


class Group(TyperGroup):
    """Commands whose errors are printed as `error: ...` with exit code 1; `--debug` keeps the traceback."""

    def invoke(self, ctx: "Context") -> Any:
        """Run the command; see the class."""
        _speak_plainly()
        try:
            return super().invoke(ctx)
        except _USER_ERRORS as error:
            if ctx.params["debug"]:
                raise
            typer.echo(f"error: {_message(error)}", err=True)
            raise typer.Exit(1) from error


def is_interactive() -> bool:
    """Whether progress bars make sense: somebody is watching."""
    return sys.stderr.isatty()


def _message(error: Exception) -> str:
    # str() of a KeyError is the repr of its message.
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return text or type(error).__name__


def _speak_plainly() -> None:
    """Show warnings as sentences, and of Lightning's log only what is worse than news."""
    warnings.showwarning = _show_warning
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    typer.echo(f"warning: {message}", err=True)
