"""The example of the developer documentation, through the contract suite of attributors."""

import numpy as np
import pytest
import torch
from anndata import AnnData
from docs.developer.examples.toy_attributor import GradientTimesInput
from tests._adata import LABELS_KEY
from tests.contracts import test_attributors as contract

from scmpt_scverse import SCMPT, attribution


@pytest.fixture
def attributor() -> attribution.Attributor:
    return attribution.get(GradientTimesInput)


for _name, _test in list(vars(contract).items()):
    if _name.startswith("test_"):
        globals()[_name] = _test


def test_an_instance_keeps_its_seed_and_takes_no_options() -> None:
    made = GradientTimesInput(seed=7)
    assert attribution.get(made, seed=1) is made
    assert made.seed == 7
    with pytest.raises(TypeError, match="Options 'n_steps' cannot change"):
        attribution.get(made, n_steps=3)
    with pytest.raises(TypeError, match="`Attributor`"):
        attribution.get(3)  # type: ignore[arg-type]


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"found \(2, 3\) and \(2, 3\)"):
        attribution.Attribution(torch.zeros(2, 3), torch.zeros(2, 3))


def test_it_explains_a_real_model(pbmc: AnnData) -> None:
    SCMPT.setup_anndata(pbmc, LABELS_KEY)
    model = SCMPT(pbmc, encoders={"counts": {"encoder": "counts", "n_genes": 200}}, fusion="concat", n_hidden=8)
    model.train(max_epochs=2, enable_progress_bar=False)
    table = model.explain_cell(pbmc, pbmc.obs_names[0], method=GradientTimesInput)
    assert np.isfinite(table["total"]).all()
    assert np.count_nonzero(table["total"])
