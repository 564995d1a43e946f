"""Measure every line of the speed budget, each figure beside a peer in the same run: `make bench`.

Prints a table and stores it in `benchmarks/results/` with hardware and versions. Inputs are the 700 real PBMC that ship
with scanpy, repeated to the asked number of cells.
"""

import argparse
import json
import platform
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

sys.path.insert(
    0, str(Path(__file__).parents[1])
)  # the checkpoint and the stand-in for torchtext are those of the tests

from benchmarks._branches import measure_branches
from benchmarks._gpu import measure_gpu
from benchmarks._growth import measure_growth
from benchmarks._head import measure_head
from benchmarks._machine import machine_record
from benchmarks._measure import Line
from benchmarks._text_labels import measure_text_labels
from benchmarks._tokens import measure_tokens

from scmpt_scverse._hardware import has_fast_bfloat16, resolve_device

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("scmpt-scverse", "torch", "numpy", "scipy", "transformers", "sentence-transformers", "scvi-tools")


def main() -> None:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=14_000, help="cells for sentences and tokens")
    parser.add_argument("--encoded", type=int, default=192, help="cells for the lines with encoders")
    parser.add_argument("--trained", type=int, default=50_000, help="cells for the head")
    parser.add_argument("--labelled", type=int, default=100_000, help="cells for labels by text")
    parser.add_argument(
        "--only", nargs="*", help="parts to measure: tokens, branches, head, labels, growth, gpu; stores nothing"
    )
    parser.add_argument(
        "--text-model", type=Path, help="of the part gpu: the folder of MiniLM, where it is not installed"
    )
    arguments = parser.parse_args()
    parts: dict[str, Callable[[], Iterable[Line]]] = {
        "tokens": lambda: measure_tokens(arguments.cells),
        "branches": lambda: measure_branches(arguments.encoded),
        "head": lambda: measure_head(arguments.trained),
        "labels": lambda: measure_text_labels(arguments.labelled),
        "growth": measure_growth,
        "gpu": lambda: measure_gpu(arguments.text_model),
    }
    device = resolve_device("auto")
    chosen = arguments.only or [name for name in parts if (name == "gpu") == (device.type == "cuda")]
    started = time.perf_counter()
    lines = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in chosen:
            for line in parts[name]():
                print(line.text(), flush=True)
                lines.append(line)
    if arguments.only:
        return
    has_bfloat16 = has_fast_bfloat16(device)
    record = {
        "lines": [asdict(line) | {"is_met": line.is_met} for line in lines],
        "seconds": round(time.perf_counter() - started),
        "arguments": {name: value for name, value in vars(arguments).items() if isinstance(value, int)},
        "has_fast_bfloat16": has_bfloat16,
        **machine_record(PACKAGES),
    }
    RESULTS.mkdir(exist_ok=True)
    kind = f"{device.type}-bf16" if has_bfloat16 else device.type
    path = RESULTS / f"{platform.system().lower()}-{platform.machine()}-{kind}.json"
    path.write_text(json.dumps(record, indent=2) + "\n")
    print(f"Stored in {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}.")


if __name__ == "__main__":
    main()
