"""Odd inputs of tables and words, as data frames and files of users have them."""

from pathlib import Path

from scmpt_scverse import knowledge


def test_a_gene_called_nan_is_a_gene() -> None:
    table = knowledge.label_markers({"x": ["NAN"]}, ["NAN", "CD3D"])
    assert table["gene"].tolist() == ["NAN"]


def test_one_path_is_one_table(tmp_path: Path) -> None:
    path = tmp_path / "markers.csv"
    path.write_text("type,gene\nB cell,CD19\nB cell,MS4A1\n")
    assert knowledge.merge_markers(path)["gene"].tolist() == ["CD19", "MS4A1"]
