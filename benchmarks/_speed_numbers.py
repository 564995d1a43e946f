"""Numbers about speed, by name, and the table of what was reached on each machine."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
from _markdown import markdown, slug

#: Stored results by the name of the machine in documents.
MACHINES = {"Intel": "linux-x86_64-cpu", "AMD": "linux-x86_64-cpu-bf16"}
#: The stored result of a GPU.
GPU = "linux-x86_64-cuda-bf16"
#: How a line's value is written where it is no ratio to a peer.
_PLAIN = {
    "GFLOP/s": "{:,.0f} GFLOP/s",
    "share": "{:.1%}",
    "cosine": "{:.4f}",
    "s": "{:.3f} s",
    "kB": "{:.1f} kB",
}


def speed_numbers(results: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Of both machines."""
    for machine, stored in MACHINES.items():
        record = results[stored]
        values = {line["what"]: line["value"] for line in record["lines"]}
        growth = {line["what"]: line["ratio"] for line in record["lines"]}
        yield f"speed.{slug(machine)}.memory_growth", f"{growth['peak memory, 100,000 cells']:.0f}"
        yield f"speed.{slug(machine)}.float32_rate", f"{values['matrix products, float32']:.0f}"
        if "matrix products, bfloat16" in values:
            gain = values["matrix products, bfloat16"] / values["matrix products, float32"]
            yield f"speed.{slug(machine)}.bfloat16_gain", f"{gain:.1f}"
            cosines = [line["value"] for line in record["lines"] if line["unit"] == "cosine"]
            yield f"speed.{slug(machine)}.lowest_cosine", f"{min(cosines):.5f}"
        yield f"speed.{slug(machine)}.minutes", f"{record['seconds'] / 60:.0f}"
    gpu = results[GPU]
    lines = {(line["what"], line["peer"]): line for line in gpu["lines"]}
    yield "speed.gpu.name", gpu["hardware"]["gpu"]
    yield "speed.gpu.cores", str(gpu["hardware"]["cores"])
    yield "speed.gpu.torch", gpu["versions"]["torch"]
    for n_genes in (240, 1200):
        whole = lines[f"scGPT 12 x 512, {n_genes} genes: tl.embed", "official embed_data"]
        yield f"speed.gpu.scgpt_{n_genes}.embed", f"{whole['value']:,.0f}"
        yield f"speed.gpu.scgpt_{n_genes}.million", f"{1e6 / whole['value'] / 60:.1f}"  # minutes
        yield f"speed.gpu.scgpt_{n_genes}.official", f"{whole['ratio']:.1f}"
    cosines = [line["value"] for line in gpu["lines"] if line["what"].endswith("GPU, bfloat16, to CPU")]
    yield "speed.gpu.lowest_cosine", f"{min(cosines):.5f}"
    yield "speed.gpu.explaining_gain", f"{lines['explaining SCMPT', 'the CPU of this machine']['ratio']:.0f}"


def speed_table(results: Mapping[str, Any]) -> str:
    """One row per line of the benchmark, one column per machine; what misses its bar is bold."""
    cells: dict[str, dict[str, str]] = {}
    for machine, stored in MACHINES.items():
        for line in results[stored]["lines"]:
            name = line["what"] if not line["peer"] else f"{line['what']}, against {line['peer']}"
            text = _reached(line)
            row = cells.setdefault(name, {"bar": ""})
            row["bar"] = line["bar"].replace(">=", "at least").replace("<=", "at most") or row["bar"]
            row[machine] = f"**{text}**" if line["is_met"] is False else text
    table = pd.DataFrame.from_dict(cells, orient="index").reindex(columns=["bar", *MACHINES]).fillna("")
    return markdown(table, "line")


def gpu_table(results: Mapping[str, Any]) -> str:
    """One row per line of the GPU's benchmark: ours, the peer, and the ratio."""
    rows = [
        {
            "line": line["what"],
            "ours": _value(line, line["value"]),
            "beside": line["peer"],
            "theirs": "" if line["peer_value"] is None else _value(line, line["peer_value"]),
            "ratio": "" if line["ratio"] is None or line["unit"] == "cosine" else f"{line['ratio']:.3g}",
        }
        for line in results[GPU]["lines"]
    ]
    return markdown(pd.DataFrame(rows).set_index("line"), "line")


def _value(line: Mapping[str, Any], value: float) -> str:
    forms = {**_PLAIN, "cells/s": "{:,.0f} cells/s", "cosine": "{:.5f}", "s": "{:.1f} s", "": "{:.4f}"}
    if line["unit"] == "share" and value < 1e-3:
        return f"{value:.0e}"
    return forms[line["unit"]].format(value)


def _reached(line: Mapping[str, Any]) -> str:
    if line["what"].startswith("peak memory"):
        return f"{line['ratio']:+.0f} MB"
    if line["unit"] == "GFLOP/s" and line["ratio"] is not None:
        return f"{line['ratio']:.0%}"
    if not line["peer"]:
        return _PLAIN[line["unit"]].format(line["value"])
    if not line["unit"]:
        return f"{line['ratio']:+.4f}"
    return f"{line['ratio']:.{1 if line['ratio'] >= 10 else 2}f} x"
