"""A text model of simulated studies, made once a run."""

import pytest
from anndata import AnnData
from tests._zero_shot import LABELS, OPTIONS, WordEncoder, markers, study, two_studies

from scmpt_scverse import SCMMGPT


@pytest.fixture(scope="session")
def _text_model() -> SCMMGPT:
    pytest.importorskip("cellxgene_ontology_guide", reason="needs the extra `ontology`")
    cells = two_studies()
    SCMMGPT.setup_anndata(cells, "cell_type", batch_key="study")
    model = SCMMGPT(cells, text_encoder=WordEncoder())
    model.train(markers=[markers()], options=OPTIONS, accelerator="cpu", progress=False)
    return model


@pytest.fixture
def text_model(_text_model: SCMMGPT) -> SCMMGPT:
    """Trained on two studies of five of the eight types; not to be trained further."""
    return _text_model


@pytest.fixture
def text_query() -> AnnData:
    """Cells of types that no study had, and of one that some had."""
    return study(LABELS, seed=3)
