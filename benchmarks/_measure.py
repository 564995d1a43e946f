"""How every line is measured: seconds, the rate of matrix products, cells."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import torch
from anndata import AnnData

from scmpt_scverse import datasets
from scmpt_scverse._hardware import has_fast_bfloat16
from scmpt_scverse._types import Precision
from scmpt_scverse.encoders._packed_layers import PackedLinear

REPOSITORY = Path(__file__).parents[1]


@dataclass
class Line:
    """One line of the table.

    Attributes
    ----------
    what
        What is measured.
    value
        The figure, in `unit`.
    unit
        For instance `cells/s`.
    peer, peer_value
        What stands beside it, in the same unit.
    ratio
        By how much ours is better than the peer, or what the bar is about.
    bar
        What `ratio` should be, with its direction: `">= 3"`.
    more
        Further figures.
    """

    what: str
    value: float
    unit: str
    peer: str = ""
    peer_value: float | None = None
    ratio: float | None = None
    bar: str = ""
    more: dict[str, object] | None = None

    @property
    def is_met(self) -> bool | None:
        """Whether the bar is met; `None` where there is none."""
        if not self.bar or self.ratio is None:
            return None
        sign, bar = self.bar.split()
        return self.ratio >= float(bar) if sign == ">=" else self.ratio <= float(bar)

    def text(self) -> str:
        """The line as it is printed."""
        verdict = {None: "", True: "met", False: "MISSED"}[self.is_met]
        ratio = "" if self.ratio is None else f"{self.ratio:8.3g}"
        peer = f"{self.peer} ({self.peer_value:,.4g})" if self.peer_value is not None else self.peer
        return f"{self.what:<44} {self.value:>10,.4g} {self.unit:<8} {ratio:>8}  {self.bar:<8} {verdict:<6} {peer}"


def best_seconds(run: Callable[[], object], repeats: int = 3) -> float:
    """The best of some runs: others share the machine, nothing makes it faster than it is."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def pbmc(n_cells: int) -> AnnData:
    """Real PBMC, repeated; expression and gene names alone."""
    cells = datasets.pbmc68k_reduced()
    rows = np.arange(n_cells) % cells.n_obs
    repeated = AnnData(cells.X[rows], var=cells.var[[]])
    repeated.obs["label"] = anndata.AnnData(obs=cells.obs[["bulk_labels"]]).obs["bulk_labels"].to_numpy()[rows]
    return repeated


def precisions() -> list[Precision]:
    """Those that make sense on this machine's CPU."""
    return ["bfloat16", "float32"] if has_fast_bfloat16(torch.device("cpu")) else ["float32"]


def matmul_gflops(precision: Precision) -> float:
    """How fast this machine multiplies 2048 x 512 by 512 x 1536, in 1e9 operations a second, by the faster library."""
    dtype = getattr(torch, precision)
    rows, weight, bias = torch.randn(2048, 512).to(dtype), torch.randn(1536, 512).to(dtype), torch.zeros(1536).to(dtype)
    laid_out = PackedLinear(weight, bias)
    with torch.inference_mode():
        seconds = [
            best_seconds(lambda run=run: [run() for _ in range(20)], repeats=7)  # type: ignore[misc]
            for run in (lambda: rows @ weight.T, lambda: laid_out(rows))
        ]
    return round(20 * 2 * 2048 * 512 * 1536 / min(seconds) / 1e9)


def in_process(code: str, *arguments: object) -> Any:
    """What a fresh interpreter prints last, as JSON: mostly a number."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY)
    return json.loads(done.stdout.splitlines()[-1])
