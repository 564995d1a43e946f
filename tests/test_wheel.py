"""What is installed: the package, the models inside it and the licence, and nothing else."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: Bytes that PyPI takes without being asked, with room to spare.
_MOST_BYTES = 30_000_000


@pytest.mark.slow
@pytest.mark.network
def test_wheel_holds_the_package_and_nothing_else(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "No matching distribution found for hatchling" in done.stderr:
        pytest.skip("no network to fetch the build backend")
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.stat().st_size < _MOST_BYTES
    with zipfile.ZipFile(wheel) as content:
        names = content.namelist()
    of_package = {name for name in names if not name.split("/")[0].endswith(".dist-info")}
    source = ROOT / "src"
    expected = {
        path.relative_to(source).as_posix()
        for path in (source / "scmpt_scverse").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert of_package == expected
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert any(name.endswith("bundled/scmmgpt-mini/model.safetensors") for name in names)
