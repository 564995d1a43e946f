"""What more cells cost: time, memory, and the import that everybody pays."""

import tempfile
from pathlib import Path

from benchmarks._measure import Line, best_seconds, in_process, pbmc
from tests._scgpt_folder import make_scgpt_folder

from scmpt_scverse import encoders, tl

#: A small scGPT: what is measured is the code around the network.
SMALL = {"nlayers": 1, "embsize": 32, "nheads": 2, "d_hid": 32}
SIZES = (5_000, 10_000, 20_000, 40_000)
#: Prints the peak of memory in MB.
PRINT_PEAK = """
import resource, sys
from pathlib import Path
status = Path("/proc/self/status")
if status.exists():  # what `getrusage` says on Linux counts the process that started this one
    (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    print(int(line.split()[1]) / 1e3)
else:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3))
"""
EMBED = """
import sys
from scmpt_scverse import tl
tl.embed(sys.argv[1], sys.argv[3], output=sys.argv[2], cache=False, progress=False)
"""
TRAIN = """
import sys
import anndata
from scmpt_scverse import SCMPT
cells = anndata.read_h5ad(sys.argv[1], backed="r")
SCMPT.setup_anndata(cells, "label")
SCMPT(cells, encoders={"counts": "counts"}).train()
"""
IMPORT = "import time; start = time.perf_counter(); import scmpt_scverse; print(time.perf_counter() - start)"


def measure_growth() -> list[Line]:
    """Lines about time, memory and import."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        folder = make_scgpt_folder(work / "scgpt", pbmc(1).var_names, **SMALL)
        return [*growth(folder), memory(work, folder), training_memory(work), import_time()]


def growth(folder: Path) -> list[Line]:
    """Seconds of `tl.embed` at sizes that double."""
    encoder = encoders.get(folder)
    tl.embed(pbmc(700), encoder, cache=False, progress=False)
    seconds = []
    for n_cells in SIZES:
        cells = pbmc(n_cells)
        run = lambda cells=cells: tl.embed(cells, encoder, cache=False, progress=False)  # noqa: E731
        seconds.append(best_seconds(run))
    return [
        Line(f"{twice:,} cells", later, "s", f"{once:,} cells", earlier, later / earlier, "<= 2.1")
        for once, twice, earlier, later in zip(SIZES, SIZES[1:], seconds, seconds[1:], strict=False)
    ]


def memory(work: Path, folder: Path) -> Line:
    """By how many MB the peak of `tl.embed` from file to file grows from 10,000 to 100,000 cells."""
    peaks = []
    for n_cells in (10_000, 100_000):
        pbmc(n_cells).write_h5ad(work / "cells.h5ad")
        peaks.append(in_process(EMBED + PRINT_PEAK, work / "cells.h5ad", work / "out.h5ad", folder))
    growth = peaks[1] - peaks[0]
    return Line("peak memory, 100,000 cells", peaks[1], "MB", "10,000 cells", peaks[0], growth, "<= 200")


def training_memory(work: Path) -> Line:
    """By how many kB the peak of training on expression itself grows per cell from 10,000 to 100,000 cells."""
    sizes, peaks = (10_000, 100_000), []
    for n_cells in sizes:
        pbmc(n_cells).write_h5ad(work / "cells.h5ad")
        peaks.append(in_process(TRAIN + PRINT_PEAK, work / "cells.h5ad"))
    growth = (peaks[1] - peaks[0]) * 1e3 / (sizes[1] - sizes[0])
    return Line("training on expression, memory of a further cell", growth, "kB", "", None, growth, "<= 6")


def import_time() -> Line:
    """Seconds that `import scmpt_scverse` takes in a fresh interpreter; the best of five."""
    seconds = min(in_process(IMPORT) for _ in range(5))
    return Line("import scmpt_scverse", seconds, "s", "", None, seconds, "<= 0.3")
