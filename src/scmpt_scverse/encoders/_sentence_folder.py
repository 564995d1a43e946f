"""Sizes of a sentence-transformers model, read from the files of its folder without loading weights."""

from pathlib import Path
from typing import Any

from scmpt_scverse._checks import parsed_json, type_name


def described_sizes(folder: Path, *, pools_as_saved: bool) -> tuple[int, int, int]:
    """Width of the network, tokens that it reads, and width of an embedding.

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
        A description is not JSON, or says something else.
    """
    description = _read_json(folder, "config.json")
    hidden_size = int(description["hidden_size"])
    name = "sentence_bert_config.json"
    limit = _read_json(folder, name).get("max_seq_length") if (folder / name).exists() else None
    max_seq_length = int(limit or description.get("max_position_embeddings", 512))
    return hidden_size, max_seq_length, _embedding_dim(folder, hidden_size, pools_as_saved)


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
    try:
        content = parsed_json(path.read_text(encoding="utf-8"))
    except ValueError as error:  # malformed JSON, or bytes that are not text
        raise ValueError(f"{path} is not valid JSON ({error}). Download the folder again.") from error
    if not isinstance(content, kind):
        raise ValueError(f"Expected a {kind.__name__} in {path}; found {type_name(content)}. Download it again.")
    return content
