"""Language models that run locally and score how likely each candidate label is to follow the prompt."""

from collections.abc import Iterable
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scmpt_scverse._checks import check_choice
from scmpt_scverse._hardware import resolve_device, resolve_precision
from scmpt_scverse._hashing import fingerprint_of
from scmpt_scverse._loading_bar import no_loading_bar
from scmpt_scverse.llm._base import Answer, Answers, LLMClient, Plain, Request

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from scmpt_scverse._types import FloatArray, Precision, StrPath

#: Files on which the output of a model depends.
_FINGERPRINTED = frozenset({".safetensors", ".bin", ".json", ".jinja", ".txt", ".model"})
_FINGERPRINT_LENGTH = 12
_NORMALISATIONS = ("mean", "sum")


class TransformersClient(LLMClient):
    """A causal language model of Hugging Face that scores each candidate label by its log-likelihood.

    Parameters
    ----------
    model
        Folder of a model as transformers saves it, or a hub id.
    normalisation
        How labels are compared: `"mean"`, by log-likelihood per token, which favours long labels whose last tokens
        follow from the first; or `"sum"`, by the log-likelihood of the whole label, that is, the probability that the
        model writes it, which favours short ones.
    device
        A torch device, or `"auto"`: the first GPU, else the CPU.
    precision
        `"float32"`, `"bfloat16"`, `"float16"`, or `"auto"`: bfloat16 where the device multiplies it natively.
    local_files_only
        Whether to use only files that are on this machine; `False` allows downloads.

    Raises
    ------
    OSError
        The model is not on this machine, or cannot be downloaded.
    ValueError
        An option is out of range.

    Notes
    -----
    The label probabilities are the softmax of the normalised log-likelihoods of the candidates. The prompt is read
    once and then all candidates in one batch; cells do not share a batch, so no answer depends on other cells. There is
    no rationale, and the model never abstains. Code that comes with a model is not run.
    """

    instruction = "Answer with the label of that candidate and nothing else."
    price = (0.0, 0.0)

    def __init__(
        self,
        model: "StrPath",
        *,
        normalisation: Literal["mean", "sum"] = "mean",
        device: str = "auto",
        precision: "Precision" = "auto",
        local_files_only: bool = True,
    ) -> None:
        check_choice(normalisation, _NORMALISATIONS, "normalisation")
        self.source = str(model)
        self.normalisation = normalisation
        self.device = device
        self.precision = precision
        self.local_files_only = local_files_only
        self._dtype = str(resolve_precision(precision, resolve_device(device))).removeprefix("torch.")
        self.model = self._identity()
        self._model: PreTrainedModel | None = None
        self._tokenizer: PreTrainedTokenizerBase | None = None

    def __repr__(self) -> str:
        return f"TransformersClient({self.model!r}, normalisation={self.normalisation!r})"

    def __getstate__(self) -> dict[str, Any]:
        # Another process loads the weights itself: cheaper and safer than sending them.
        return {**self.__dict__, "_model": None, "_tokenizer": None}

    @property
    def parameters(self) -> dict[str, Plain]:
        """Normalisation and precision."""
        return {"client": "transformers", "normalisation": self.normalisation, "precision": self._dtype}

    def answer(self, requests: Iterable[Request]) -> Answers:
        """See :meth:`LLMClient.answer`."""
        for request in requests:
            prompt = self._prompt(request)
            scores = self._scores(prompt, [self._ids(self._continuation(label)) for label in request.candidates])
            odds = np.exp(scores - scores.max())
            probabilities = tuple((odds / odds.sum()).tolist())
            yield request, Answer("answered", probabilities, input_tokens=len(prompt), served_model=self.model)

    def count_tokens(self, request: Request) -> int:
        """Number of tokens in the prompt, by the model's own tokenizer."""
        return len(self._prompt(request))

    def _scores(self, prompt: list[int], labels: list[list[int]]) -> "FloatArray":
        """Normalised log-likelihood of each label after the prompt, shape `(n_labels,)`."""
        import torch
        from transformers import DynamicCache

        model = self._load_model()
        lengths = [len(ids) for ids in labels]
        limit = getattr(model.config, "max_position_embeddings", None)
        if limit is not None and len(prompt) + max(lengths) > limit:
            raise ValueError(
                f"The prompt has {len(prompt)} tokens and {self.model!r} reads {limit}. Show fewer genes (`n_genes=`), "
                "markers or context."
            )
        # Padding follows the label, so a causal model cannot see it.
        padded = [ids + [0] * (max(lengths) - len(ids)) for ids in labels]
        cache = DynamicCache(config=model.config)
        # Its name changed in transformers 5.
        named = {"cache" if "cache" in signature(model.forward).parameters else "past_key_values": cache}
        with torch.inference_mode():
            tokens = torch.tensor(padded, device=model.device)  # (n_labels, n_label_tokens)
            read = model(input_ids=torch.tensor([prompt], device=model.device), logits_to_keep=1, **named)
            cache.batch_repeat_interleave(len(labels))
            further = model(input_ids=tokens, **named).logits[:, :-1]
            # The first token of a label follows the prompt, each other one the token before it.
            logits = torch.cat([read.logits.expand(len(labels), 1, -1), further], dim=1).float()
            each = logits.log_softmax(-1).gather(-1, tokens[..., None])[..., 0].cpu().double().numpy()
        sums = np.array([row[:length].sum() for row, length in zip(each, lengths, strict=True)])
        return sums / lengths if self.normalisation == "mean" else sums

    def _prompt(self, request: Request) -> list[int]:
        tokenizer = self._load_tokenizer()
        messages = [{"role": message.role, "content": message.content} for message in request.messages]
        if tokenizer.chat_template:
            text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            return self._ids(str(text))
        text = "\n\n".join(message["content"] for message in messages) + "\n\nLabel:"
        return list(tokenizer(text)["input_ids"])

    def _continuation(self, label: str) -> str:
        tokenizer = self._load_tokenizer()
        return label if tokenizer.chat_template else f" {label}"

    def _ids(self, text: str) -> list[int]:
        tokenizer = self._load_tokenizer()
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    def _load_tokenizer(self) -> "PreTrainedTokenizerBase":
        if self._tokenizer is None:
            from transformers import AutoTokenizer

            self._tokenizer = AutoTokenizer.from_pretrained(self.source, **self._options())
        return self._tokenizer

    def _load_model(self) -> "PreTrainedModel":
        if self._model is None:
            from transformers import AutoModelForCausalLM

            device = resolve_device(self.device)
            dtype = resolve_precision(self.precision, device)
            with no_loading_bar():
                model: Any = AutoModelForCausalLM.from_pretrained(self.source, dtype=dtype, **self._options())
            self._model = model.to(device).eval()
        return self._model

    def _options(self) -> dict[str, Any]:
        return {"local_files_only": self.local_files_only, "trust_remote_code": False}

    def _identity(self) -> str:
        """Name and fingerprint: the same for the same weights on any machine, different for other weights."""
        folder = Path(self.source).expanduser()
        if folder.is_dir():
            files = [path for path in sorted(folder.iterdir()) if path.suffix in _FINGERPRINTED]
            return f"{folder.resolve().name}@{fingerprint_of(files, folder, {})[:_FINGERPRINT_LENGTH]}"
        from transformers import AutoConfig

        try:
            config = AutoConfig.from_pretrained(self.source, **self._options())
        except OSError as error:
            raise OSError(
                f"Expected a language model in the folder {self.source!r} or by that hub id on this machine; found "
                "none. Check the name, or pass `local_files_only=False` to have it downloaded."
            ) from error
        return f"{self.source}@{config._commit_hash[:_FINGERPRINT_LENGTH]}"
