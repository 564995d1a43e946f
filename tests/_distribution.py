"""An installed package that registers names, as pip leaves it: a module and a `.dist-info` folder on the path."""

import sys
from pathlib import Path

import pytest

from scmpt_scverse.attribution import ATTRIBUTORS
from scmpt_scverse.description import WRITERS
from scmpt_scverse.encoders import ENCODERS
from scmpt_scverse.llm import CLIENTS
from scmpt_scverse.module import FUSIONS

REGISTRIES = {"encoders": ENCODERS, "fusion": FUSIONS, "attributors": ATTRIBUTORS, "llm": CLIENTS, "writers": WRITERS}


def install(
    site: Path, monkeypatch: pytest.MonkeyPatch, entry_points: str, code: str = "", *, name: str = "toy-plugin"
) -> None:
    """Install the package `name` with one module, in which `code` is, for the length of a test."""
    # A process reads the installed packages once. What it had read is put back after the test.
    for registry in REGISTRIES.values():
        _ = registry.installed
        monkeypatch.delitem(registry.__dict__, "installed")
    module = name.replace("-", "_")
    info = site / f"{module}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\nSummary: for tests\nLicense-Expression: MIT\n"
    )
    (info / "entry_points.txt").write_text(entry_points)
    (site / f"{module}.py").write_text(code)
    monkeypatch.syspath_prepend(site)
    monkeypatch.delitem(sys.modules, module, raising=False)
