"""Checkpoint folders in the layout of scGPT's model zoo, with random weights."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save_file
from torch import Tensor

SPECIAL_TOKENS = ("<pad>", "<cls>", "<eoc>")


def make_scgpt_folder(
    path: Path,
    genes: Iterable[str],
    *,
    nlayers: int = 2,
    embsize: int = 64,
    nheads: int = 4,
    d_hid: int = 64,
    key_style: Literal["plain", "flash"] = "plain",
    weights: Literal["pt", "safetensors"] = "pt",
    seed: int = 0,
) -> Path:
    """Write `args.json`, `vocab.json` and a weight file under `path`, and return it."""
    path.mkdir(parents=True, exist_ok=True)
    vocabulary = {token: index for index, token in enumerate([*genes, *SPECIAL_TOKENS])}
    (path / "vocab.json").write_text(json.dumps(vocabulary))
    (path / "args.json").write_text(json.dumps(scgpt_args(nlayers, embsize, nheads, d_hid)))
    tensors = random_weights(len(vocabulary), nlayers, embsize, d_hid, seed)
    if key_style == "flash":
        tensors = {name.replace("self_attn.in_proj_", "self_attn.Wqkv."): tensor for name, tensor in tensors.items()}
    write_weights(path, tensors, weights)
    return path


def write_weights(path: Path, tensors: dict[str, Tensor], weights: Literal["pt", "safetensors"] = "pt") -> None:
    if weights == "pt":
        torch.save(tensors, path / "best_model.pt")
    else:
        save_file(tensors, path / "model.safetensors")


def scgpt_args(nlayers: int, embsize: int, nheads: int, d_hid: int) -> dict[str, object]:
    """The keys of the whole-human checkpoint that concern the network, and a few that do not."""
    return {
        "embsize": embsize,
        "nheads": nheads,
        "d_hid": d_hid,
        "nlayers": nlayers,
        "n_layers_cls": 3,
        "dropout": 0.2,
        "pad_token": "<pad>",
        "pad_value": -2,
        "mask_value": -1,
        "n_bins": 51,
        "max_seq_len": 1200,
        "input_style": "binned",
        "input_emb_style": "continuous",
        "training_tasks": "both",
        "fast_transformer": True,
        "no_cls": True,
    }


def random_weights(n_tokens: int, nlayers: int, embsize: int, d_hid: int, seed: int) -> dict[str, Tensor]:
    """An encoder's tensors under their official names, and two of the heads that checkpoints carry."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    def linear(name: str, n_out: int, n_in: int) -> dict[str, Tensor]:
        return {f"{name}weight": normal(n_out, n_in) / n_in**0.5, f"{name}bias": 0.1 * normal(n_out)}

    def norm(name: str) -> dict[str, Tensor]:
        return {f"{name}.weight": 1 + 0.1 * normal(embsize), f"{name}.bias": 0.1 * normal(embsize)}

    tensors = {"encoder.embedding.weight": 0.1 * normal(n_tokens, embsize)} | norm("encoder.enc_norm")
    tensors |= linear("value_encoder.linear1.", embsize, 1) | linear("value_encoder.linear2.", embsize, embsize)
    tensors |= norm("value_encoder.norm")
    for layer in range(nlayers):
        prefix = f"transformer_encoder.layers.{layer}"
        tensors |= linear(f"{prefix}.self_attn.in_proj_", 3 * embsize, embsize)
        # Attention to all tokens alike would average them, and every cell would have the same embedding.
        tensors[f"{prefix}.self_attn.in_proj_weight"] *= 2
        tensors |= linear(f"{prefix}.self_attn.out_proj.", embsize, embsize)
        tensors |= linear(f"{prefix}.linear1.", d_hid, embsize) | linear(f"{prefix}.linear2.", embsize, d_hid)
        tensors |= norm(f"{prefix}.norm1") | norm(f"{prefix}.norm2")
    return tensors | linear("decoder.fc.0.", embsize, embsize) | {"flag_encoder.weight": normal(2, embsize)}
