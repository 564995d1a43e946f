"""What a page takes as given: names, files, servers. Cells are real."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial, partialmethod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

from scmpt_scverse import SCMPT, datasets
from scmpt_scverse.modalities._presets import PRESETS, Preset

#: Four types that are easy to tell apart.
LABELS = ("CD14+ Monocyte", "CD19+ B", "CD56+ NK", "Dendritic")


@dataclass
class Setting:
    """Where the blocks of a page run.

    Attributes
    ----------
    request
        By which fixtures are asked for when a page needs them.
    patch
        Undone after the page.
    names
        The namespace of the blocks.
    places
        What stands on the page for an address or a folder, and what it is here.
    warnings
        Patterns of the warnings that the blocks give, each at least once; any other one is an error.
    check
        A look at what comes out.
    """

    request: pytest.FixtureRequest
    patch: pytest.MonkeyPatch
    names: dict[str, Any]
    places: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    check: Callable[[], None] = lambda: None

    def fixture(self, name: str) -> Any:
        return self.request.getfixturevalue(name)

    def smaller(self, owner: Any, name: str, **defaults: Any) -> None:
        """Give a method or function other defaults, so that it does less where the page does not say how much."""
        function = getattr(owner, name)
        is_method = isinstance(owner, type)
        self.patch.setattr(
            owner, name, partialmethod(function, **defaults) if is_method else partial(function, **defaults)
        )

    def without_encoders(self) -> None:
        """Leave expression itself alone in the default model."""
        self.patch.setitem(PRESETS, "mini", Preset({"counts": "counts"}, PRESETS["mini"].fusion))

    def fewer_cells(self, step: int) -> None:
        """Of the cells that come with scanpy, every so manyth."""
        cells = datasets.pbmc68k_reduced()[::step].copy()
        self.patch.setattr(datasets, "pbmc68k_reduced", cells.copy)


#: Page to what prepares it.
GIVEN: dict[str, Callable[[Setting], None]] = {}


def given(page: str) -> Callable[[Callable[[Setting], None]], Callable[[Setting], None]]:
    """Register what prepares a page."""

    def register(prepare: Callable[[Setting], None]) -> Callable[[Setting], None]:
        GIVEN[f"docs/{page}" if page != "README.md" else page] = prepare
        return prepare

    return register


def real_cells(start: int, n_each: int) -> AnnData:
    """Real cells of four types, in turn, with counts in a layer, and columns that pages name."""
    cells = datasets.pbmc68k_reduced()
    labels = cells.obs["bulk_labels"].astype(str).to_numpy()
    rows = np.stack([np.flatnonzero(labels == label)[start : start + n_each] for label in LABELS], axis=1).ravel()
    cells = cells[rows].copy()
    cells.uns.clear()
    del cells.raw, cells.obsp
    cells.layers["counts"] = sparse.csr_matrix(np.rint(np.expm1(cells.X)), dtype=np.float32)
    cells.obs["cell_type"] = cells.obs["bulk_labels"].cat.remove_unused_categories()
    cells.obs["donor"] = [f"donor {start + number // 4 % 5}" for number in range(cells.n_obs)]
    cells.obs["leiden"] = cells.obs["cell_type"].cat.codes.astype(str).astype("category")
    return cells


def common_names() -> dict[str, Any]:
    """Cells under the names that pages have for them; those to be labelled are of other donors."""
    reference, query = real_cells(0, 11), real_cells(11, 20)
    SCMPT.setup_anndata(reference, "cell_type")
    names = {"adata": reference, "cells": reference, "reference": reference}
    return names | dict.fromkeys(("query", "labelled_query", "held_out", "another_query"), query)


def trained_model(reference: AnnData, *, layer: str | None = None, batch_key: str | None = None) -> SCMPT:
    """A model of sentences and expression itself."""
    SCMPT.setup_anndata(reference, "cell_type", layer=layer, batch_key=batch_key)
    text, counts = {"encoder": "minilm", "max_genes": 10}, {"encoder": "counts", "n_genes": 100}
    model = SCMPT(reference, encoders={"text": text, "counts": counts})
    model.train()
    return model


def write_cells(cells: AnnData, *names: str) -> None:
    """Write cells to files of the working directory."""
    for name in names:
        cells.write_h5ad(Path(name))
