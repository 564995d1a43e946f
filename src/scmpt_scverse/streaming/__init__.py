"""Embedding in a stream: chunk by chunk, from the cache where a row is there, here or on workers."""

from scmpt_scverse.streaming._executors import EncodingTask, Executor, SerialExecutor
from scmpt_scverse.streaming._ray import RayExecutor

__all__ = ["EncodingTask", "Executor", "RayExecutor", "SerialExecutor"]
