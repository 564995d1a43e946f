"""A MuData that stays in its file: RNA, gene activity that is read as expression, and proteins as they are."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData, read_h5mu
from scipy import sparse
from tests._adata import LABELS_KEY
from tests.model.test_gene_activity import MODALITIES, multiome

from scmpt_scverse import SCMPT

pytestmark = pytest.mark.filterwarnings("ignore:Cannot join columns with the same name:UserWarning")


@pytest.mark.parametrize("is_sparse", [True, False])
def test_it_gives_what_the_same_in_memory_gives(pbmc: AnnData, tmp_path: Path, is_sparse: bool) -> None:
    """Trained on, predicted and explained, with proteins beside the activity."""
    files = {}
    for name, data in (("train", multiome(pbmc[::4], seed=0)), ("query", multiome(pbmc[1::8], seed=1))):
        proteins = data["rna"][:, :9].copy()
        proteins.X = sparse.csr_matrix(proteins.X) if is_sparse else proteins.to_df().to_numpy()
        proteins.var_names, proteins.obs = [f"P{number}" for number in range(9)], proteins.obs[[]]
        parts = {"rna": data["rna"].copy(), "atac_ga": data["atac_ga"].copy(), "prot": proteins}
        if not is_sparse:
            parts["atac_ga"].X = parts["atac_ga"].to_df().to_numpy()
        files[name] = tmp_path / f"{name}.h5mu"
        joined = MuData(parts)
        joined.obs = joined.obs[[]]
        joined.write(files[name])
    found = []
    for backed in ("r", False):
        cells, new = (read_h5mu(file, backed=backed) for file in files.values())
        SCMPT.setup_mudata(cells, f"rna:{LABELS_KEY}", modalities={**MODALITIES, "protein": "prot"})
        model = SCMPT(cells, encoders={"counts": "counts", "activity": "counts"})
        model.train(enable_progress_bar=False)
        soft = model.predict(new, soft=True)
        assert np.allclose(model.predict(new, soft=True, indices=[5, 2]), soft.iloc[[5, 2]], atol=1e-6)
        found.append((soft, model.explain_cell(new, new.obs_names[3]), model.evaluate(new, baselines=())))
    for of_file, of_memory in zip(*found, strict=True):
        pd.testing.assert_frame_equal(of_file, of_memory, atol=1e-5)
