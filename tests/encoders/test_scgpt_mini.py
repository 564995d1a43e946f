"""The encoder that comes inside the package is what its card says."""

import json
import os
from pathlib import Path

import anndata
import numpy as np
import pytest
from anndata import AnnData
from safetensors.torch import load_file
from tests._adata import LABELS_KEY

from scmpt_scverse import encoders, tl
from scmpt_scverse.encoders import ScGPTEncoder
from scmpt_scverse.encoders._catalog import CARDS

MAX_BYTES = 8_000_000
#: Folder with the sets that the encoder was not trained on, as the model card names them.
DATA_VARIABLE = "SCMPT_DEVELOPMENT_DATA"
LEFT_OUT = ("pbmc3k_clustifyr", "headneck_puram", "pancreas_wang")


@pytest.fixture(scope="module")
def mini() -> ScGPTEncoder:
    encoder = encoders.get("scgpt-mini")
    assert isinstance(encoder, ScGPTEncoder)
    return encoder


def test_is_there_without_a_download_and_small(mini: ScGPTEncoder) -> None:
    card = CARDS["scgpt-mini"]

    assert encoders.list_encoders().loc["scgpt-mini", "is_available_offline"]
    assert (mini.name, mini.embedding_dim) == ("scgpt-mini", card.embedding_dim)
    files = {path.name: path.stat().st_size for path in mini.folder.iterdir()}
    assert set(files) == {"args.json", "vocab.json", "model.safetensors", "history.csv"}
    assert sum(files.values()) <= MAX_BYTES
    weights = load_file(mini.folder / "model.safetensors")
    assert {str(tensor.dtype) for tensor in weights.values()} == {"torch.float16"}
    assert weights["encoder.embedding.weight"].shape[0] == len(json.loads((mini.folder / "vocab.json").read_text()))


def test_its_record_says_how_it_was_made(mini: ScGPTEncoder) -> None:
    record = json.loads((mini.folder / "args.json").read_text())["pretraining"]

    assert len(record["data"]) == 7
    assert record["seed"] == 0
    assert record["init"] is None


def test_it_reads_more_from_cells_than_random_weights_do(mini: ScGPTEncoder, pbmc: AnnData) -> None:
    table = tl.linear_probe(pbmc, mini, LABELS_KEY, n_seeds=2, progress=False)["macro_f1"]

    assert table["scgpt-mini"] > table["random weights"] + 0.08


@pytest.mark.slow
def test_the_probe_on_all_left_out_sets(mini: ScGPTEncoder, pbmc: AnnData) -> None:
    if DATA_VARIABLE not in os.environ:
        pytest.skip(f"needs the development data: set {DATA_VARIABLE} to their folder")
    folder = Path(os.environ[DATA_VARIABLE])
    sets = {name: (anndata.read_h5ad(folder / f"{name}.h5ad"), "cell_type") for name in LEFT_OUT}
    tables = [
        tl.linear_probe(adata, mini, key, progress=False)["macro_f1"]
        for adata, key in [*sets.values(), (pbmc, LABELS_KEY)]
    ]

    gains = [table["scgpt-mini"] - table["random weights"] for table in tables]
    print(gains)
    assert np.mean(gains) >= 0.08
    assert min(gains) >= -0.02
