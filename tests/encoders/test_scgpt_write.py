import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from scmpt_scverse.encoders._scgpt_checkpoint import SPECIAL_TOKENS, ScGPTSettings, open_folder
from scmpt_scverse.encoders._scgpt_write import write_folder

SETTINGS = ScGPTSettings(embsize=16, nheads=2, d_hid=32, nlayers=2, pad_token="<pad>", pad_value=-2, n_bins=21)
VOCABULARY = {token: index for index, token in enumerate([*SPECIAL_TOKENS, "CD3D", "LYZ", "MS4A1"])}


@pytest.fixture
def weights() -> dict[str, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return SETTINGS.network(len(VOCABULARY)).state_dict()


def write(folder: Path, weights: dict[str, Tensor], **options: Any) -> None:
    write_folder(folder, SETTINGS, VOCABULARY, weights, notes={"made_by": "a test"}, files={"more.txt": "ä"}, **options)


@pytest.mark.parametrize(("compact", "file"), [(False, "best_model.pt"), (True, "model.safetensors")])
def test_what_is_written_is_read_again(tmp_path: Path, weights: dict[str, Tensor], compact: bool, file: str) -> None:
    decoder = {"decoder.fc.0.weight": torch.ones(16, 16)}

    write(tmp_path / "mini", weights | decoder, compact=compact)

    assert [path.name for path in tmp_path.iterdir()] == ["mini"]
    assert {path.name for path in (tmp_path / "mini").iterdir()} == {"args.json", "vocab.json", file, "more.txt"}
    folder = open_folder(tmp_path / "mini")
    assert (folder.settings, folder.vocabulary) == (SETTINGS, VOCABULARY)
    loaded: dict[str, Tensor] = folder.load_network().state_dict()
    assert loaded.keys() == weights.keys()
    for name, tensor in weights.items():
        assert torch.equal(loaded[name], tensor.half().float() if compact else tensor)
    assert json.loads((tmp_path / "mini" / "args.json").read_text())["made_by"] == "a test"
    assert (tmp_path / "mini" / "more.txt").read_text(encoding="utf-8") == "ä"


def test_compact_weights_take_half_the_space(tmp_path: Path, weights: dict[str, Tensor]) -> None:
    write(tmp_path / "small", weights, compact=True)

    stored = safetensors.torch.load_file(tmp_path / "small" / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}


def test_a_view_is_written_without_what_it_is_a_view_of(tmp_path: Path, weights: dict[str, Tensor]) -> None:
    name = "encoder.enc_norm.bias"

    write(tmp_path / "mini", weights | {name: torch.zeros(1_000_000)[:16]})

    assert (tmp_path / "mini" / "best_model.pt").stat().st_size < 200_000


@pytest.mark.parametrize(
    ("compact", "module", "name"), [(False, torch, "save"), (True, safetensors.torch, "save_file")]
)
def test_nothing_is_left_where_saving_fails(
    tmp_path: Path,
    weights: dict[str, Tensor],
    monkeypatch: pytest.MonkeyPatch,
    compact: bool,
    module: Any,
    name: str,
) -> None:
    found: list[str] = []

    def fail(tensors: dict[str, Tensor], file: Path) -> None:
        Path(file).write_bytes(b"begun")
        found.extend(path.name for path in tmp_path.iterdir())
        raise OSError("No space left on device")

    monkeypatch.setattr(module, name, fail)

    with pytest.raises(OSError, match="No space left"):
        write(tmp_path / "mini", weights, compact=compact)

    assert found
    assert "mini" not in found
    assert list(tmp_path.iterdir()) == []
