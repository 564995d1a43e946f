"""From file to file gives what embedding in memory gives, and leaves nothing behind when it fails."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import anndata
import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

from scmpt_scverse import encoders, tl


@pytest.fixture
def source(pbmc: AnnData, tmp_path: Path) -> Path:
    pbmc.layers["log"] = pbmc.X
    pbmc.raw = pbmc[:, :50].copy()
    pbmc.write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path / "cells.h5ad"


def test_gives_what_embedding_in_memory_gives(source: Path, scgpt_folder: Path) -> None:
    output = source.with_name("out.h5ad")

    tl.embed(source, scgpt_folder, output=output, precision="float32", progress=False)

    written, expected = anndata.read_h5ad(output), anndata.read_h5ad(source)
    tl.embed(expected, scgpt_folder, precision="float32", progress=False, cache=False)
    np.testing.assert_allclose(written.obsm["X_scgpt-small"], expected.obsm["X_scgpt-small"], atol=1e-5)
    record, expected_record = (adata.uns["scmpt"]["embeddings"]["X_scgpt-small"] for adata in (written, expected))
    assert record == expected_record
    for part in ("X", "layers", "obsm", "raw"):
        assert part in dir(written)
    np.testing.assert_array_equal(written.layers["log"].toarray(), expected.X.toarray())
    np.testing.assert_array_equal(written.raw.X.toarray(), expected.raw.X.toarray())
    np.testing.assert_array_equal(written.obsm["X_pca"], expected.obsm["X_pca"])
    assert written.obs.equals(expected.obs)
    assert set(written.uns) == set(expected.uns)


def test_a_second_encoder_and_the_source_itself_as_output(source: Path, scgpt_folder: Path) -> None:
    tl.embed(source, scgpt_folder, output=source, key_added="first", progress=False)
    tl.embed(source, scgpt_folder, output=source, key_added="second", progress=False)
    tl.embed(source, scgpt_folder, output=source, key_added="first", progress=False)  # written before: replaced

    written = anndata.read_h5ad(source)
    np.testing.assert_array_equal(written.obsm["first"], written.obsm["second"])
    assert set(written.uns["scmpt"]["embeddings"]) == {"first", "second"}


def test_errors_leave_the_files_as_they_were(source: Path, scgpt_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, output = source.read_bytes(), source.with_name("out.h5ad")
    with pytest.raises(ValueError, match=r"`adata.obsm\['X_pca'\]` exists and was not written by"):
        tl.embed(source, scgpt_folder, output=output, key_added="X_pca")
    with pytest.raises(KeyError, match="No 'counts' in `adata.layers`"):
        tl.embed(source, scgpt_folder, output=output, layer="counts")
    with pytest.raises(FileNotFoundError, match="Expected an .h5ad file at"):
        tl.embed(source.with_name("absent.h5ad"), scgpt_folder, output=output)

    def no_room(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", no_room)
    with pytest.raises(OSError, match="No space left on device"):
        tl.embed(source, scgpt_folder, output=output, progress=False)
    assert [path.name for path in source.parent.iterdir()] == [source.name]
    assert source.read_bytes() == before


def test_a_place_where_no_file_can_be_is_refused_first(
    source: Path, scgpt_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoders.ScGPTEncoder, "encode", None)  # nothing is computed
    (source.parent / "folder").mkdir()
    for output, error, found in (
        (source.parent / "folder", FileExistsError, "Expected a file at .*; found a folder"),
        (source.parent / "new" / "cells.h5ad", FileNotFoundError, "The folder .*new does not exist. Make it"),
        (source / "cells.h5ad", FileNotFoundError, "The folder .* does not exist"),
    ):
        with pytest.raises(error, match=found):
            tl.embed(source, scgpt_folder, output=output)


def test_a_full_disk_is_refused_first(source: Path, scgpt_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    with pytest.raises(OSError, match=r"Expected room for 0\.0 GB in .*; found 0\.0 GB. Make room"):
        tl.embed(source, scgpt_folder, output=source.with_name("out.h5ad"), layer="log", progress=False)
    assert [path.name for path in source.parent.iterdir()] == [source.name]


FILL = """
import resource, signal, sys
from pathlib import Path
from scmpt_scverse import encoders, tl
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write beyond the limit then fails, as on a full disk
size = Path(sys.argv[1]).stat().st_size + 50_000
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
try:
    tl.embed(sys.argv[1], sys.argv[3], output=sys.argv[2], cache=False, progress=False)
except OSError as error:
    print("OSError", error)
"""


def test_a_disk_that_has_filled_up_when_writing_begins(source: Path, scgpt_folder: Path) -> None:
    before, output = source.read_bytes(), source.with_name("out.h5ad")
    output.write_bytes(b"an older result")
    done = run(FILL, source, output, scgpt_folder)

    assert done.startswith("OSError")
    assert {path.name for path in source.parent.iterdir()} == {source.name, output.name}
    assert source.read_bytes() == before
    assert output.read_bytes() == b"an older result"


SLOW = """
import sys, time
from scmpt_scverse import encoders, tl
encode = encoders.ScGPTEncoder.encode
def slow(self, inputs, **options):
    print(len(inputs), flush=True); rows = encode(self, inputs, **options); time.sleep(0.3); return rows
encoders.ScGPTEncoder.encode = slow
tl.embed(sys.argv[1], sys.argv[3], output=sys.argv[2], precision="float32", progress=False)
"""


def test_a_killed_run_goes_on_where_it_was(source: Path, scgpt_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCMPT_CACHE", str(source.with_name("cache")))
    output = source.with_name("out.h5ad")
    arguments = [sys.executable, "-c", SLOW, str(source), str(output), str(scgpt_folder)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(3):
            assert process.stdout.readline()
        process.kill()
    assert not output.exists()

    assert run(SLOW, source, output, scgpt_folder).split() == ["188"]  # 700 cells, of which two chunks of 256 were done

    assert {path.name for path in source.parent.iterdir()} == {source.name, output.name, "cache"}
    expected = anndata.read_h5ad(source)
    tl.embed(expected, scgpt_folder, precision="float32", progress=False, cache=False)
    embedding = anndata.read_h5ad(output).obsm["X_scgpt-small"]
    np.testing.assert_allclose(embedding, expected.obsm["X_scgpt-small"], atol=1e-5)


def run(code: str, *arguments: Path) -> str:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


MEASURE = """
import sys
from scmpt_scverse.cli import app
app(["embed", sys.argv[1], sys.argv[2], "--encoder", sys.argv[3], "--no-cache", "--force"], standalone_mode=False)
# Not `getrusage`: on Linux it counts the process that started this one.
print(next(int(line.split()[1]) / 1e3 for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
def test_memory_does_not_grow_with_the_file(pbmc: AnnData, scgpt_folder: Path, tmp_path: Path) -> None:
    peaks = []
    for n_cells in (10_000, 100_000):
        rows = np.arange(n_cells) % pbmc.n_obs
        cells = AnnData(sparse.csr_matrix(pbmc.X[rows]), var=pbmc.var[[]])
        cells.write_h5ad(tmp_path / "cells.h5ad")
        peaks.append(float(run(MEASURE, tmp_path / "cells.h5ad", tmp_path / "out.h5ad", scgpt_folder).split()[-1]))
        assert anndata.read_h5ad(tmp_path / "out.h5ad", backed="r").obsm["X_scgpt-small"].shape[0] == n_cells
    print(f"peak memory in MB: {peaks}")
    assert peaks[1] - peaks[0] < 200
