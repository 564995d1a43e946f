"""The accuracy benchmark stores what it measures and does not measure it twice."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "accuracy.py"


def run(folder: Path, *predictors: str) -> dict[str, Any]:
    pytest.importorskip("celltypist", reason="needs the extra `baselines`")
    command = [
        sys.executable,
        str(SCRIPT),
        "--sets",
        "scanpy PBMC",
        "--results",
        str(folder),
        "--predictors",
        *predictors,
    ]
    subprocess.run(command, check=True, capture_output=True)
    record: dict[str, Any] = json.loads((folder / "accuracy.json").read_text())
    return record


def test_rows_are_stored_once_and_kept(tmp_path: Path) -> None:
    # What an interrupted run has is not measured again.
    kept = {
        "set": "scanpy PBMC",
        "replicate": 2,
        "predictor": "majority",
        "hidden": None,
        "seconds": 9.5,
        "macro_f1": 0.0123,
    }
    (tmp_path / "accuracy.partial.jsonl").write_text(json.dumps(kept) + "\n")
    found = run(tmp_path, "majority", "LR HVG + PCA")["rows"]
    rows = {(row["predictor"], row["replicate"]): row for row in found}
    assert len(rows) == len(found) == 10
    assert rows.pop(("majority", 2)) == kept
    assert {row["n_cells"] for row in rows.values()} == {140}
    assert rows["LR HVG + PCA", 0]["macro_f1"] > rows["majority", 0]["macro_f1"] + 0.3
