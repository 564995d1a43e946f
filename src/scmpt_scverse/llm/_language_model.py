"""A causal language model of transformers, opened once: its network, its tokenizer and its fingerprint."""

import hashlib
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from scmpt_scverse._checks import is_of_machine, type_name
from scmpt_scverse._loading_bar import no_loading_bar

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from scmpt_scverse._types import StrPath

#: A folder, a hub id, or a network with its tokenizer.
GivenLanguageModel: TypeAlias = "StrPath | tuple[PreTrainedModel, PreTrainedTokenizerBase] | LanguageModel"
_ADVICE = (
    "Pass the folder of a causal language model as transformers saves it, a hub id, or a pair of network and tokenizer."
)
#: To test that a network is causal: the number of following tokens that are replaced, and by how many units of rounding
#: the logits before them may change. Without a mask, those of a small random network change by thousands.
_N_FOLLOWING, _ROUNDING = 8, 64


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A causal language model.

    Attributes
    ----------
    source
        Where it is from: the absolute path of a folder, a hub id, or the name of a network that was passed.
    network
        The network, in evaluation mode.
    tokenizer
        The tokenizer of that network.
    fingerprint
        Hexadecimal sha256 over weights and vocabulary: the same for every copy, on any machine.
    """

    source: str
    network: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    fingerprint: str

    @classmethod
    def open(cls, given: "GivenLanguageModel") -> Self:
        """Open a folder, a hub id whose files are on this machine, or a pair of network and tokenizer.

        Weights are float32; those of a pair stay as they are. Code that comes with a model is not run. An open model is
        returned as it is.

        Raises
        ------
        OSError
            There is no such model on this machine.
        ValueError
            It is not a causal language model, or the tokenizer does not belong to it.
        TypeError
            Something else was passed.
        """
        if isinstance(given, cls):
            return given
        if isinstance(given, str | PathLike) and str(given).strip():
            source = str(Path(given).expanduser().resolve()) if Path(given).expanduser().is_dir() else str(given)
            network, tokenizer = _loaded(source)
        elif isinstance(given, tuple) and len(given) == 2 and hasattr(given[0], "get_input_embeddings"):
            network, tokenizer = given
            source = str(getattr(network.config, "_name_or_path", "") or type(network).__name__)
            if not (callable(tokenizer) and hasattr(tokenizer, "get_vocab")):
                raise TypeError(f"Expected a tokenizer beside the network; found {type_name(tokenizer)}. {_ADVICE}")
        else:
            raise TypeError(f"Expected a causal language model; found {type_name(given)}. {_ADVICE}")
        network.eval()
        if not _is_causal(network):
            raise ValueError(
                f"Expected a causal language model in {source!r}; found {type(network).__name__}, whose output "
                f"depends on the words that follow. {_ADVICE}"
            )
        opened = cls(source, network, tokenizer, _fingerprint(network, tokenizer))
        n_words = _n_words(network)
        if not 0 < max(opened.ids("B cell: a cell."), default=-1) < n_words:  # an empty one gives no ids, or one beyond
            raise ValueError(
                f"Expected the tokenizer of a causal language model in {source!r}; found none, or that of another one: "
                f"its ids are not among the {n_words:,} that the network knows. {_ADVICE}"
            )
        return opened

    def ids(self, text: str) -> list[int]:
        """Token ids of a piece of text, without special ones."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def text(self, ids: list[int]) -> str:
        """The text of token ids, without special ones."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    @property
    def start_ids(self) -> list[int]:
        """Id of the token that begins a text; empty for a model without such a token."""
        start = self.tokenizer.bos_token_id
        return [] if start is None else [int(start)]

    @property
    def end_ids(self) -> list[int]:
        """Id of the token that ends a text: the model's own, or else a newline."""
        end = self.tokenizer.eos_token_id
        return self.ids("\n")[-1:] if end is None else [int(end)]


def _loaded(source: str) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    if not Path(source).is_dir():
        try:
            AutoConfig.from_pretrained(source, **options)
        except Exception as error:  # of transformers and its hub, of many kinds
            if is_of_machine(error):
                raise
            raise OSError(
                f"Expected a language model in the folder {source!r} or by that hub id on this machine; found none. "
                "Check the name, or download it first."
            ) from error
    try:
        with no_loading_bar():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                source, dtype=torch.float32, output_loading_info=True, **options
            )
        network, found = loaded
        tokenizer = AutoTokenizer.from_pretrained(source, **options)
    except Exception as error:  # as above
        if is_of_machine(error):
            raise
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"Expected a causal language model in {source!r}; found something else ({reason}). {_ADVICE}"
        ) from error
    if found["missing_keys"]:
        raise ValueError(
            f"Expected a causal language model in {source!r}; found one that lacks weights for writing text "
            f"({sorted(found['missing_keys'])[0]}), such as an encoder of texts. {_ADVICE}"
        )
    return network, tokenizer


def _is_causal(network: Any) -> bool:
    """Whether the logits at a token do not depend on the tokens that follow."""
    import torch

    if getattr(network.config, "is_encoder_decoder", False):
        return False
    size = _n_words(network)
    first, other = ([1, 2, *range(start, start + _N_FOLLOWING)] for start in (3, 3 + _N_FOLLOWING))
    tokens = torch.tensor([first, other], device=network.device) % size
    with torch.inference_mode():
        logits = network(input_ids=tokens).logits[:, :2]
    rounding = _ROUNDING * torch.finfo(logits.dtype).eps
    return bool((logits[0] - logits[1]).abs().max() <= rounding * logits.abs().max())


def _fingerprint(network: Any, tokenizer: Any) -> str:
    digest = hashlib.sha256()
    for name, values in sorted(network.state_dict().items()):
        digest.update(f"{name} {tuple(values.shape)} ".encode() + values.detach().cpu().float().numpy().tobytes())
    for piece, number in sorted(tokenizer.get_vocab().items()):
        digest.update(f"{number} {piece}\0".encode())
    return digest.hexdigest()


def _n_words(network: Any) -> int:
    return len(network.get_input_embeddings().weight)
