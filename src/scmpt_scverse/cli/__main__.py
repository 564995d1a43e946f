"""Run as `python -m scmpt_scverse.cli`."""

from scmpt_scverse.cli import app

app(prog_name="scmpt")
