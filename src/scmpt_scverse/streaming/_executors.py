"""Where chunks of cells are encoded: in this process or on workers."""

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from scmpt_scverse._registry import Registry

if TYPE_CHECKING:
    from scmpt_scverse._types import FloatArray, Precision
    from scmpt_scverse.encoders import Encoder

EXECUTORS = Registry(
    "executor",
    {
        "serial": "scmpt_scverse.streaming._executors:SerialExecutor",
        "ray": "scmpt_scverse.streaming._ray:RayExecutor",
    },
)


@dataclass(frozen=True)
class EncodingTask:
    """The task for every chunk: one encoder with its settings; it can be pickled and sent to workers.

    Attributes
    ----------
    encoder
        The frozen network.
    batch_size, device, precision
        As :meth:`scmpt_scverse.encoders.Encoder.encode` takes them; the precision is never `"auto"`, so that all
        workers compute in the same.
    """

    encoder: "Encoder"
    batch_size: "int | Literal['auto']"
    device: str
    precision: "Precision"

    def __call__(self, inputs: Any) -> "FloatArray":
        """The embeddings of prepared cells, shape `(n_cells, embedding_dim)`."""
        return self.encoder.encode(inputs, batch_size=self.batch_size, device=self.device, precision=self.precision)


class Executor(ABC):
    """Applies a task to one chunk after another and gives the results in the order of the chunks."""

    @abstractmethod
    def map(self, task: EncodingTask, chunks: Iterable[Any]) -> "Generator[FloatArray | None]":
        """Encode chunks.

        Parameters
        ----------
        task
            The task for each chunk.
        chunks
            Prepared cells; read no further ahead than keeps the workers busy. `None` stands for a chunk without work.

        Returns
        -------
        The embeddings of every chunk, in order; `None` for `None`. Closing the generator stops what it started.
        """


class SerialExecutor(Executor):
    """One chunk after another, in this process."""

    def map(self, task: EncodingTask, chunks: Iterable[Any]) -> "Generator[FloatArray | None]":
        """See :meth:`Executor.map`."""
        return (None if chunk is None else task(chunk) for chunk in chunks)


def executor_for(executor: "str | Executor") -> Executor:
    """An executor by name; an existing one is returned as it is. `ValueError` for an unknown name."""
    if isinstance(executor, Executor):
        return executor
    made: Executor = EXECUTORS.load(executor)()
    return made
