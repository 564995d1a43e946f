"""Let a language model describe cells that it reads as a soft prompt: training, scoring and writing."""

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

#: Share of the steps for learning-rate warm-up.
_WARMUP = 0.1
#: Pairs scored at a time.
_BATCH_SIZE = 32
#: Top-p of nucleus sampling.
_NUCLEUS = 0.9


@dataclass(frozen=True)
class CellWriter:
    """Makes a language model describe cells. The language model itself is not included.

    Attributes
    ----------
    prompt
        Maps vectors of cells to soft-prompt tokens.
    adapter
        LoRA weights; empty without LoRA.
    frame
        Tokens around the soft prompt.
    options
        How it was built and trained.
    losses
        Loss of each training step, shape `(n_steps,)`.
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
            Cells with their texts.
        network
            A causal language model of transformers; it is unchanged afterwards.
        frame
            Tokens around the soft prompt of a cell.
        options
            Size and training; `None` uses the defaults.
        fingerprint
            Of the language model: training is resumed only with the same one.
        run
            Where training runs; `None` uses the defaults.

        Raises
        ------
        ImportError
            `lora_rank` is above 0 and the extra `generate` is not installed.
        ValueError
            The folder of `run` holds a training of other data or options.
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
        """Mean cross-entropy per token of the text of each cell.

        Parameters
        ----------
        network
            The language model it was trained with.
        vectors
            Vectors of the cells, shape `(n_cells, dim)`.
        tokens
            Token ids of the text of each cell.

        Returns
        -------
        In nats, shape `(n_cells,)`.
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
        """Continue a text about one cell or the mean of several; returns the new tokens without `end`.

        Parameters
        ----------
        network
            The language model in the context of :meth:`adapted`.
        vector
            Vector of the cell, shape `(dim,)`.
        begun
            Tokens that the text begins with.
        end
            The token that ends a text.
        seed
            `None` takes the most probable token each time; a number samples.
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
        """A context in which the language model has the adapter it was trained with."""
        return adapted(network, self.options.lora_rank, self.adapter)

    def _opening(self, network: Any, vectors: "FloatArray") -> "Tensor":
        given = torch.from_numpy(np.asarray(vectors, dtype=np.float32))
        device = network.get_input_embeddings().weight.device
        return opening(network, self.prompt.to(device), given.to(device), self.frame)

    def arrays(self) -> "dict[str, FloatArray]":
        """All trained weights and the losses, as named arrays."""
        prompt = {name: values.cpu().numpy() for name, values in self.prompt.state_dict().items()}
        adapter = {name: values.numpy() for name, values in self.adapter.items()}
        return {**named("prompt", prompt), **named("adapter", adapter), "losses": self.losses}

    def state(self) -> dict[str, Any]:
        """The options and the frame, as plain values."""
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
