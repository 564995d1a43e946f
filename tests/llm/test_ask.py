"""Asking as little as possible: nothing twice, nothing beyond a limit, nothing lost."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests._llm import ChatServer, request_about

from scmpt_scverse import llm
from scmpt_scverse.llm import AnswerCache, AskOptions
from scmpt_scverse.llm._ask import ask as _ask


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "answers.jsonl"


def ask(
    client: llm.LLMClient, requests: Sequence[llm.Request], path: Path, **options: Any
) -> tuple[list[llm.Answer | None], llm.Report]:
    return _ask(client, requests, AskOptions(cache_path=path, **options, progress=False))


def questions(client: llm.LLMClient, n_questions: int = 10) -> list[llm.Request]:
    return [request_about(client, number) for number in range(n_questions)]


def test_nothing_is_asked_twice(server: ChatServer, path: Path) -> None:
    client = server.client()
    requests = questions(client)
    answers, report = ask(client, [*requests, *requests], path)
    assert [answer.status for answer in answers if answer] == ["answered"] * 20
    assert answers[:10] == answers[10:]
    assert len(server.received()) == 10
    assert (report.n_cells, report.n_questions, report.n_cached, report.n_calls) == (20, 10, 0, 10)
    assert (report.input_tokens, report.output_tokens, report.price) == (1000, 200, None)
    again, report = ask(client, requests, path)
    assert again == answers[:10]
    assert len(server.received()) == 10
    assert (report.n_cached, report.n_calls, report.input_tokens) == (10, 0, 0)


def test_abstentions_are_kept_and_failures_are_asked_again(server: ChatServer, path: Path) -> None:
    for model, n_calls in (("refuses", 1), ("empty", 2)):
        server.forget()
        client = server.client(model)
        _, report = ask(client, questions(client, 1), path)
        assert report.n_abstained + report.n_failed == 1
        ask(client, questions(client, 1), path)
        assert len(server.received()) == n_calls, model


def test_dry_run_asks_nothing(server: ChatServer, path: Path) -> None:
    client = server.client(api_key=None, api_key_variable="NOT_SET", price=(2.0, 10.0), max_output_tokens=1000)
    requests = questions(client)
    answers, report = ask(client, requests, path, dry_run=True)
    assert answers == [None] * 10
    assert server.received() == []
    assert not path.exists()
    n_input = sum(client.count_tokens(request) for request in requests)
    assert (report.n_calls, report.input_tokens, report.output_tokens) == (10, n_input, 10_000)
    assert report.price == pytest.approx(n_input * 2e-6 + 0.1)
    assert f"price              at most {report.price:.4f}" in str(report)
    _, unpriced = ask(server.client(), requests, path, dry_run=True)
    assert unpriced.price is None
    assert "price              not known" in str(unpriced)
    with pytest.raises(PermissionError, match="environment variable NOT_SET"):
        ask(client, requests, path)


def test_limit_of_calls(server: ChatServer, path: Path) -> None:
    client = server.client()
    answers, report = ask(client, questions(client), path, max_calls=4)
    assert [answer is not None for answer in answers] == [True] * 4 + [False] * 6
    assert (report.n_calls, report.n_left_out) == (4, 6)
    _, report = ask(client, questions(client), path, max_calls=4)
    assert (report.n_cached, report.n_calls, report.n_left_out) == (4, 4, 2)
    assert len(server.received()) == 8


def test_limit_of_cost_holds_and_is_used(server: ChatServer, path: Path) -> None:
    # The server counts 100 and 20 tokens a call: 0.3 a call. At most 1,000 out: 10 a call in the worst case.
    client = server.client(price=(1000.0, 10_000.0), max_output_tokens=1000, max_attempts=1, concurrency=8)
    _, report = ask(client, questions(client, 100), path, max_cost=15.0)
    assert report.price is not None
    assert report.price <= 15
    worst = client.price_of(client.count_tokens(questions(client)[0]), 1000)
    assert worst is not None
    # One by one at first, since a second request would not be safe; more until the next could exceed the limit.
    assert report.n_calls > 10
    assert report.price + worst > 15
    assert report.n_left_out == 100 - report.n_calls > 0


def test_limit_of_cost_needs_a_price(server: ChatServer, path: Path) -> None:
    client = server.client()
    with pytest.raises(
        ValueError, match="`max_cost=1` needs a client whose price is known; found OpenAICompatibleClient"
    ):
        ask(client, questions(client), path, max_cost=1)
    with pytest.raises(ValueError, match="`max_cost` must be above 0; found 0"):
        ask(client, questions(client), path, max_cost=0)
    with pytest.raises(ValueError, match="`max_calls` must be a whole number of at least 1; found 0"):
        ask(client, questions(client), path, max_calls=0)


def test_server_that_is_down(server: ChatServer, path: Path) -> None:
    client = server.client("down", max_retries=0, concurrency=1)
    with pytest.raises(ConnectionError, match=r"5 requests to 'down' in a row failed, .* oops .*run again to continue"):
        ask(client, questions(client, 50), path)
    assert len(server.received()) == 5


RUN = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background is started without
from scmpt_scverse import llm
from scmpt_scverse.llm._ask import ask
from tests._llm import request_about
address, path = sys.argv[1:]
client = llm.OpenAICompatibleClient("slow", base_url=address + "/v1", concurrency=1, max_retries=0)
requests = [request_about(client, number) for number in range(20)]
_, report = ask(client, requests, llm.AskOptions(cache_path=path, progress=False))
print(report.n_cached, report.n_calls)
"""


def started(server: ChatServer, path: Path, n_answers: int) -> "subprocess.Popen[str]":
    """A run of 20 questions in another process, as soon as so many answers are there."""
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), *sys.path])}
    command = [sys.executable, "-c", RUN, server.address, str(path)]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if path.exists() and path.read_bytes().count(b"\n") >= n_answers:
            return process
        time.sleep(0.01)
    process.kill()
    pytest.fail(f"no answers within a minute: {process.communicate()[1]}")


def test_killed_run_resumes_without_paying_twice(server: ChatServer, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    process = started(server, path, 5)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    time.sleep(0.3)  # the server ends what it was asked
    n_kept = len(AnswerCache(path))
    assert 5 <= n_kept < 20
    n_paid = len(server.received())
    assert n_paid <= n_kept + 1  # what was under way is lost
    client = server.client("slow", api_key=None)
    answers, report = ask(client, questions(client, 20), path)
    assert all(answer and answer.status == "answered" for answer in answers)
    assert (report.n_cached, report.n_calls) == (n_kept, 20 - n_kept)
    assert len(server.received()) == n_paid + 20 - n_kept


def test_interrupted_run_keeps_what_is_under_way(server: ChatServer, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    process = started(server, path, 3)
    time.sleep(0.1)  # the next question is under way
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode != 0
    assert "KeyboardInterrupt" in errors
    assert len(AnswerCache(path)) == len(server.received()) < 20
