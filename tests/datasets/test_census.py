"""Cells of a SOMA experiment, as the CELLxGENE Census has them, in a file to train on."""

import errno
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse
from tests._soma import write_experiment
from typer.testing import CliRunner

from scmpt_scverse import SCMPT, datasets
from scmpt_scverse.cli import app
from scmpt_scverse.datasets import census_labels, fetch_census

tiledbsoma = pytest.importorskip("tiledbsoma", reason="needs the extra `census`")

BLOOD = "tissue_general == 'blood'"


def census_cells() -> AnnData:
    """Real PBMC with the columns that cells and genes have in the Census."""
    cells = datasets.pbmc68k_reduced()
    rng = np.random.default_rng(0)
    counts = sparse.csr_matrix(np.rint(np.expm1(cells.X)), dtype=np.float32)
    counts.eliminate_zeros()
    labels = cells.obs["bulk_labels"].astype(str).to_numpy()
    labels[:5] = "unknown"
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical(labels),
            "cell_type_ontology_term_id": pd.Categorical([f"CL:{hash_of(label):07d}" for label in labels]),
            "tissue_general": pd.Categorical(rng.choice(["blood", "lung"], 700, p=[0.8, 0.2])),
            "donor_id": pd.Categorical(rng.choice(["d1", "d2", "d3"], 700, p=[0.8, 0.15, 0.05])),
            "is_primary_data": rng.random(700) < 0.9,
            "nnz": np.diff(counts.indptr).astype(np.int64),
            "note": [f"note {number}" for number in range(700)],
        },
        index=[f"barcode{number}" for number in range(700)],
    )
    symbols = cells.var_names.to_numpy().copy()
    symbols[7] = symbols[8]  # two genes of one symbol
    var = pd.DataFrame({"feature_name": symbols}, index=[f"ENSG{number:011d}" for number in range(len(symbols))])
    return AnnData(counts, obs=obs, var=var)


def hash_of(label: str) -> int:
    return sum(map(ord, label))


@pytest.fixture(scope="session")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> str:
    uri = str(tmp_path_factory.mktemp("soma") / "experiment")
    write_experiment(uri, census_cells())
    return uri


def expected(*, primary_only: bool = True) -> AnnData:
    cells = census_cells()
    passes = (cells.obs["tissue_general"] == "blood") & (cells.obs["cell_type"] != "unknown")
    return cells[passes & (cells.obs["is_primary_data"] | (not primary_only))].copy()


@pytest.mark.parametrize("chunk_size", [50, 100_000])
def test_a_copy_holds_the_counts_of_the_cells_that_pass(
    experiment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk_size: int
) -> None:
    monkeypatch.setattr("scmpt_scverse.datasets._census._CHUNK_SIZE", chunk_size)
    table = fetch_census(tmp_path / "cells.h5ad", BLOOD, source=experiment, progress=False)
    found, true = ad.read_h5ad(tmp_path / "cells.h5ad"), expected()

    assert found.obs_names.tolist() == true.obs_names.tolist()
    assert isinstance(found.X, sparse.csr_matrix)
    assert found.X.dtype == np.float32
    assert found.X.has_canonical_format
    np.testing.assert_array_equal(found.X.toarray(), true.X.toarray())
    assert found.obs["cell_type"].astype(str).tolist() == true.obs["cell_type"].astype(str).tolist()
    assert set(found.obs["cell_type"].cat.categories) == set(true.obs["cell_type"])  # none without cells
    assert found.obs["note"].astype(str).tolist() == true.obs["note"].tolist()
    assert found.var_names.is_unique
    assert found.var_names[:7].tolist() == true.var["feature_name"][:7].tolist()
    assert found.var_names[7:9].tolist() == ["ENSG00000000007", "ENSG00000000008"]  # which share a symbol
    assert found.var["var_id"].astype(str).tolist() == true.var_names.tolist()
    source = found.uns["scmpt"]["source"]
    assert (source["obs_filter"], source["source"], source["n_cells"]) == (BLOOD, experiment, true.n_obs)

    counts = true.obs["cell_type"].astype(str).value_counts()
    labels = table.drop(index="unknown")
    pd.testing.assert_series_equal(labels["n_cells"], counts.reindex(labels.index), check_names=False)
    assert table.loc["unknown", "n_cells"] == 0
    assert table.loc["unknown", "n_found"] > 0
    assert table["ontology_id"].tolist() == [f"CL:{hash_of(label):07d}" for label in table.index]


