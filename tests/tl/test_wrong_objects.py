"""What is no AnnData, no table and no path is named, with what to do, before any work."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData

from scmpt_scverse import tl

CALLS: dict[str, Any] = {
    "back_off": lambda cells: tl.back_off(cells),
    "annotate_with_llm": lambda cells: tl.annotate_with_llm(cells, "openai", ["T", "B"]),
    "linear_probe": lambda cells: tl.linear_probe(cells, "minilm", "label"),
    "marker_overlap": lambda cells: tl.marker_overlap(cells, {"B": ["CD79A"]}),
    "compare_attributions": lambda cells: tl.compare_attributions(cells, ["one", "other"]),
}


@pytest.mark.parametrize("name", CALLS)
def test_objects_that_are_no_cells(name: str) -> None:
    cells = AnnData(np.ones((2, 2), dtype=np.float32))
    for wrong, found in {
        "cells.h5ad": r"found str. Read the file first",
        Path("cells.h5ad"): r"found pathlib\..*Path. Read the file first",
        "frame": r"found pandas\..*DataFrame. Put expression into `AnnData\(X\)`",
        "array": r"found numpy.ndarray. Put expression into `AnnData\(X\)`",
        None: r"found NoneType",
        "mudata": r"found mudata\..*MuData. Pass one of its modalities, 'rna'",
    }.items():
        objects = {"frame": pd.DataFrame({"a": [1]}), "array": np.zeros((2, 2)), "mudata": MuData({"rna": cells})}
        given = objects.get(wrong, wrong) if isinstance(wrong, str) else wrong
        with pytest.raises(TypeError, match=f"Expected an AnnData; {found}"):
            CALLS[name](given)


def test_an_output_belongs_to_the_path_of_a_file(tmp_path: Path) -> None:
    cells: Any = AnnData(np.ones((2, 2), dtype=np.float32))
    wrongs: list[Any] = [None, np.zeros((2, 2)), pd.DataFrame({"a": [1]}), MuData({"rna": cells})]
    for wrong in wrongs:
        with pytest.raises(TypeError, match="Expected an AnnData; found .* P(ut|ass)"):
            tl.embed(wrong, "minilm")
    with pytest.raises(ValueError, match="Expected `output=` .* only; found an AnnData.* Leave `output=` out"):
        tl.embed(cells, "minilm", output=tmp_path / "new.h5ad")
    for path in ("cells.h5ad", tmp_path / "cells.h5ad"):
        with pytest.raises(ValueError, match="Expected `output=`, the file to write, .*cells.h5ad' alone. Pass"):
            tl.embed(path, "minilm")
    with pytest.raises(TypeError, match="Expected the path of a file as `output`; found int"):
        tl.embed(tmp_path / "cells.h5ad", "minilm", output=3)  # type: ignore[arg-type]


def test_objects_that_are_no_curves() -> None:
    cells: Any = AnnData(np.ones((2, 2), dtype=np.float32))
    with pytest.raises(TypeError, match=r"Expected a DataFrame as `curves`; found anndata.* Pass what"):
        tl.faithfulness(cells)
