import numpy as np
from anndata import AnnData
from docs.developer.examples.toy_ablation import Dropout

from scmpt_scverse.pp import ExpressionReader


def test_a_share_of_the_genes_is_lost(pbmc: AnnData) -> None:
    cells = ExpressionReader(pbmc).rows(0, 50)
    before = cells.matrix.copy()
    changed = Dropout(0.3).expression(cells, np.random.default_rng(0))
    assert (cells.matrix != before).nnz == 0
    assert abs(changed.matrix.nnz / before.nnz - 0.7) < 0.02
    assert (changed.matrix > before).nnz == 0
    assert (changed.matrix.data > 0).all()
    assert Dropout(0.3).name == "dropout 30%"
