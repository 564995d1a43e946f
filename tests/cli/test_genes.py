"""`scmpt train --genes`: the genes of a panel from a query or a list."""

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from typer.testing import CliRunner

from scmpt_scverse import SCMPT, datasets
from scmpt_scverse.cli import app
from scmpt_scverse.cli._genes_file import read_genes


@pytest.fixture
def cells(tmp_path: Path) -> AnnData:
    cells = datasets.pbmc68k_reduced()[::10].copy()
    cells = AnnData(cells.X, cells.obs[["bulk_labels"]], cells.var[[]])
    cells.write_h5ad(tmp_path / "reference.h5ad")
    return cells


@pytest.fixture
def panel(cells: AnnData, tmp_path: Path) -> list[str]:
    genes = list(cells.var_names[::5])
    cells[:, genes].write_h5ad(tmp_path / "query.h5ad")
    (tmp_path / "genes.txt").write_text("\n".join(["\ufeff" + genes[0], *genes[1:-1], "", f"{genes[-1]},0.5\r", ""]))
    return genes


def train(runner: CliRunner, folder: Path, genes: str) -> tuple[int, str]:
    arguments = ["train", str(folder / "reference.h5ad"), str(folder / "model"), "--labels-key", "bulk_labels"]
    arguments += ["--text", "none", "--expression", "none", "--genes", str(folder / genes)]
    result = runner.invoke(app, arguments)
    return result.exit_code, " ".join(result.output.split())


@pytest.mark.parametrize("file", ["query.h5ad", "genes.txt"])
def test_the_saved_model_reads_these_genes_alone(
    runner: CliRunner, tmp_path: Path, cells: AnnData, panel: list[str], file: str
) -> None:
    assert train(runner, tmp_path, file)[0] == 0
    model = SCMPT.load(str(tmp_path / "model"), adata=False)
    assert model.init_params_["non_kwargs"]["genes"] == panel
    outputs = []
    for name in ("reference", "query"):
        arguments = ["annotate", str(tmp_path / "model"), str(tmp_path / f"{name}.h5ad"), str(tmp_path / "out.h5ad")]
        assert runner.invoke(app, [*arguments, "--force"]).exit_code == 0
        outputs.append(anndata.read_h5ad(tmp_path / "out.h5ad").obs["scmpt_confidence"])
    pd.testing.assert_series_equal(*outputs)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("none.txt", None, "Expected a file of genes at"),
        ("none.h5ad", None, "Expected an .h5ad file at"),
        ("image.png", b"\x89PNG\xff\xfe", "one gene per line as text in UTF-8"),
        ("empty.txt", b"\n\n", "Expected at least two genes in `genes`; found none"),
        ("mouse.txt", b"Cd3d\nNkg7\nCst3\n", "another species"),
    ],
)
@pytest.mark.usefixtures("cells")
def test_files_that_are_no_list_of_genes(
    runner: CliRunner, tmp_path: Path, file: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / file).write_bytes(content)
    code, output = train(runner, tmp_path, file)
    assert code == 1
    assert message in output
    assert not (tmp_path / "model").exists()


def test_genes_in_a_column(tmp_path: Path) -> None:
    var = pd.DataFrame({"symbol": ["CD3D", "NKG7"]}, index=["ENSG00000167286", "ENSG00000105374"])
    AnnData(np.ones((2, 2), dtype=np.float32), var=var).write_h5ad(tmp_path / "query.h5ad")
    assert read_genes(tmp_path / "query.h5ad", "symbol") == ["CD3D", "NKG7"]
    assert read_genes(tmp_path / "query.h5ad", None) == var.index.tolist()


@pytest.mark.parametrize("names", [["Cd8b1", "Lyz1", "Lyz2", "Cd3d"], ["CD8B", "LYZ", "CD3D"]])
def test_genes_of_a_reference_of_another_species(names: list[str]) -> None:
    rng = np.random.default_rng(0)
    genes = ["Cd8b1", "Lyz1", "Lyz2", "Cd3d", "Nkg7", "Ms4a1", "Cst3", "Gnb1", "Actb", "Gapdh"]
    mouse = AnnData(rng.poisson(3, (60, len(genes))).astype(np.float32), var=pd.DataFrame(index=genes))
    mouse.obs["type"] = np.repeat(["a", "b", "c"], 20)
    SCMPT.setup_anndata(mouse, "type", organism="mouse")
    with pytest.warns(UserWarning, match="1 of 4 are not, such as 'Blank-1'"):
        model = SCMPT(mouse, encoders={"counts": "counts"}, genes=[*names, "Blank-1"])
    panel = model.modalities.source.panel
    assert panel is not None
    assert sorted(panel) == ["CD3D", "CD8B", "LYZ"]
