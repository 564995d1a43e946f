"""Texts about cells by a language model that reads them as its first words: trained, scored, and written."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from scmpt_scverse import __version__
from scmpt_scverse._saved_files import named, under
from scmpt_scverse.module._describe_loss import (
    DescribedCells,
    DescribeLoss,
    Frame,
    PairSteps,
    opening,
    padded,
    token_losses,
)
from scmpt_scverse.module._soft_prompt import SoftPrompt, WriterOptions, adapted, adapter_weights
from scmpt_scverse.module._training_plan import fit_steps
from scmpt_scverse.module._training_run import TrainingRun

if TYPE_CHECKING:
    from torch import Tensor

    from scmpt_scverse._types import FloatArray

#: Share of the steps in which the learning rate rises.
_WARMUP = 0.1
#: Pairs that are scored at a time.
_BATCH_SIZE = 32
#: Where words are drawn, they are drawn among the most probable ones that have so much probability together.
_NUCLEUS = 0.9


@dataclass(frozen=True)
class CellWriter:
    """Makes a language model describe cells. The language model itself is no part of it.

    Attributes
    ----------
    prompt
        From vectors of cells to words.
    adapter
        Weights of LoRA; empty without.
    frame
        Tokens around these words.
    options
        How it was built and trained.
    losses
        Of each step of training, shape `(n_steps,)`.
    """

    prompt: SoftPrompt
    adapter: "Mapping[str, Tensor]"
    frame: Frame
    options: WriterOptions
    losses: "FloatArray" = field(default_factory=lambda: np.empty(0, dtype=np.float32))

    @classmethod
    def fit(
        cls,
        cells: DescribedCells,
        network: Any,
        frame: Frame,
        options: WriterOptions | None = None,
        *,
        fingerprint: str = "",
        run: TrainingRun | None = None,
    ) -> Self:
        """Train on some cells; the same cells, language model and seed give the same writer.

        Parameters
        ----------
        cells
            With their texts.
        network
            A causal language model of transformers; it is as before afterwards.
        frame
            Tokens around the words that stand for a cell.
        options
            How; `None` takes the defaults.
        fingerprint
            Of the language model: training is resumed with the same one only.
        run
            Where; `None` takes the defaults.
        """
        options, run = options or WriterOptions(), run or TrainingRun()
        run.claim(
            stage="describe",
            version=__version__,
            options=asdict(options),
            language_model=fingerprint,
            frame=list(frame),
            **vars(cells),
        )
        steps = PairSteps(cells, options)
        where = network.device
        with torch.random.fork_rng():
            torch.manual_seed(options.seed)
            words = network.get_input_embeddings().weight
            prompt = SoftPrompt(cells.vectors.shape[-1], words.shape[1], options.n_tokens)
            prompt.start_like(words)
            with adapted(network, options.lora_rank) as with_adapter:
                losses = fit_steps(
                    DescribeLoss(prompt, with_adapter, frame),
                    steps,
                    lr=options.lr,
                    n_steps=options.max_epochs * steps.n_per_epoch,
                    warmup=_WARMUP,
                    run=run,
                )
                adapter = adapter_weights(with_adapter, options.lora_rank)
        network.to(where)
        return cls(prompt.cpu().eval(), adapter, frame, options, losses)

    def losses_of(self, network: Any, vectors: "FloatArray", tokens: Sequence[Sequence[int]]) -> "FloatArray":
        """Mean cross-entropy of the tokens of the text of each cell.

        Parameters
        ----------
        network
            The language model it was trained with.
        vectors
            Of the cells, shape `(n_cells, dim)`.
        tokens
            Of the text of each.

        Returns
        -------
        Natural logarithms, shape `(n_cells,)`.
        """
        found = []
        with torch.inference_mode(), adapted(network, self.options.lora_rank, self.adapter) as with_adapter:
            for start in range(0, len(vectors), _BATCH_SIZE):
                rows = slice(start, start + _BATCH_SIZE)
                before = self._opening(with_adapter, vectors[rows])
                ids, is_token = (each.to(before.device) for each in padded(tokens[rows]))
                found.append(token_losses(with_adapter, before, ids, is_token).cpu().numpy())
        return np.concatenate(found)

    def continued(
        self, network: Any, vector: "FloatArray", begun: Sequence[int], end: int, *, seed: int | None = None
    ) -> list[int]:
        """Tokens that follow those that a text begins with, without its end; no other cell is looked at.

        Parameters
        ----------
        network
            The language model in the context of :meth:`adapted`.
        vector
            Of the cells, shape `(dim,)`.
        begun
            What the text begins with.
        end
            The token that ends a text.
        seed
            `None` takes the most probable token each time; a number draws.
        """
        from transformers import GenerationConfig

        config = GenerationConfig(
            do_sample=seed is not None,
            top_p=None if seed is None else _NUCLEUS,
            top_k=0 if seed is not None else None,
            num_beams=1,
            repetition_penalty=1.0,
            max_new_tokens=self.options.max_tokens,
            eos_token_id=end,
            pad_token_id=end,
        )
        with torch.inference_mode(), torch.random.fork_rng():
            if seed is not None:
                torch.manual_seed(seed)
            before = self._opening(network, vector[None])
            words = network.get_input_embeddings()(torch.tensor([list(begun)], device=before.device))
            inputs = torch.cat([before, words], dim=1)
            mask = torch.ones(inputs.shape[:2], dtype=torch.int64, device=inputs.device)
            found = network.generate(inputs_embeds=inputs, attention_mask=mask, generation_config=config)
        ids: list[int] = found[0].tolist()
        return ids[: ids.index(end)] if end in ids else ids

    def adapted(self, network: Any) -> Any:
        """A context in which the language model is as it was trained."""
        return adapted(network, self.options.lora_rank, self.adapter)

    def _opening(self, network: Any, vectors: "FloatArray") -> "Tensor":
        given = torch.from_numpy(np.asarray(vectors, dtype=np.float32))
        device = network.get_input_embeddings().weight.device
        return opening(network, self.prompt.to(device), given.to(device), self.frame)

    def arrays(self) -> "dict[str, FloatArray]":
        """All that was learned, as named arrays."""
        prompt = {name: values.cpu().numpy() for name, values in self.prompt.state_dict().items()}
        adapter = {name: values.numpy() for name, values in self.adapter.items()}
        return {**named("prompt", prompt), **named("adapter", adapter), "losses": self.losses}

    def state(self) -> dict[str, Any]:
        """All else, as plain values."""
        return {"options": asdict(self.options), "before": self.frame.before, "after": self.frame.after}

    @classmethod
    def from_saved(cls, arrays: "Mapping[str, Any]", state: "Mapping[str, Any]") -> Self:
        """The inverse of :meth:`arrays` and :meth:`state`; float16 becomes float32."""
        known = {each.name for each in fields(WriterOptions)}
        options = WriterOptions(**{name: value for name, value in state["options"].items() if name in known})
        weights, adapter = (
            {
                name: torch.from_numpy(np.asarray(values, dtype=np.float32))
                for name, values in under(arrays, part).items()
            }
            for part in ("prompt", "adapter")
        )
        n_out, dim = weights["linear.weight"].shape
        prompt = SoftPrompt(dim, n_out // options.n_tokens, options.n_tokens)
        prompt.load_state_dict(weights)
        frame = Frame(*([int(token) for token in state[part]] for part in ("before", "after")))
        return cls(prompt.eval(), adapter, frame, options, np.asarray(arrays["losses"], dtype=np.float32))
