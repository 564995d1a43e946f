"""Wherever cells are encoded, the rows are the same and in their order."""

import os
import signal
import subprocess
import sys
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

from scmpt_scverse import tl
from scmpt_scverse._types import FloatArray
from scmpt_scverse.encoders import ScGPTEncoder
from scmpt_scverse.pp._gene_tokens import GeneTokens
from scmpt_scverse.streaming import EncodingTask, Executor, RayExecutor, SerialExecutor


class DyingEncoder(ScGPTEncoder):
    """Takes its process with it, as the kernel does for want of memory, as often as `lives` has files."""

    lives: Path

    def encode(self, inputs: GeneTokens, **options: Any) -> FloatArray:
        for life in self.lives.iterdir():
            life.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().encode(inputs, **options)


class FailingEncoder(ScGPTEncoder):
    def encode(self, inputs: GeneTokens, **options: Any) -> FloatArray:
        raise ValueError("The weights are not what they should be.")


def dying_encoder(folder: Path, lives: Path, n_deaths: int) -> DyingEncoder:
    encoder = DyingEncoder(folder)
    encoder.lives = lives
    lives.mkdir()
    for number in range(n_deaths):
        (lives / str(number)).touch()
    return encoder


def embed(cells: AnnData, encoder: Any, executor: Any, **options: Any) -> FloatArray:
    copy = cells.copy()
    tl.embed(copy, encoder, precision="float32", executor=executor, progress=False, key_added="X", **options)
    embedding: FloatArray = copy.obsm["X"]
    return embedding


@pytest.fixture
def cells(_pbmc: AnnData) -> AnnData:
    values = _pbmc.X.toarray()
    values[300:310] = 0  # a few that no encoder can read
    return AnnData(sparse.csr_matrix(values), _pbmc.obs[[]].copy(), _pbmc.var[[]].copy())


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    ray = pytest.importorskip("ray", reason="needs the extra `ray`")
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


class BackwardsExecutor(SerialExecutor):
    """Reads all chunks and computes the last one first."""

    def map(self, task: EncodingTask, chunks: Iterable[Any]) -> "Generator[FloatArray | None]":
        read = list(chunks)
        yield from list(super().map(task, reversed(read)))[::-1]


@pytest.mark.filterwarnings("ignore:10 of (700|344) cells")
def test_an_executor_of_ones_own(cells: AnnData, scgpt_folder: Path) -> None:
    serial = embed(cells, scgpt_folder, "serial", cache=False)

    assert isinstance(BackwardsExecutor(), Executor)
    np.testing.assert_array_equal(embed(cells, scgpt_folder, BackwardsExecutor(), cache=False), serial)


def test_unknown_names_and_a_missing_package_are_refused_first(
    cells: AnnData, scgpt_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        ValueError, match=r"Unknown `executor='rya'`. Choose one of 'serial', 'ray'. Did you mean 'ray'"
    ):
        embed(cells, scgpt_folder, "rya", layer="absent")
    with pytest.raises(ValueError, match="`n_workers` must be a whole number of at least 1; found 0"):
        RayExecutor(0)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"needs the package `ray`.*pip install 'scmpt-scverse\[ray\]'"):
        embed(cells, scgpt_folder, "ray", layer="absent")


@pytest.mark.filterwarnings("ignore:10 of (700|344) cells")
def test_a_worker_that_dies_changes_nothing(
    cluster: None, cells: AnnData, scgpt_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCMPT_CACHE", str(tmp_path / "cache"))
    serial = embed(cells, scgpt_folder, "serial", cache=False)
    embed(cells[256:600].copy(), scgpt_folder, "serial")  # the second chunk of three will be in the cache
    encoder = dying_encoder(scgpt_folder, tmp_path / "lives", n_deaths=1)

    parallel = embed(cells, encoder, "ray")

    assert not list(encoder.lives.iterdir()), "no worker died"
    np.testing.assert_allclose(parallel, serial, atol=1e-5)
    assert np.flatnonzero(np.isnan(parallel).any(axis=1)).tolist() == list(range(300, 310))


@pytest.mark.slow
def test_what_an_encoder_raises_is_raised_here(cluster: None, cells: AnnData, scgpt_folder: Path) -> None:
    with pytest.raises(ValueError, match="^The weights are not what they should be.$"):
        embed(cells[:290].copy(), FailingEncoder(scgpt_folder), "ray", cache=False)


@pytest.mark.slow
def test_a_chunk_that_kills_every_worker_is_given_up(
    cluster: None, cells: AnnData, scgpt_folder: Path, tmp_path: Path
) -> None:
    encoder = dying_encoder(scgpt_folder, tmp_path / "lives", n_deaths=20)
    with pytest.raises(RuntimeError, match="A Ray worker died 4 times.*with fewer of them"):
        embed(cells[:290].copy(), encoder, RayExecutor(1), cache=False)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:10 of (700|344) cells")
def test_the_command_starts_and_ends_a_cluster(cells: AnnData, scgpt_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs the extra `ray`")
    source, output = tmp_path / "cells.h5ad", tmp_path / "out.h5ad"
    cells.write_h5ad(source)
    options = ["--encoder", str(scgpt_folder), "--precision", "float32", "--no-cache", "--executor", "ray"]
    code = "from scmpt_scverse.cli import app; app()"
    subprocess.run([sys.executable, "-c", code, "embed", str(source), str(output), *options], check=True)

    embedding = anndata.read_h5ad(output).obsm["X_scgpt-small"]
    np.testing.assert_allclose(embedding, embed(cells, scgpt_folder, "serial", cache=False), atol=1e-5)
    commands = subprocess.run(["ps", "-eo", "ppid,comm"], capture_output=True, text=True, check=True).stdout
    assert "1 raylet" not in commands, "the cluster outlived the command"
