import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tests._scgpt_folder import SPECIAL_TOKENS, make_scgpt_folder, write_weights
from torch import Tensor

from scmpt_scverse.encoders import ScGPTEncoder
from scmpt_scverse.encoders._scgpt_checkpoint import open_folder

GENES = ["CD3D", "LYZ", "MS4A1"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_scgpt_folder(tmp_path / "scGPT_test", GENES)


def tensors_of(folder: Path) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = open_folder(folder).load_network().state_dict()
    return weights


def change_json(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def change_weights(folder: Path, changes: dict[str, Tensor], *, without: str | None = None) -> None:
    weights = torch.load(folder / "best_model.pt", weights_only=True) | changes
    write_weights(folder, {name: tensor for name, tensor in weights.items() if name != without})


def refused(folder: Path, *sentences: str) -> None:
    with pytest.raises(ValueError, match=".*".join(re.escape(sentence) for sentence in sentences)):
        open_folder(folder).load_network()


def test_every_style_of_names_and_files_gives_the_same_network(tmp_path: Path) -> None:
    plain = tensors_of(make_scgpt_folder(tmp_path / "plain", GENES))
    folders = [
        make_scgpt_folder(tmp_path / "flash", GENES, key_style="flash"),
        make_scgpt_folder(tmp_path / "safe", GENES, key_style="flash", weights="safetensors"),
        make_scgpt_folder(tmp_path / "wrapped", GENES),
    ]
    weights = torch.load(folders[-1] / "best_model.pt", weights_only=True)
    wrapped = {
        "module."
        + name.replace("self_attn.in_proj_", "self_attn._impl.Wqkv.").replace(".out_proj", "._impl.out_proj"): tensor
        for name, tensor in weights.items()
    }
    write_weights(folders[-1], wrapped)

    for folder in folders:
        loaded = tensors_of(folder)
        assert all(torch.equal(loaded[name], plain[name]) for name in plain)


def test_weights_stored_in_half_precision_are_used_in_float32(folder: Path) -> None:
    weights = torch.load(folder / "best_model.pt", weights_only=True)
    write_weights(folder, {name: tensor.half() for name, tensor in weights.items()})

    loaded = tensors_of(folder)

    assert {tensor.dtype for tensor in loaded.values()} == {torch.float32}
    assert torch.equal(loaded["encoder.enc_norm.weight"], weights["encoder.enc_norm.weight"].half().float())


def test_special_tokens_are_appended_where_the_vocabulary_has_none(folder: Path) -> None:
    (folder / "vocab.json").write_text(json.dumps({gene: index for index, gene in enumerate(GENES)}))

    opened = open_folder(folder)

    assert opened.vocabulary == {token: index for index, token in enumerate([*GENES, *SPECIAL_TOKENS])}
    assert list(opened.genes) == GENES
    opened.load_network()


@pytest.mark.parametrize("name", ["args.json", "vocab.json", "best_model.pt"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()

    with pytest.raises(FileNotFoundError, match=rf"Expected {name}.*Pass a folder .* args.json, vocab.json, and best"):
        open_folder(folder)
    with pytest.raises(FileNotFoundError, match="found no such folder"):
        open_folder(folder / "elsewhere")


@pytest.mark.parametrize("name", ["args.json", "vocab.json"])
@pytest.mark.parametrize("content", [b'{"embsize": 51', b"\xff\xfe\x00", b"[1, 2]", b""])
def test_damaged_json_is_named(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)

    with pytest.raises(ValueError, match=rf"Expected (JSON|a JSON object) in '.*{name}'; found"):
        open_folder(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("input_emb_style", "category"),
        ("input_style", "log1p"),
        ("cell_emb_style", "avg-pool"),
        ("pre_norm", True),
    ],
)
def test_another_architecture_is_refused(folder: Path, key: str, value: object) -> None:
    change_json(folder / "args.json", **{key: value})

    refused(folder, "Expected a scGPT checkpoint with", key, repr(value), "another architecture")


def test_settings_are_checked(folder: Path) -> None:
    args = json.loads((folder / "args.json").read_text())
    (folder / "args.json").write_text(json.dumps({key: args[key] for key in args if key != "d_hid"}))
    refused(folder, "'d_hid' is missing", "Pass the args.json that belongs to the weights")
    (folder / "args.json").write_text(json.dumps(args | {"nlayers": "12"}))
    refused(folder, "a whole number of at least 1 as nlayers", "found '12'")
    (folder / "args.json").write_text(json.dumps(args | {"nheads": 5}))
    refused(folder, "embsize to be a multiple of nheads", "found 64 and 5")
    (folder / "args.json").write_text(json.dumps(args | {"pad_token": "[PAD]"}))
    refused(folder, "Expected the padding token '[PAD]'", "Pass files that belong together")


@pytest.mark.parametrize("ids", [[0, 1, 1], [0, 1, 3], [0, 1, "2"], [-1, 0, 1]])
def test_a_vocabulary_needs_the_ids_of_the_embedding_rows(folder: Path, ids: list[Any]) -> None:
    (folder / "vocab.json").write_text(json.dumps(dict(zip(GENES, ids, strict=True))))

    refused(folder, "Expected tokens with the ids 0 to 2, each once")


def test_a_missing_weight_is_named(folder: Path) -> None:
    name = "transformer_encoder.layers.1.norm2.bias"
    change_weights(folder, {}, without=name)

    refused(folder, f"Expected the tensor '{name}' with shape (64,)", "found no such tensor")


def test_a_misshapen_weight_is_named_with_both_shapes(folder: Path) -> None:
    change_weights(folder, {"value_encoder.linear1.weight": torch.zeros(64, 3)})

    refused(folder, "'value_encoder.linear1.weight' with shape (64, 1)", "found shape (64, 3)")


def test_another_vocabulary_than_that_of_the_weights_is_refused(folder: Path) -> None:
    change_json(folder / "vocab.json", NKG7=len(GENES) + len(SPECIAL_TOKENS))

    refused(folder, "'encoder.embedding.weight' with shape (7, 64)", "found shape (6, 64)", "vocab.json that belong")


@pytest.mark.parametrize(
    "name", ["dsbn.bns.0.weight", "pert_encoder.weight", "transformer_encoder.layers.2.norm1.bias"]
)
def test_parts_that_would_change_the_embedding_are_refused(folder: Path, name: str) -> None:
    change_weights(folder, {name: torch.zeros(64)})

    refused(folder, "found others", name, "would change the embedding")


def test_weights_that_are_not_finite_are_refused(folder: Path) -> None:
    change_weights(folder, {"encoder.enc_norm.bias": torch.full((64,), torch.nan)})

    refused(folder, "Expected finite weights", "'encoder.enc_norm.bias'")


@pytest.mark.parametrize("weights", ["pt", "safetensors"])
@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_truncated_weights_are_refused(tmp_path: Path, weights: Any, share: float) -> None:
    folder = make_scgpt_folder(tmp_path / "scGPT_test", GENES, weights=weights)
    file = next(path for path in folder.iterdir() if path.suffix != ".json")
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])

    refused(folder, file.name, "truncated, damaged or with other objects inside", "Download it again")


@pytest.mark.parametrize(
    "content", [b"<!DOCTYPE html><title>Quota exceeded</title>", b"PK\x03\x04 no zip", b"\x80\x02}q\x00."]
)
def test_files_of_another_kind_are_refused(folder: Path, content: bytes) -> None:
    (folder / "best_model.pt").write_bytes(content)

    refused(folder, "best_model.pt")


class Unwanted:
    """Any object that is no tensor."""


@pytest.mark.parametrize("content", [{"state": Unwanted()}, {"epoch": 3, "state": {}}, [torch.zeros(2)]])
def test_pickled_objects_are_refused(folder: Path, content: object) -> None:
    torch.save(content, folder / "best_model.pt")

    refused(folder, "best_model.pt", "torch.save(model.state_dict(), ...)")


def test_the_fingerprint_is_of_the_content_not_of_the_place(folder: Path, tmp_path: Path) -> None:
    fingerprint = ScGPTEncoder(folder).fingerprint

    moved = shutil.copytree(folder, tmp_path / "elsewhere")
    change_json(moved / "args.json", save_dir="/another/place", epochs=9)
    assert ScGPTEncoder(moved, name="other").fingerprint == fingerprint

    options: list[dict[str, Any]] = [{"max_length": 600}, {"selection": "sample"}, {"seed": 1}]
    changed = [ScGPTEncoder(folder, **option).fingerprint for option in options]
    change_json(moved / "args.json", pad_value=-3)
    changed.append(ScGPTEncoder(moved).fingerprint)
    swapped = make_scgpt_folder(tmp_path / "vocabulary", ["LYZ", "CD3D", "MS4A1"])
    changed.append(ScGPTEncoder(swapped).fingerprint)
    other = make_scgpt_folder(tmp_path / "weights", GENES, seed=1)
    changed.append(ScGPTEncoder(other).fingerprint)
    assert len({fingerprint, *changed}) == 1 + len(changed)
