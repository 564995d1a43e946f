"""The `scmpt` command: the package on .h5ad files, without writing Python."""

from scmpt_scverse.cli._app import app

__all__ = ["app"]
