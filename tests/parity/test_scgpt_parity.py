"""Ours beside the official scGPT package (PyPI 0.2.4) on the same checkpoint folders and real cells.

Two things differ on purpose, so the networks are given the same tokens: where a cell has more genes than fit, and where
values tie, the official code draws from the global random state and ours from a hash of the cell.
"""

import json
import subprocess
import sys
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anndata import AnnData
from tests._scgpt_folder import make_scgpt_folder

from scmpt_scverse._types import FloatArray, IntArray
from scmpt_scverse.encoders import PretrainingRecipe, ScGPTEncoder, pretrain
from scmpt_scverse.encoders.pretraining._recipe import OBJECTIVES
from scmpt_scverse.pp._expression import ExpressionReader
from scmpt_scverse.pp._gene_tokens import GeneTokens, bin_spans

pytestmark = pytest.mark.network

SIZES: dict[str, dict[str, Any]] = {
    "small": {"nlayers": 2, "embsize": 64, "nheads": 4, "d_hid": 64},
    "human": {"nlayers": 12, "embsize": 512, "nheads": 8, "d_hid": 512},  # as scGPT_human
}
#: A folder that `encoders.pretrain` wrote, with all its decoders.
PRETRAINED = "pretrained"
N_CELLS = 24


@pytest.fixture(scope="module")
def official_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scgpt_package")
    # Without its dependencies: they pin an scvi-tools and a torchtext that do not live beside today's packages.
    options = ["--no-deps", f"--target={folder}", "--quiet", "--disable-pip-version-check", "--retries=1"]
    done = run("-m", "pip", "install", *options, "scgpt==0.2.4")
    if done.returncode:
        pytest.skip(f"pip cannot install scgpt==0.2.4: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")
    return folder


@pytest.fixture(scope="module")
def cells(_pbmc: AnnData) -> AnnData:
    cells = _pbmc[:N_CELLS]
    return AnnData(cells.X, cells.obs[[]], cells.var[[]])


@pytest.fixture(scope="module")
def tie_free() -> tuple[FloatArray, IntArray]:
    """Rows of 1 to 1,200 distinct float32 values."""
    rng = np.random.default_rng(0)
    lengths = np.concatenate([np.arange(1, 120), rng.integers(120, 1200, 30)])
    rows = [np.unique(rng.lognormal(0, 2, length).astype(np.float32)) for length in lengths]
    shuffled = [rng.permutation(row) for row in rows]
    return np.concatenate(shuffled), np.cumsum([0, *(row.size for row in shuffled)])


@pytest.fixture(scope="module")
def official(
    official_package: Path,
    _pbmc: AnnData,
    cells: AnnData,
    tie_free: tuple[FloatArray, IntArray],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A folder with the official results; one process computes all, since importing the package takes long."""
    work = tmp_path_factory.mktemp("official")
    recipe = PretrainingRecipe(embsize=32, nheads=2, d_hid=32, max_epochs=1, objectives=dict.fromkeys(OBJECTIVES, 1.0))
    pretrain(_pbmc[::4].copy(), work / PRETRAINED, recipe=recipe, progress=False)
    np.savez(work / "values.npz", values=tie_free[0], indptr=tie_free[1])
    cells.write_h5ad(work / "cells.h5ad")
    for name, size in SIZES.items():
        make_scgpt_folder(work / name, cells.var_names, key_style="flash", **size)
    for name in (*SIZES, PRETRAINED):
        encoder = ScGPTEncoder(work / name)
        vocabulary = json.loads((work / name / "vocab.json").read_text())
        gene_ids, values = padded(tokens_of(encoder, cells), vocabulary)
        np.savez(work / name / "tokens.npz", gene_ids=gene_ids, values=values)
    done = run("-m", "tests.parity._run_official_scgpt", str(official_package), str(work))
    assert done.returncode == 0, done.stdout + done.stderr
    return work


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    repository = Path(__file__).parents[2]
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, cwd=repository)


def tokens_of(encoder: ScGPTEncoder, cells: AnnData) -> GeneTokens:
    return encoder.prepare(ExpressionReader(cells).rows(0, cells.n_obs))


def padded(tokens: GeneTokens, vocabulary: dict[str, int]) -> tuple[IntArray, FloatArray]:
    """Tokens as the official network takes them: `<cls>` first, padding last, both with the value -2."""
    shape = (len(tokens), tokens.lengths.max() + 1)
    gene_ids, values = np.full(shape, vocabulary["<pad>"]), np.full(shape, -2, dtype=np.float32)
    gene_ids[:, 0] = vocabulary["<cls>"]
    for cell, (start, stop) in enumerate(zip(tokens.indptr[:-1], tokens.indptr[1:], strict=True)):
        gene_ids[cell, 1 : 1 + stop - start] = tokens.gene_ids[start:stop]
        values[cell, 1 : 1 + stop - start] = tokens.bins[start:stop]
    return gene_ids, values


@pytest.mark.parametrize("name", [*SIZES, PRETRAINED])
def test_the_network_gives_the_official_embedding_of_the_same_tokens(official: Path, cells: AnnData, name: str) -> None:
    encoder = ScGPTEncoder(official / name)

    embeddings = encoder.encode(tokens_of(encoder, cells), precision="float32", device="cpu")

    difference = np.abs(embeddings - np.load(official / name / "cls.npy")).max()
    print(f"{name}: max abs difference {difference:.2g}")
    assert difference <= 1e-5  # entries of unit vectors; float32 sums in another order


def test_bins_of_distinct_values_are_the_official_ones(official: Path, tie_free: tuple[FloatArray, IntArray]) -> None:
    values, indptr = tie_free

    lowest, highest = bin_spans(values, indptr, 51)

    # Rows shorter than the number of bins have several edges at a value, and the official code draws among those.
    bins = np.load(official / "bins.npy")
    is_fixed = lowest == highest
    assert is_fixed[np.repeat(np.diff(indptr) > 50, np.diff(indptr))].all()
    np.testing.assert_array_equal(bins[is_fixed], highest[is_fixed])
    assert ((lowest <= bins) & (bins <= highest)).all()


def test_embed_data_differs_from_ours_as_it_differs_from_itself(official: Path, cells: AnnData) -> None:
    theirs = np.load(official / "embedded.npy")
    encoders = [ScGPTEncoder(official / "small", seed=seed) for seed in range(3)]
    ours = [encoder.encode(tokens_of(encoder, cells), precision="float32", device="cpu") for encoder in encoders]

    # Many values of these cells tie, and each official run and each seed of ours draws their bins anew.
    between_runs = np.array([1 - (a * b).sum(axis=1) for a, b in combinations(theirs, 2)])
    to_ours = np.array([1 - (a * b).sum(axis=1) for a, b in product(theirs, ours)])
    print(f"cosine of embed_data to itself {1 - between_runs.mean():.5f}, to ours {1 - to_ours.mean():.5f}")
    assert to_ours.max() <= 0.01
    assert to_ours.mean() <= 1.2 * between_runs.mean()
