"""Write a scGPT checkpoint folder in the official layout, completely or not at all."""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scmpt_scverse.encoders._scgpt_checkpoint import SETTINGS_FILE, VOCABULARY_FILE, WEIGHT_FILES, ScGPTSettings

if TYPE_CHECKING:
    from torch import Tensor

#: What official code reads from `args.json` besides the architecture.
_OFFICIAL_ARGS = {
    "n_layers_cls": 3,
    "dropout": 0.0,
    "mask_value": -1,
    "max_seq_len": 1200,
    "input_style": "binned",
    "input_emb_style": "continuous",
    "cell_emb_style": "cls",
    "training_tasks": "both",
    "fast_transformer": False,
    "no_cls": False,
}


def write_folder(
    folder: Path,
    settings: ScGPTSettings,
    vocabulary: Mapping[str, int],
    weights: "Mapping[str, Tensor]",
    *,
    notes: Mapping[str, Any],
    files: Mapping[str, str],
    compact: bool = False,
) -> None:
    """Write `args.json`, `vocab.json` and the weights into a new folder.

    Parameters
    ----------
    folder
        Must not exist; it appears when all files are complete.
    settings, vocabulary, weights
        What the folder holds; weights under official names.
    notes
        Further entries of `args.json`.
    files
        Further text files: name to content.
    compact
        `model.safetensors` in float16 instead of `best_model.pt` in float32: half the size, which the official code
        does not read.
    """
    import torch
    from safetensors.torch import save_file

    making = folder.with_name(f".{folder.name}.{os.getpid()}")
    making.mkdir()
    try:
        args = {**asdict(settings), **_OFFICIAL_ARGS, **notes}
        (making / SETTINGS_FILE).write_text(json.dumps(args, indent=1) + "\n", encoding="utf-8")
        (making / VOCABULARY_FILE).write_text(json.dumps(dict(vocabulary), indent=0) + "\n", encoding="utf-8")
        for name, text in files.items():
            (making / name).write_text(text, encoding="utf-8")
        official, safe = WEIGHT_FILES
        if compact:
            save_file({name: tensor.to(torch.float16).contiguous() for name, tensor in weights.items()}, making / safe)
            (making / safe).chmod((making / SETTINGS_FILE).stat().st_mode)  # safetensors lets only the owner read them
        else:
            torch.save({name: tensor.clone() for name, tensor in weights.items()}, making / official)
        os.replace(making, folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)
