from pathlib import Path

import pytest
from typer.testing import CliRunner

from scmpt_scverse import datasets


@pytest.fixture
def runner() -> CliRunner:
    return CliRunner()


@pytest.fixture
def cells_file(tmp_path: Path) -> Path:
    path = tmp_path / "cells.h5ad"
    datasets.pbmc68k_reduced().write_h5ad(path)
    return path
