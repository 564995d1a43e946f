"""Chunks of cells on the workers of a Ray cluster."""

import logging
import os
from collections import Counter, deque
from collections.abc import Generator, Iterable
from contextlib import closing
from typing import TYPE_CHECKING, Any

from scmpt_scverse._checks import check_positive
from scmpt_scverse._optional import import_optional
from scmpt_scverse.streaming._executors import EncodingTask, Executor

if TYPE_CHECKING:
    from scmpt_scverse._types import FloatArray

#: Pending chunks per worker: one that is being encoded, and enough to keep it busy while the oldest chunk is slow.
_CHUNKS_PER_WORKER = 4
#: How often a worker that died is restarted, and how often its chunk is retried.
_MAX_RETRIES = 3


class RayExecutor(Executor):
    """Encodes on the workers of a `Ray <https://docs.ray.io>`_ cluster: one encoder on each GPU, or on each core.

    The cluster is the one that this process is connected to, else the one that runs on this machine or that the
    environment variable `RAY_ADDRESS` names, else a local one that is started for the time of a call. The package must
    be installed on all its machines, and the encoder's folder must have the same path on each. The chunk of a worker
    that died is encoded again by the worker that replaces it.

    Parameters
    ----------
    n_workers
        Number of encoders that run; `None` takes the number of GPUs in the cluster if it has any (and `device` is not
        the CPU), else that of its cores. Each encoder holds the weights.

    Raises
    ------
    ImportError
        Ray is not installed.
    ValueError
        `n_workers` is not a positive whole number.

    Examples
    --------
    >>> from scmpt_scverse import tl
    >>> from scmpt_scverse.streaming import RayExecutor
    >>> tl.embed(adata, "scgpt-human", executor=RayExecutor(n_workers=4))  # doctest: +SKIP
    """

    def __init__(self, n_workers: int | None = None) -> None:
        if n_workers is not None:
            check_positive(n_workers, "n_workers")
        self._n_workers = n_workers
        import_optional("ray", extra="ray", purpose="executor='ray'")

    def map(self, task: EncodingTask, chunks: Iterable[Any]) -> "Generator[FloatArray | None]":
        """See :meth:`Executor.map`; workers start with the first chunk that has work."""
        waiting: deque[Any] = deque()
        with closing(_Workers(task, self._n_workers)) as workers:
            for chunk in chunks:
                waiting.append(None if chunk is None else workers.submit(chunk))
                if len(waiting) > workers.n_chunks:
                    yield workers.result(waiting.popleft())
            while waiting:
                yield workers.result(waiting.popleft())


class _Worker:
    """An encoder in a process of its own."""

    def __init__(self, task: "list[Any]") -> None:
        import ray

        self._task: EncodingTask = ray.get(task[0])

    def encode(self, inputs: Any) -> "FloatArray":
        return self._task(inputs)


class _Workers:
    """The workers of one call, and what each of them has to do."""

    def __init__(self, task: EncodingTask, n_workers: int | None) -> None:
        import ray

        self._ray: Any = ray
        self._task = task
        self._n_asked = n_workers
        self._workers: list[Any] = []
        self._worker_of: dict[Any, int] = {}
        self._is_own_connection = False

    @property
    def n_chunks(self) -> int:
        """Number of chunks that may be pending."""
        return _CHUNKS_PER_WORKER * len(self._workers)

    def submit(self, chunk: Any) -> Any:
        """Give a chunk to the least busy worker; returns a reference to its result."""
        if not self._workers:
            self._start()
        if self._worker_of:
            open_ = list(self._worker_of)
            done, _ = self._ray.wait(open_, num_returns=len(open_), timeout=0)
            for reference in done:
                del self._worker_of[reference]
        load = Counter(self._worker_of.values())
        chosen = min(range(len(self._workers)), key=lambda index: load[index])
        reference = self._workers[chosen].encode.remote(chunk)
        self._worker_of[reference] = chosen
        return reference

    def result(self, reference: Any) -> "FloatArray | None":
        """Wait for the embeddings of a chunk."""
        if reference is None:
            return None
        try:
            rows: FloatArray = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from error  # what the encoder raised
        except self._ray.exceptions.RayActorError as error:
            raise RuntimeError(
                f"A Ray worker died {_MAX_RETRIES + 1} times, probably out of memory: each one holds the weights "
                f"of {self._task.encoder.name!r}. Pass `executor=RayExecutor(n_workers=...)` with fewer of them."
            ) from error
        self._worker_of.pop(reference, None)
        return rows

    def close(self) -> None:
        """End the workers, and the connection (and the local cluster) that was made for them."""
        if self._is_own_connection:
            self._ray.shutdown()
        else:
            for worker in self._workers:
                self._ray.kill(worker)
        self._workers = []

    def _start(self) -> None:
        if not self._ray.is_initialized():
            self._connect()
        resources = self._ray.cluster_resources()
        n_gpus = 0 if self._task.device == "cpu" else int(resources.get("GPU", 0))
        n_workers = self._n_asked or n_gpus or int(resources.get("CPU", 1)) or 1
        worker = self._ray.remote(_Worker).options(
            num_cpus=1,
            num_gpus=min(1, n_gpus / n_workers),
            max_restarts=_MAX_RETRIES,
            max_task_retries=_MAX_RETRIES,
        )
        self._shared = [self._ray.put(self._task)]  # kept here, so that a restarted worker finds it
        self._workers = [worker.remote(self._shared) for _ in range(n_workers)]

    def _connect(self) -> None:
        options = {"log_to_driver": False, "logging_level": logging.ERROR}
        try:
            self._ray.init(address="auto", **options)
        except ConnectionError:
            if os.environ.get("RAY_ADDRESS"):
                raise
            self._ray.init(address="local", num_cpus=self._n_asked, include_dashboard=False, **options)
        self._is_own_connection = True
