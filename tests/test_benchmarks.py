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
    first = run(tmp_path, "majority")
    assert [row["replicate"] for row in first["rows"]] == [0, 1, 2, 3, 4]
    assert {row["n_cells"] for row in first["rows"]} == {140}
    # An interrupted run goes on with what it has.
    (tmp_path / "accuracy.partial.jsonl").write_text("".join(json.dumps(row) + "\n" for row in first["rows"][:3]))
    second = run(tmp_path, "majority", "LR HVG + PCA")
    rows = {(row["predictor"], row["replicate"]): row for row in second["rows"]}
    assert len(rows) == len(second["rows"]) == 10
    assert rows["majority", 2] == first["rows"][2]
    assert rows["LR HVG + PCA", 0]["macro_f1"] > rows["majority", 0]["macro_f1"] + 0.3
