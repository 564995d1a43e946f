"""What stands in for packages and data that are not on this machine."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse
from sklearn.neighbors import kneighbors_graph
from tests._soma import write_experiment
from tests.docs._given import real_cells

#: Of the types of the cells here, in the words of PanglaoDB.
MARKERS = {
    "Monocytes": ("CD14", "LYZ", "S100A9", "FCN1"),
    "B cells": ("CD79A", "MS4A1", "CD79B"),
    "NK cells": ("GNLY", "NKG7"),
}


def squidpy(patch: pytest.MonkeyPatch) -> None:
    """A graph of the nearest cells in space, where squidpy writes it."""

    def spatial_neighbors(adata: AnnData) -> None:
        graph = kneighbors_graph(adata.obsm["spatial"], 6)
        adata.obsp["spatial_connectivities"] = sparse.csr_matrix(graph.maximum(graph.T))

    module = ModuleType("squidpy")
    vars(module)["gr"] = SimpleNamespace(spatial_neighbors=spatial_neighbors)
    patch.setitem(sys.modules, "squidpy", module)


def decoupler(patch: pytest.MonkeyPatch) -> None:
    """PanglaoDB in the form in which decoupler gives it."""
    rows = [(name, gene, True, False) for name, genes in MARKERS.items() for gene in genes]
    table = pd.DataFrame(rows, columns=["cell_type", "genesymbol", "human", "mouse"])
    resources = SimpleNamespace(resource=lambda name, organism: table)
    patch.setitem(sys.modules, "decoupler", SimpleNamespace(op=resources))


def census(patch: pytest.MonkeyPatch, release: str) -> None:
    """A release of the Census, in the working directory."""
    cells = real_cells(0, 15)
    obs = pd.DataFrame(
        {
            "cell_type": cells.obs["cell_type"],
            "cell_type_ontology_term_id": pd.Categorical(np.resize(["CL:0000236"], cells.n_obs)),
            "tissue_general": pd.Categorical(np.resize(["blood"], cells.n_obs)),
            "disease": pd.Categorical(np.resize(["normal", "normal", "influenza"], cells.n_obs)),
            "donor_id": pd.Categorical(cells.obs["donor"]),
            "is_primary_data": np.ones(cells.n_obs, dtype=bool),
            "nnz": np.diff(cells.layers["counts"].indptr).astype(np.int64),
        },
        index=cells.obs_names,
    )
    var = pd.DataFrame(
        {"feature_name": cells.var_names}, index=[f"ENSG{number:011d}" for number in range(cells.n_vars)]
    )
    folder = Path(release, "soma", "census_data").absolute()
    folder.mkdir(parents=True)
    released = AnnData(cells.layers["counts"], obs=obs, var=var)
    write_experiment(str(folder / "homo_sapiens"), released)
    patch.setattr("scmpt_scverse.datasets._soma._RELEASES", str(Path.cwd()))
