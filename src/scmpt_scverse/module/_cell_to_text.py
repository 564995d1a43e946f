"""Map cells and texts into one space, trained on labelled studies, and score every cell against every text."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

import numpy as np
import torch
from torch.nn import functional

from scmpt_scverse._checks import check_choice
from scmpt_scverse.module._cell_text_loss import CellTextLoss, similarities
from scmpt_scverse.module._qformer import LinearProjector, QFormer, QFormerOptions
from scmpt_scverse.module._token_steps import TokenSteps, TokenStudy
from scmpt_scverse.module._training_plan import fit_steps
from scmpt_scverse.module._training_run import TrainingRun

if TYPE_CHECKING:
    from torch import Tensor

    from scmpt_scverse._types import FloatArray
    from scmpt_scverse.module._cell_tokens import CellTokens

#: Network that reads tokens: learned queries, or a linear map of the whole-cell token.
TokenReader: TypeAlias = Literal["qformer", "linear"]
_READERS: dict[str, type[QFormer] | type[LinearProjector]] = {"qformer": QFormer, "linear": LinearProjector}
#: Share of the steps for learning-rate warm-up.
_WARMUP = 0.1
#: Training of the linear map that a Q-Former starts from: it uses no genes, and needs a higher learning rate.
_LINEAR: dict[str, Any] = {"lr": 3e-3, "n_steps": 200, "n_genes": 1, "matching": 0.0}
#: Cells scored at a time.
_BATCH_SIZE = 128


@dataclass(frozen=True)
class CellToText:
    """Scores cells against texts in a shared space.

    Attributes
    ----------
    center
        Mean embedding of the texts it was trained with, shape `(text_dim,)`.
    network
        Maps tokens and texts.
    options
        How it was built and trained.
    """

    center: "FloatArray"
    network: QFormer | LinearProjector
    options: QFormerOptions

    @classmethod
    def fit(
        cls,
        texts: "FloatArray",
        studies: Sequence[TokenStudy],
        options: QFormerOptions | None = None,
        *,
        reader: TokenReader = "qformer",
        affinity: "FloatArray | None" = None,
        run: TrainingRun | None = None,
    ) -> Self:
        """Train; the same inputs and seed give the same network.

        Parameters
        ----------
        texts
            Embeddings of several wordings of each type, shape `(n_types, n_wordings, text_dim)`. Types with the same
            wordings are one description.
        studies
            Labelled cells.
        options
            Size and training; `None` uses the defaults.
        reader
            Network that reads the tokens.
        affinity
            How similar in meaning two types are, in [0, 1], shape `(n_types, n_types)`; similar types are pushed apart
            less. `None`: different types are full negatives of each other.
        run
            Where training runs; `None` uses the defaults.

        Raises
        ------
        ValueError
            The labelled cells have fewer than two descriptions, or `reader` is unknown.
        """
        check_choice(reader, tuple(_READERS), "reader")
        options, run = options or QFormerOptions(), run or TrainingRun()
        center = texts.mean(axis=(0, 1))
        related = _affinity(texts, affinity)
        types = TokenSteps(studies, texts.shape[1], options).types
        if not (related[np.ix_(types, types)] < 1).any():
            raise ValueError(
                f"Expected labelled cells of at least two descriptions; found {len(types)} label(s), all of the "
                "same meaning. Add cells of other types."
            )
        embeddings = torch.from_numpy(np.asarray(texts - center, dtype=np.float32))

        def train(network: QFormer | LinearProjector, options: QFormerOptions, run: TrainingRun) -> None:
            loss = CellTextLoss(
                network,
                embeddings,
                torch.from_numpy(related),
                noise=options.noise,
                temperature=options.temperature,
                matching=options.matching,
            )
            fit_steps(
                loss,
                TokenSteps(studies, texts.shape[1], options),
                lr=options.lr,
                n_steps=options.n_steps,
                warmup=_WARMUP,
                run=run,
            )

        sizes = (studies[0].tokens.dim, texts.shape[-1], options)
        with torch.random.fork_rng():
            torch.manual_seed(options.seed)
            network = _READERS[reader](*sizes)
            if isinstance(network, QFormer):
                linear = LinearProjector(*sizes)
                train(linear, replace(options, **_LINEAR), run.part("linear"))
                network.start_from(linear)
            train(network, options, run.part(reader))
        return cls(np.asarray(center, dtype=np.float32), network.cpu().eval(), options)

    def scores(self, tokens: "CellTokens", texts: "FloatArray", *, n_matched: int = 3) -> "FloatArray":
        """How well each text fits each cell.

        Parameters
        ----------
        tokens
            Tokens of the cells.
        texts
            Mean embedding of the wordings of each label, centred, shape `(n_labels, text_dim)`.
        n_matched
            Number of labels per cell, the most similar ones, among which the matching head redistributes their joint
            probability; 0 or 1 keeps the similarities. Each costs as much as the cell itself.

        Returns
        -------
        Logits, shape `(n_cells, n_labels)`: similarities divided by the temperature, adjusted by the matching head if
        there is one; NaN for a cell without tokens.
        """
        scores = np.full((len(tokens), len(texts)), np.nan)
        readable = np.flatnonzero(tokens.has_tokens)
        embeddings = torch.from_numpy(np.asarray(texts, dtype=np.float32))
        with torch.inference_mode():
            labels = self.network.texts(embeddings)
            for start in range(0, len(readable), _BATCH_SIZE):
                rows = readable[start : start + _BATCH_SIZE]
                values, is_token = tokens.padded(rows)
                logits = similarities(self.network.cells(values, is_token), labels) / self.options.temperature
                if n_matched > 1 and self.has_matching:
                    n_best = min(n_matched, len(texts))
                    logits = _matched(self.network, logits, values, is_token, embeddings, n_best)
                scores[rows] = logits.numpy()
        return scores

    @property
    def has_matching(self) -> bool:
        """Whether it has a trained matching head."""
        return isinstance(self.network, QFormer) and self.options.matching > 0

    def arrays(self) -> "dict[str, FloatArray]":
        """Everything, as named arrays."""
        weights = {f"network.{name}": values.numpy() for name, values in self.network.state_dict().items()}
        options = {f"options.{name}": np.array(value, dtype=np.float64) for name, value in asdict(self.options).items()}
        return weights | options | {"center": self.center}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`arrays`; float16 becomes float32."""
        defaults = QFormerOptions()
        options = QFormerOptions(
            **{
                each.name: type(getattr(defaults, each.name))(arrays[f"options.{each.name}"])
                for each in fields(defaults)
            }
        )
        weights = {
            name.removeprefix("network."): torch.from_numpy(np.asarray(values, dtype=np.float32))
            for name, values in arrays.items()
            if name.startswith("network.")
        }
        reader = QFormer if "queries" in weights else LinearProjector
        network = reader(weights["whole.weight"].shape[1], weights["text.weight"].shape[1], options)
        network.load_state_dict(weights)
        return cls(np.asarray(arrays["center"], dtype=np.float32), network.eval(), options)


def _matched(
    network: Any, logits: "Tensor", values: "Tensor", is_token: "Tensor", texts: "Tensor", n_matched: int
) -> "Tensor":
    """Logits in which the matching head has reordered the best labels; their joint probability is unchanged."""
    best = logits.topk(n_matched, dim=1)  # (n_cells, n_matched)
    cells = torch.arange(len(logits)).repeat_interleave(n_matched)
    judged = network.matches(values[cells], is_token[cells], texts[best.indices.flatten()])
    moved = best.values + functional.logsigmoid(judged.view_as(best.values))
    moved = moved + (best.values.logsumexp(dim=1) - moved.logsumexp(dim=1)).unsqueeze(1)
    return logits.scatter(1, best.indices, moved)


def _affinity(texts: "FloatArray", given: "FloatArray | None") -> "FloatArray":
    """The affinity of types, 1 for types with the same wordings, float32."""
    same = np.unique(texts.reshape(len(texts), -1), axis=0, return_inverse=True)[1].reshape(-1)
    identical = same[:, None] == same
    return np.maximum(identical, 0 if given is None else given).astype(np.float32)
