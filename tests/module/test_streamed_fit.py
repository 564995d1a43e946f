"""A solved head sees cells in blocks: however large these are, and with whatever is missing, it is the same head."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scmpt_scverse._types import FloatArray, IntArray
from scmpt_scverse.module import (
    CellSplit,
    FitOptions,
    FusionClassifier,
    _classifier,
    _fusion_stacked as fusion_stacked,
    _principal_axes,
    _stacking,
)
from scmpt_scverse.module._kept_tensors import KeptTensors

DIMS = {"genes": 60, "text": 12}
N_OBS = 700


def cells(n_obs: int = N_OBS) -> tuple[dict[str, FloatArray], IntArray]:
    """Sparse counts and an embedding of four types, one of them rare."""
    rng = np.random.default_rng(0)
    codes = np.where(rng.random(n_obs) < 0.03, 3, np.arange(n_obs) % 3)
    codes[:4] = np.arange(4)
    rates = rng.gamma(0.4, size=(4, DIMS["genes"]))
    genes = np.log1p(rng.poisson(rates[codes] * rng.gamma(2, size=(n_obs, 1)))).astype(np.float32)
    text = (rng.normal(size=(n_obs, DIMS["text"])) + 0.8 * rng.normal(size=(4, DIMS["text"]))[codes]).astype(np.float32)
    return {"genes": genes, "text": text + 30}, codes


def fitted(rows: dict[str, Any], codes: IntArray, **options: Any) -> FusionClassifier:
    classifier = FusionClassifier({name: DIMS[name] for name in rows}, 4, of_genes=["genes"])
    split = CellSplit(np.arange(0, len(codes), 2), np.arange(1, len(codes), 4), np.arange(3, len(codes), 4))
    classifier.fit(rows, codes, split, FitOptions(**options))
    return classifier


def probabilities(classifier: FusionClassifier, rows: dict[str, Any]) -> FloatArray:
    values: FloatArray = torch.from_numpy(classifier.logits(rows)).softmax(dim=1).numpy()
    return values


@pytest.mark.parametrize("names", [["genes"], ["genes", "text"]])
@pytest.mark.parametrize("class_weight", [None, "balanced", torch.tensor([1.0, 0.0, 2.0, 5.0])])
def test_blocks_of_any_size_give_the_same_head(
    monkeypatch: pytest.MonkeyPatch, names: list[str], class_weight: Any
) -> None:
    rows, codes = cells()
    rows = {name: rows[name] for name in names}
    found = []
    for size in (N_OBS, 64):
        for module in (_classifier, _principal_axes, fusion_stacked):
            monkeypatch.setattr(module, "BLOCK_SIZE", size)
        found.append(probabilities(fitted(rows, codes, class_weight=class_weight), rows))
    np.testing.assert_allclose(found[1], found[0], atol=1e-4)
    np.testing.assert_array_equal(found[1].argmax(axis=1), found[0].argmax(axis=1))
    is_weighed = np.ones(4, dtype=bool) if not isinstance(class_weight, torch.Tensor) else class_weight.numpy() > 0
    assert (found[0].argmax(axis=1) == codes)[is_weighed[codes]].mean() > 0.9


def test_a_modality_that_is_missing_in_the_query_is_missing_in_blocks_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, codes = cells()
    found = []
    for size in (N_OBS, 64):
        for module in (_classifier, _principal_axes, fusion_stacked):
            monkeypatch.setattr(module, "BLOCK_SIZE", size)
        found.append(probabilities(fitted(rows, codes), {"text": rows["text"]}))
    np.testing.assert_allclose(found[1], found[0], atol=1e-4)


class Watched:
    """Rows that remember how many were asked for at once."""

    def __init__(self, values: FloatArray) -> None:
        self.values, self.most, self.n_read = values, 0, 0

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: IntArray) -> FloatArray:
        self.most = max(self.most, len(rows))
        self.n_read += len(rows)
        return self.values[rows]


def test_no_more_than_a_block_of_cells_is_dense_at_once() -> None:
    """For the standardiser, the moments and the coordinates: three passes, then one over the validation cells."""
    rows, codes = cells(12_000)
    watched = {name: Watched(values) for name, values in rows.items()}
    fitted(watched, codes)
    for each in watched.values():
        assert each.most <= 4096
        assert each.n_read == 3 * 6000 + 3000


def test_a_sample_of_many_cells_only_says_where_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of cells of which there are more than fit into the sample, the head is that of all of them."""
    rows, codes = cells(4000)
    expected = probabilities(fitted(rows, codes), rows)
    for name, number in (("_MANY_CELLS", 1000), ("_N_SAMPLED", 500), ("_N_SAMPLED_OF_LABEL", 20)):
        monkeypatch.setattr(_stacking, name, number)
    found = probabilities(fitted(rows, codes), rows)
    assert np.abs(found - expected).mean() < 2e-3
    assert (found.argmax(axis=1) != expected.argmax(axis=1)).mean() < 0.003


