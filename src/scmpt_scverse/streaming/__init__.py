"""Streaming embedding: chunk by chunk, from the cache where possible, in this process or on workers."""

from scmpt_scverse.streaming._embed_chunks import embed_chunks as embed_chunks, rows_with_bar as rows_with_bar
from scmpt_scverse.streaming._executors import (
    EncodingTask as EncodingTask,
    Executor as Executor,
    SerialExecutor as SerialExecutor,
    executor_for as executor_for,
)
from scmpt_scverse.streaming._ray import RayExecutor

__all__ = ["RayExecutor"]
