"""A generator of simulated studies, trained once a run."""

import pytest
from anndata import AnnData
from tests._zero_shot import GENES, OPTIONS, WordEncoder, markers, two_studies

from scmpt_scverse import SCMMGPT
from scmpt_scverse.module import GeneratorOptions

SMALL = GeneratorOptions(n_genes=len(GENES), n_latent=4, n_hidden=32, n_steps=80, cells_per_step=64, lr=1e-2)


def trained(cells: AnnData, options: GeneratorOptions = SMALL) -> SCMMGPT:
    """A model with tower and generator of some cells, by labels and studies."""
    SCMMGPT.setup_anndata(cells, "cell_type", batch_key="study")
    model = SCMMGPT(cells, text_encoder=WordEncoder())
    model.train(markers=[markers()], options=OPTIONS, accelerator="cpu", progress=False)
    model.train("generate", options=options, accelerator="cpu", progress=False)
    return model


@pytest.fixture(scope="session")
def _generating() -> SCMMGPT:
    pytest.importorskip("cellxgene_ontology_guide", reason="needs the extra `ontology`")
    return trained(two_studies())


@pytest.fixture
def generating(_generating: SCMMGPT) -> SCMMGPT:
    """Trained on five of the eight types in two studies; not to be trained further."""
    return _generating
