"""The folder of a sentence-transformers model: its sizes, the files that determine its output, and the model."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from scmpt_scverse._hashing import file_sha256
from scmpt_scverse._json import downloaded_json
from scmpt_scverse._loading_bar import no_loading_bar
from scmpt_scverse.encoders._sentence_tokens import SentenceTokenizer

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

#: Files that determine what the model computes: weights, settings, tokenizer.
_FINGERPRINTED = frozenset({".safetensors", ".bin", ".json", ".txt", ".model"})
#: Copies of the same weights for other programs, and what downloads leave behind.
_UNUSED_FOLDERS = frozenset({"onnx", "openvino", ".cache", ".git"})


def described_sizes(folder: Path, *, pools_as_saved: bool) -> tuple[int, int, int]:
    """Width of the network, maximum number of tokens, and width of an embedding; no weights are loaded.

    Parameters
    ----------
    folder
        Model folder.
    pools_as_saved
        Whether tokens are pooled as the files say, possibly in several ways at once; otherwise they are pooled in one
        way.

    Raises
    ------
    FileNotFoundError
        A description is missing.
    ValueError
        A description is not JSON, or has other content.
    """
    description = _read_json(folder, "config.json")
    hidden_size = int(description["hidden_size"])
    name = "sentence_bert_config.json"
    limit = _read_json(folder, name).get("max_seq_length") if (folder / name).exists() else None
    max_seq_length = int(limit or description.get("max_position_embeddings", 512))
    return hidden_size, max_seq_length, _embedding_dim(folder, hidden_size, pools_as_saved)


def files_that_decide(folder: Path) -> list[Path]:
    """All files that determine what the model computes, for its fingerprint; an error if none holds weights."""
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix in _FINGERPRINTED and _UNUSED_FOLDERS.isdisjoint(path.relative_to(folder).parts)
    ]
    if not any(path.suffix in {".safetensors", ".bin"} for path in files):
        raise FileNotFoundError(f"No weights (`*.safetensors` or `*.bin`) in {folder}.")
    return files


def check_weights(folder: Path, name: str, expected: str) -> None:
    """Raise `ValueError` if the weights of the encoder `name` do not have the expected sha256."""
    found = file_sha256(folder / "model.safetensors")
    if found != expected:
        raise ValueError(
            f"The weights of {name!r} are not the published ones: expected sha256 {expected}, found {found} in "
            f"{folder / 'model.safetensors'}. Delete the file and download it again."
        )


def opened_folder(
    folder: Path,
    dtype: "torch.dtype",
    device: "torch.device",
    *,
    pooling: "Literal['cls', 'mean', 'max'] | None",
    hidden_size: int,
) -> "SentenceTransformer":
    """The model, on a device. `pooling` replaces that of the folder; `hidden_size` is the width of the network."""
    from sentence_transformers import SentenceTransformer

    options: dict[str, Any] = {"dtype": dtype}
    if device.type == "cpu":
        # On sentences of a few hundred tokens, torch's fused attention is a tenth slower there.
        options["attn_implementation"] = "eager"
    with no_loading_bar():
        model = SentenceTransformer(str(folder), device=str(device), local_files_only=True, model_kwargs=options)
    if pooling is not None:
        from sentence_transformers.sentence_transformer.modules import Pooling

        places = [index for index, module in enumerate(model) if isinstance(module, Pooling)]
        if not places:
            raise ValueError(f"`pooling={pooling!r}` was asked for, but {folder} has no pooling module.")
        model[places[0]] = Pooling(hidden_size, pooling)
    return model.eval()


def sentence_tokenizer(model: "SentenceTransformer") -> SentenceTokenizer | None:
    """A tokenizer of unchanged sentences; `None` if the model changes them (prompts, lower case)."""
    from sentence_transformers.sentence_transformer.modules import Transformer

    first, max_length = model[0], model.max_seq_length
    if not isinstance(first, Transformer) or first.do_lower_case or max_length is None or model.default_prompt_name:
        return None
    return SentenceTokenizer(model.tokenizer, max_length)


def _embedding_dim(folder: Path, dim: int, pools_as_saved: bool) -> int:
    """Width after the last module that changes it."""
    if not (folder / "modules.json").exists():
        return dim
    for module in _read_json(folder, "modules.json", list):
        kind = module["type"].rsplit(".", 1)[-1]
        if kind == "Pooling" and pools_as_saved:
            config = _read_json(folder, f"{module['path']}/config.json")
            dim *= max(1, sum(value is True for key, value in config.items() if key.startswith("pooling_mode_")))
        elif kind == "Dense":
            dim = int(_read_json(folder, f"{module['path']}/config.json")["out_features"])
    return dim


def _read_json(folder: Path, name: str, kind: type = dict) -> Any:
    path = folder / name
    if not path.exists():
        raise FileNotFoundError(
            f"Expected a sentence-transformers folder at {folder}; found no {name} in it. Pass a registered name, "
            "or a folder with modules.json, config.json, tokenizer files and model.safetensors."
        )
    return downloaded_json(path, kind)