def test_a_model_is_trained_on_the_copy_from_disk(experiment: str, tmp_path: Path) -> None:
    fetch_census(tmp_path / "cells.h5ad", BLOOD, source=experiment, progress=False)
    cells = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    SCMPT.setup_anndata(cells, "cell_type", batch_key="donor_id")
    model = SCMPT(cells, encoders={"counts": "counts"})
    model.train()
    assert set(model.labels) == set(expected().obs["cell_type"])
    assert (model.predict(cells) == cells.obs["cell_type"].to_numpy()).mean() > 0.8


def test_a_cap_is_seeded_and_takes_from_donors_in_turn(experiment: str, tmp_path: Path) -> None:
    names = []
    for number, seed in enumerate((0, 0, 1)):
        path = tmp_path / f"cells{number}.h5ad"
        table = fetch_census(path, BLOOD, source=experiment, max_cells_per_label=12, seed=seed, progress=False)
        cells = ad.read_h5ad(path)
        names.append(cells.obs_names.tolist())
        np.testing.assert_array_equal(table["n_cells"].drop("unknown"), table["n_found"].drop("unknown").clip(upper=12))
        counts = cells.obs["cell_type"].astype(str).value_counts()
        pd.testing.assert_series_equal(table["n_cells"].drop("unknown"), counts, check_like=True, check_names=False)
        frequent = cells.obs[cells.obs["cell_type"] == "Dendritic"]
        assert frequent["donor_id"].value_counts().min() >= 3  # of 12, by a donor who has a twentieth of the cells
    assert names[0] == names[1] != names[2]


def test_labels_are_listed_without_a_file(experiment: str) -> None:
    table = census_labels(BLOOD, source=experiment, max_cells_per_label=12)
    assert table["n_cells"].max() == 12
    assert table["n_found"].is_monotonic_decreasing


def test_copies_of_cells_are_left_out_unless_asked_for(experiment: str) -> None:
    for primary_only in (True, False):
        table = census_labels(BLOOD, source=experiment, primary_only=primary_only)
        assert table["n_cells"].sum() == expected(primary_only=primary_only).n_obs
    either = census_labels("cell_type == 'Dendritic' or cell_type == 'CD19+ B'", source=experiment)
    true = census_cells().obs
    right = true["is_primary_data"] & true["cell_type"].isin(["Dendritic", "CD19+ B"])
    assert either["n_cells"].sum() == right.sum()  # the filter is one condition, whatever it is joined with


def test_genes_are_chosen_by_symbol_or_id(experiment: str, tmp_path: Path) -> None:
    true = expected()
    wanted = [true.var["feature_name"].iloc[30], "ENSG00000000004", "NOT-A-GENE"]
    with pytest.warns(UserWarning, match="1 of 3 genes are not in the experiment: 'NOT-A-GENE'"):
        fetch_census(tmp_path / "cells.h5ad", BLOOD, source=experiment, genes=wanted, progress=False)
    found = ad.read_h5ad(tmp_path / "cells.h5ad")
    np.testing.assert_array_equal(found.X.toarray(), true.X[:, [4, 30]].toarray())


