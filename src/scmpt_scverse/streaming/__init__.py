"""Embedding in a stream: chunk by chunk, from the cache where a row is there, into memory or a file."""
