"""Scripts that nobody runs every day still import what they use, from one another and from the package."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_benchmarks_of_text_models_import() -> None:
    pytest.importorskip("cellxgene_ontology_guide", reason="needs the extra `ontology`")
    code = "import atlas, cell_to_text, descriptions, few_shot, generation, unseen_types, zero_shot"
    result = subprocess.run([sys.executable, "-c", code], cwd=BENCHMARKS, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
