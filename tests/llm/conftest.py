"""One server for all tests of this folder."""

from collections.abc import Iterator

import pytest
from tests._llm import ChatServer, running_chat_server


@pytest.fixture(scope="session")
def _server() -> Iterator[ChatServer]:
    pytest.importorskip("openai", reason="needs the extra `llm`")
    with running_chat_server() as server:
        yield server


@pytest.fixture
def server(_server: ChatServer) -> ChatServer:
    """A chat server that has received nothing yet."""
    _server.forget()
    return _server