def test_a_sample_has_every_label_and_stands_for_all_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, number in (("_MANY_CELLS", 1000), ("_N_SAMPLED", 500), ("_N_SAMPLED_OF_LABEL", 20)):
        monkeypatch.setattr(_stacking, name, number)
    labels = torch.from_numpy(np.random.default_rng(0).permutation(np.repeat([0, 1, 2, 3], [3000, 960, 39, 1])))
    rows, stands_for = _stacking._sample(labels)
    assert len(rows.unique()) == len(rows) == 375 + 120 + 20 + 1
    torch.testing.assert_close(
        labels[rows].bincount(stands_for), torch.tensor([3000.0, 960.0, 39.0, 1.0]).to(stands_for)
    )
    rows, stands_for = _stacking._sample(labels[:1000])
    assert torch.equal(rows, torch.arange(1000))
    assert (stands_for == 1).all()
    assert len(_stacking._sample(labels[:1001])[0]) < 1001


def test_from_how_many_cells_on_a_sample_comes_first() -> None:
    """Of more than 30,000 cells about 10,000, and at least 200 of a label, or all that there are."""
    labels = torch.zeros(30_001, dtype=torch.int64)
    labels[:500], labels[500:650] = 2, 3  # no cell has label 1
    assert len(_stacking._sample(labels[1:])[0]) == 30_000
    rows, stands_for = _stacking._sample(labels)
    counts = labels[rows].bincount().tolist()
    assert counts == [10_000 * 29_351 // 30_001, 0, 200, 150]
    assert stands_for[labels[rows] == 2].unique().tolist() == [2.5]
    assert stands_for[labels[rows] == 3].unique().tolist() == [1]


def test_half_precision_changes_no_probability_worth_speaking_of(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, codes = cells()
    expected = probabilities(fitted(rows, codes), rows)
    monkeypatch.setattr(_principal_axes, "_MOST_BYTES", 2 * 350 * 60)
    np.testing.assert_allclose(probabilities(fitted(rows, codes), rows), expected, atol=2e-3)


def test_moments_that_were_kept_are_not_gathered_again(tmp_path: Path) -> None:
    rows, codes = cells()
    expected = probabilities(fitted(rows, codes), rows)
    for n_passes in (4, 2):  # the standardiser, the first block and two for the axes; then the first two alone
        watched = {name: Watched(values) for name, values in rows.items()}
        found = fitted(watched, codes, folder=tmp_path / "kept")
        np.testing.assert_array_equal(probabilities(found, rows), expected)
        assert {each.n_read for each in watched.values()} == {n_passes * 350 + 175}
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == [
        "modality_0.safetensors",
        "modality_1.safetensors",
    ]


@pytest.mark.parametrize("change", ["other cells", "cut short", "none of ours"])
def test_moments_of_other_cells_or_of_damaged_files_are_gathered_anew(tmp_path: Path, change: str) -> None:
    rows, codes = cells()
    fitted(rows, codes, folder=tmp_path)
    file = tmp_path / "modality_0.safetensors"
    if change == "other cells":
        rows["genes"][-4, 7] += 1  # a training cell of the last block
    else:
        file.write_bytes(file.read_bytes()[:5000] if change == "cut short" else b"nothing")
    found = probabilities(fitted(rows, codes, folder=tmp_path), rows)
    np.testing.assert_array_equal(found, probabilities(fitted(rows, codes), rows))


@pytest.mark.parametrize("name", ["genes", "text"])
def test_moments_of_cells_in_another_order_are_gathered_anew(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    """Means and the first block are the same."""
    for module in (_classifier, _principal_axes, fusion_stacked):
        monkeypatch.setattr(module, "BLOCK_SIZE", 64)
    rows, codes = cells()
    fitted(rows, codes, folder=tmp_path)
    of_training = np.arange(200, N_OBS, 2)
    rows[name][of_training] = rows[name][of_training[::-1]]
    found = probabilities(fitted(rows, codes, folder=tmp_path), rows)
    np.testing.assert_array_equal(found, probabilities(fitted(rows, codes), rows))


def test_a_further_training_gathers_moments_of_its_own_cells(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It keeps the scale of before, whose statistics say nothing of new cells."""
    for module in (_classifier, _principal_axes, fusion_stacked):
        monkeypatch.setattr(module, "BLOCK_SIZE", 64)
    rows, codes = cells()
    changed = {name: values.copy() for name, values in rows.items()}
    changed["text"][300:] += np.random.default_rng(1).normal(size=(N_OBS - 300, DIMS["text"])).astype(np.float32)
    split = CellSplit(np.arange(0, N_OBS, 2), np.arange(1, N_OBS, 4), np.arange(3, N_OBS, 4))
    found = []
    for folder in (tmp_path, None):
        classifier = fitted(rows, codes, folder=folder)
        classifier.fit(changed, codes, split, FitOptions(folder=folder), keeps_scale=True)
        found.append(probabilities(classifier, changed))
    np.testing.assert_array_equal(found[0], found[1])


def test_two_processes_may_keep_moments_in_one_folder(tmp_path: Path) -> None:
    """Each writes a file of its own, whatever the other has left or removed."""
    file, other = KeptTensors(tmp_path / "modality_0.safetensors"), {"axes": torch.ones(3)}
    (tmp_path / "modality_0-of_a_killed_process.partial").write_bytes(b"half")

    class Slow(torch.Tensor):
        def cpu(self) -> torch.Tensor:  # type: ignore[override]
            file.write("other", other)  # the other process begins later, and is done before
            return torch.zeros(3)

    file.write("own", {"axes": torch.zeros(3).as_subclass(Slow)})
    kept = file.read("own", "cpu")
    assert kept is not None
    assert kept["axes"].tolist() == [0, 0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["modality_0.safetensors"]


def test_only_a_whole_file_of_the_same_key_is_read(tmp_path: Path) -> None:
    file = KeptTensors(tmp_path / "kept.safetensors")
    assert file.read("key", "cpu") is None
    file.write("key", {"axes": torch.arange(3.0)})
    assert file.read("other", "cpu") is None
    assert {name: values.tolist() for name, values in (file.read("key", "cpu") or {}).items()} == {"axes": [0, 1, 2]}
    file.file.write_bytes(file.file.read_bytes()[:40])
    assert file.read("key", "cpu") is None


@pytest.mark.skipif(sys.platform == "win32", reason="no limits of files")
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys, torch; from pathlib import Path\n"
        "from scmpt_scverse.module._kept_tensors import KeptTensors\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))\n"
        "KeptTensors(Path(sys.argv[1]) / 'kept.safetensors').write('key', {'axes': torch.ones(9000)})"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert "OSError: Expected to write" in done.stderr
    assert not list(tmp_path.iterdir())
