"""How all commands end: exit code 0, or 1 and one line that says what went wrong."""

import logging
import os
import sys
import warnings
from typing import Any, TextIO

import typer
from typer.core import TyperGroup

#: What users can cause, raised with sentences made for them; anything else is a fault of the package.
_USER_ERRORS = (ValueError, KeyError, ImportError, OSError, RuntimeError, MemoryError)
#: How the sentence about such a fault begins.
UNEXPECTED = "This is a fault of scmpt-scverse"


class Group(TyperGroup):
    """Commands that print an error as `error: ...` and end with exit code 1, and a warning as `warning: ...`.

    With `--debug` an error keeps its traceback.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run the command that `ctx` asks for."""
        if not is_interactive():
            # Read by huggingface-hub and transformers when they are imported.
            os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):  # names of files may hold bytes that are no text
                stream.reconfigure(errors="backslashreplace")
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            try:
                return super().invoke(ctx)
            except BrokenPipeError:  # whoever read the output has enough; typer ends quietly
                raise
            except (typer.Exit, typer.Abort):
                raise
            except Exception as error:
                # An error of usage has its exit code. Its class is click's, or that of the click inside of typer.
                if ctx.params["debug"] or hasattr(error, "exit_code"):
                    raise
                typer.echo(f"error: {_sentence(error)}", err=True)
                raise typer.Exit(1) from error


def is_interactive() -> bool:
    """Whether progress bars make sense: somebody is watching."""
    return sys.stderr.isatty()


def quiet_libraries() -> None:
    """Show only warnings and errors of scvi-tools and Lightning; importing them sets their levels."""
    import scvi

    scvi.settings.verbosity = logging.WARNING
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _sentence(error: Exception) -> str:
    message = _message(error)
    if isinstance(error, _USER_ERRORS):
        return message
    return (
        f"{UNEXPECTED}: {type(error).__name__}, {message}. Run `scmpt --debug` with the same command, and report what "
        "it prints."
    )


def _message(error: Exception) -> str:
    if isinstance(error, MemoryError):
        needed = f" ({error})" if str(error) else ""
        return f"Expected enough memory; found too little{needed}. Pass fewer cells, or use a larger machine."
    if isinstance(error, OSError) and error.strerror:  # without its number
        return error.strerror if error.filename is None else f"{error.strerror}: {error.filename}"
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