@pytest.mark.parametrize(
    ("obs_filter", "error", "message"),
    [
        ("tissue_general = 'blood'", ValueError, "Expected comparisons such as"),
        ("", ValueError, "Expected comparisons such as"),
        ("tissue_genral == 'blood'", KeyError, "Did you mean 'tissue_general'"),
        ("tissue_general == blood", KeyError, "Text has quotes"),
        ("tissue_general == 'Blood'", ValueError, "Did you mean 'blood'"),
        ("tissue_general in ['blood', 'lungs']", ValueError, "Did you mean 'lung'"),
        ("nnz > 1000000", ValueError, "Expected cells that pass 'nnz > 1000000'.*found none"),
        ("cell_type == 'unknown'", ValueError, "cells without one in 'cell_type'"),
        ("1 + 1", ValueError, "Expected comparisons of columns"),
    ],
)
def test_a_query_that_finds_nothing_says_why_and_leaves_nothing(
    experiment: str, tmp_path: Path, obs_filter: str, error: type[Exception], message: str
) -> None:
    (tmp_path / "cells.h5ad").write_bytes(b"earlier")
    with pytest.raises(error, match=message):
        fetch_census(tmp_path / "cells.h5ad", obs_filter, source=experiment, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["cells.h5ad"]
    assert (tmp_path / "cells.h5ad").read_bytes() == b"earlier"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"labels_key": "cell_typ"}, KeyError, "Did you mean 'cell_type'"),
        ({"batch_key": "donor", "max_cells_per_label": 3}, KeyError, "batch_key=None"),
        ({"measurement": "ATAC"}, KeyError, "No 'ATAC' in"),
        ({"layer": "normalised"}, KeyError, "No 'normalised' in"),
        ({"max_cells_per_label": 0}, ValueError, "at least 1"),
        ({"genes": ["NOT-A-GENE"]}, ValueError, "found none of 'NOT-A-GENE'"),
        ({"genes": "CD3D"}, TypeError, "Pass a list"),
        ({"source": "latest"}, ValueError, "release by its date"),
        ({"source": "no/such/folder"}, FileNotFoundError, "Expected a SOMA experiment"),
        ({"organism": "humans"}, ValueError, "Did you mean 'human'"),
    ],
)
def test_wrong_arguments_are_refused(
    experiment: str, tmp_path: Path, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    given: dict[str, Any] = {"source": experiment, "progress": False, **options}
    with pytest.raises(error, match=message):
        fetch_census(tmp_path / "cells.h5ad", BLOOD, **given)
    assert not list(tmp_path.iterdir())


def test_what_is_no_experiment_is_refused(experiment: str) -> None:
    with pytest.raises(ValueError, match="found a SparseNDArray"):
        census_labels(source=f"{experiment}/ms/RNA/X/raw")


def test_a_release_in_a_folder_is_read_by_species(experiment: str, tmp_path: Path) -> None:
    uri = str(tmp_path / "census")
    with tiledbsoma.Collection.create(uri) as root, root.add_new_collection("census_data") as data:
        data.set("homo_sapiens", tiledbsoma.open(experiment))
    assert census_labels(BLOOD, source=uri)["n_cells"].sum() == expected().n_obs
    with pytest.raises(KeyError, match="homo_sapiens"):
        census_labels(BLOOD, source=uri, organism="mouse")


def test_without_network_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scmpt_scverse.datasets._soma._RELEASES", "s3://scmpt-no-such-bucket.invalid")
    monkeypatch.setattr(
        "scmpt_scverse.datasets._soma._CONFIG",
        {"vfs.s3.endpoint_override": "127.0.0.1:9", "vfs.s3.connect_max_tries": "1", "vfs.s3.no_sign_request": "true"},
    )
    with pytest.raises(ConnectionError, match="cannot be reached"):
        census_labels(BLOOD)


def test_the_command_counts_then_fetches(experiment: str, tmp_path: Path) -> None:
    run = CliRunner()
    command = ["fetch", "census", "--source", experiment, "--filter", BLOOD, "--max-cells-per-label", "12"]
    counted = run.invoke(app, [*command, "--dry-run"])
    assert counted.exit_code == 0, counted.output
    n_cells = census_labels(BLOOD, source=experiment, max_cells_per_label=12)["n_cells"].sum()
    assert f"Would fetch {n_cells} cells of 10 labels" in counted.output

    out = tmp_path / "cells.h5ad"
    fetched = run.invoke(app, [*command, str(out)])
    assert f"Fetched {n_cells} cells of 10 labels" in fetched.output
    assert ad.read_h5ad(out).n_obs == n_cells

    again = run.invoke(app, [*command, str(out)])
    assert again.exit_code == 1
    assert "--force" in again.output
    assert run.invoke(app, command).exit_code == 2  # no file, no --dry-run
    wrong = run.invoke(app, [*command[:4], "--filter", "tissue == 'blood'", "--dry-run"])
    assert wrong.exit_code == 1
    assert "No 'tissue' in `experiment.obs`" in " ".join(wrong.output.split())


def test_too_little_room_is_noticed_before_expression_is_read(
    experiment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(OSError, match="Expected room for at least") as caught:
        fetch_census(tmp_path / "cells.h5ad", BLOOD, source=experiment, progress=False)
    assert caught.value.errno == errno.ENOSPC
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_a_disk_that_fills_up_is_an_error_and_no_crash() -> None:
    from scmpt_scverse._h5ad import write_in_parts

    cells, asked = census_cells(), []

    def parts():  # type: ignore[no-untyped-def]
        for start in range(0, cells.n_obs, 100):
            asked.append(start)
            yield cells.X[start : start + 100]

    with pytest.raises(OSError, match="No space left"):
        write_in_parts(AnnData(obs=cells.obs, var=cells.var), parts(), Path("/dev/full"))
    assert len(asked) < 7
