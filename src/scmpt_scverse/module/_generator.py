"""Generate counts of cells that a text describes: a generator is trained on labelled cells, then draws cells."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import torch
from scipy import sparse
from torch.nn import functional
from torch.utils.data import IterableDataset

from scmpt_scverse import __version__
from scmpt_scverse._saved_files import named, under
from scmpt_scverse.module._dispersions import log_dispersions
from scmpt_scverse.module._generator_decoders import Condition
from scmpt_scverse.module._generator_network import CellNetwork, CellStep, GeneratorLoss, GeneratorOptions
from scmpt_scverse.module._training_plan import fit_steps
from scmpt_scverse.module._training_run import TrainingRun

if TYPE_CHECKING:
    from torch import Tensor

    from scmpt_scverse._types import BoolArray, FloatArray, IntArray

#: Share of the steps for learning-rate warm-up.
_WARMUP = 0.1
#: Cells drawn at a time. Always the same number, since matrix products of other shapes differ in their last digits: so
#: a cell does not depend on how many others are drawn.
_BLOCK = 64
#: Probability with which each wording is left out for a cell in a step: any one wording should be enough.
_WORDING_DROPOUT = 0.5


@dataclass(frozen=True)
class CountedCells:
    """Labelled cells to train a generator on.

    Attributes
    ----------
    counts
        Raw counts, shape `(n_cells, n_genes)`; every cell has some.
    types, batches
        Index of the type and of the batch of each cell, shape `(n_cells,)`.
    texts
        Centred embeddings of the wordings of each type, shape `(n_types, n_wordings, text_dim)`.
    profiles
        Profile that the text tower predicts for each type, over these genes, shape `(n_types, n_genes)`.
    is_measured
        Which genes each batch has, shape `(n_batches, n_genes)`.
    """

    counts: sparse.csr_matrix
    types: "IntArray"
    batches: "IntArray"
    texts: "FloatArray"
    profiles: "FloatArray"
    is_measured: "BoolArray"


class TextCondition(NamedTuple):
    """The condition from which pseudo-cells of one text are drawn.

    Attributes
    ----------
    texts
        Centred embeddings of the wordings of the text itself, or of several types that stand for it: one array of shape
        `(n_wordings, text_dim)` per part.
    profiles
        Profile of each part, shape `(n_parts, n_genes)`.
    weights
        Weight of each part in the mean of log shares, shape `(n_parts,)`.
    shift
        Added to the log shares of genes, shape `(n_genes,)`.
    batches
        Probability of each batch, shape `(n_batches,)`.
    """

    texts: "list[FloatArray]"
    profiles: "FloatArray"
    weights: "FloatArray"
    shift: "FloatArray"
    batches: "FloatArray"


class Drawn(NamedTuple):
    """Pseudo-cells of one text."""

    counts: sparse.csr_matrix  # (n_cells, n_genes), int32
    batches: "IntArray"  # (n_cells,)


@dataclass(frozen=True)
class CellGenerator:
    """Draws counts of cells for texts.

    Attributes
    ----------
    network
        The trained network.
    options
        How it was built and trained.
    losses
        Loss of each training step, shape `(n_steps,)`.
    """

    network: CellNetwork
    options: GeneratorOptions
    losses: "FloatArray" = field(default_factory=lambda: np.empty(0, dtype=np.float32))

    @classmethod
    def fit(
        cls,
        cells: CountedCells,
        options: GeneratorOptions | None = None,
        *,
        run: TrainingRun | None = None,
    ) -> Self:
        """Train on some cells; the same cells and seed give the same generator.

        Parameters
        ----------
        cells
            Labelled cells.
        options
            Size and training; `None` uses the defaults.
        run
            Where training runs; `None` uses the defaults.

        Raises
        ------
        ValueError
            The folder of `run` holds a training of other data or options.
        """
        options, run = options or GeneratorOptions(), run or TrainingRun()
        run.claim(
            stage="generate",
            version=__version__,
            options=asdict(options),
            counts=[cells.counts.data, cells.counts.indices, cells.counts.indptr],
            **{name: value for name, value in vars(cells).items() if name != "counts"},
        )
        texts, profiles = (torch.from_numpy(np.asarray(each, np.float32)) for each in (cells.texts, cells.profiles))
        logarithms = np.log(np.asarray(cells.counts.sum(axis=1)).ravel())
        with torch.random.fork_rng():
            torch.manual_seed(options.seed)
            is_measured = torch.from_numpy(cells.is_measured.astype(np.float32))
            network = CellNetwork(texts.shape[-1], is_measured, options)
            network.library_scale[0], network.library_scale[1] = logarithms.mean(), max(logarithms.std(), 1e-2)
            # Hundreds of steps of Adam are too few to find it: a step moves a logarithm by at most the learning rate.
            groups = cells.types * len(cells.is_measured) + cells.batches
            network.log_dispersion.data = torch.from_numpy(log_dispersions(cells.counts, groups))
            loss = GeneratorLoss(network, texts, profiles, options)
            losses = fit_steps(
                loss,
                _Steps(cells, options),
                lr=options.lr,
                n_steps=options.n_steps,
                warmup=_WARMUP,
                run=run,
            )
        return cls(network.cpu().eval(), options, losses)

    def draw(
        self, condition: TextCondition, n_cells: int, *, key: str, seed: int, library_size: "FloatArray | None" = None
    ) -> Drawn:
        """Pseudo-cells of one text.

        Parameters
        ----------
        condition
            The condition.
        n_cells
            Number of cells.
        key
            Name of the text: cells of different texts are drawn independently.
        seed
            Seed of all draws. The first cells are the same whatever `n_cells` is.
        library_size
            Expected total count of each cell, shape `(n_cells,)`; `None` draws it from the learned distribution.

        Returns
        -------
        Counts, int32 CSR of shape `(n_cells, n_genes)`, and the batch of each cell.
        """
        streams = _streams(key, seed)
        counts, batches = [], []
        for start in range(0, n_cells, _BLOCK):
            sizes = None if library_size is None else np.resize(library_size[start : start + _BLOCK], _BLOCK)
            block, codes = self._block(condition, streams, sizes)
            counts.append(sparse.csr_matrix(block[: n_cells - start]))
            batches.append(codes[: n_cells - start])
        return Drawn(sparse.vstack(counts, format="csr"), np.concatenate(batches))

    def _block(
        self, condition: TextCondition, streams: "_Streams", library_size: "FloatArray | None"
    ) -> "tuple[IntArray, IntArray]":
        """Counts `(n_block, n_genes)` and batches `(n_block,)`."""
        n, network = _BLOCK, self.network
        edges = np.cumsum(condition.batches)
        codes = np.searchsorted(edges, streams.batch.random(n) * edges[-1], side="right").clip(max=len(edges) - 1)
        noise = torch.from_numpy(streams.latent.standard_normal((n, self.options.n_latent)).astype(np.float32))
        of_library = torch.from_numpy(streams.library.standard_normal(n).astype(np.float32))
        with torch.inference_mode():
            batches = functional.one_hot(torch.from_numpy(codes), len(edges)).to(torch.float32)
            parts = [_repeated(*each, n) for each in zip(condition.texts, condition.profiles, strict=True)]
            summaries = [network.summarised(part) for part in parts]
            if library_size is None:
                drawn = [network.library_sizes(summary, batches) for summary in summaries]
                log_library = _mean([mean + scale * of_library for mean, scale in drawn], condition.weights)
            else:
                log_library = torch.from_numpy(np.log(library_size).astype(np.float32))
            shares = []
            for part, summary in zip(parts, summaries, strict=True):
                mean, log_variance = network.latent_prior(summary, log_library)
                latent = mean + (log_variance / 2).exp() * noise
                shares.append(network.logits(latent, batches, summary, part))
            logits = _mean(shares, condition.weights) + torch.from_numpy(condition.shift.astype(np.float32))
            log_means = functional.log_softmax(logits, dim=1) + log_library.unsqueeze(1)
            dispersion = network.log_dispersion.exp().double().numpy()
            gates = torch.sigmoid(network.dropout_logits(log_means)).double().numpy()
            means = log_means.double().exp().numpy()
        # A negative binomial is a Poisson distribution whose mean is gamma distributed.
        rates = streams.gamma.standard_gamma(np.broadcast_to(dispersion, means.shape)) * (means / dispersion)
        counts = streams.poisson.poisson(rates)
        if network.likelihood == "zinb":
            counts = np.where(streams.gate.random(counts.shape) < gates, 0, counts)
        return np.minimum(counts, np.iinfo(np.int32).max).astype(np.int32), codes

    def arrays(self) -> "dict[str, FloatArray]":
        """Everything except the options, as named arrays."""
        weights = {name: values.cpu().numpy() for name, values in self.network.state_dict().items()}
        return {**named("network", weights), "losses": self.losses}

    @classmethod
    def from_arrays(cls, arrays: "Mapping[str, Any]", options: "Mapping[str, Any]") -> Self:
        """The inverse of :meth:`arrays` and :meth:`state`; float16 becomes float32."""
        known = {each.name for each in fields(GeneratorOptions)}
        built = GeneratorOptions(**{name: value for name, value in options.items() if name in known})
        weights = {
            name: torch.from_numpy(np.asarray(values, dtype=np.float32))
            for name, values in under(arrays, "network").items()
        }
        network = CellNetwork(weights["text.weight"].shape[1], weights["is_measured"], built)
        network.load_state_dict(weights)
        return cls(network.eval(), built, np.asarray(arrays["losses"], dtype=np.float32))

    def state(self) -> dict[str, Any]:
        """The options, as plain values."""
        return asdict(self.options)


class _Streams(NamedTuple):
    """Independent random streams, so that no draw depends on how many values another needed."""

    batch: np.random.Generator
    library: np.random.Generator
    latent: np.random.Generator
    gamma: np.random.Generator
    poisson: np.random.Generator
    gate: np.random.Generator


def _streams(key: str, seed: int) -> _Streams:
    digest = hashlib.sha256(key.encode()).digest()
    words = [int.from_bytes(digest[start : start + 4], "little") for start in range(0, len(digest), 4)]
    sequence = np.random.SeedSequence([seed, *words])
    return _Streams(*(np.random.default_rng(each) for each in sequence.spawn(len(_Streams._fields))))


def _repeated(texts: "FloatArray", profile: "FloatArray", n: int) -> Condition:
    """The condition of one text for `n` cells."""
    wordings = torch.from_numpy(np.asarray(texts, dtype=np.float32)).expand(n, -1, -1)
    profiles = torch.from_numpy(np.asarray(profile, dtype=np.float32)).expand(n, -1)
    return Condition(wordings, torch.ones(wordings.shape[:2], dtype=torch.bool), profiles)


def _mean(values: "list[Tensor]", weights: "FloatArray") -> "Tensor":
    return sum((float(weight) * each for weight, each in zip(weights, values, strict=True)), torch.zeros(1))


class _Steps(IterableDataset[CellStep]):
    """Endless steps with their own random generator."""

    def __init__(self, cells: CountedCells, options: GeneratorOptions) -> None:
        self._cells, self._options = cells, options
        self._by_type = [rows for each in range(len(cells.texts)) if len(rows := np.flatnonzero(cells.types == each))]

    def __iter__(self) -> Iterator[CellStep]:
        rng, cells = np.random.default_rng(self._options.seed), self._cells
        n_wordings = cells.texts.shape[1]
        while True:
            places = rng.integers(0, len(self._by_type), self._options.cells_per_step)
            rows = np.array([self._by_type[place][rng.integers(len(self._by_type[place]))] for place in places])
            is_wording = rng.random((len(rows), n_wordings)) >= _WORDING_DROPOUT
            is_wording[np.arange(len(rows)), rng.integers(0, n_wordings, len(rows))] = True
            yield CellStep(
                torch.from_numpy(cells.counts[rows].toarray().astype(np.float32)),
                torch.from_numpy(cells.types[rows]),
                torch.from_numpy(cells.batches[rows]),
                torch.from_numpy(is_wording),
            )
