"""What every language model promises, over every registered client."""

import json
import pickle
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from tests._llm import KEY, ChatServer, request_about

from scmpt_scverse import llm
from scmpt_scverse.llm import CLIENTS

Build = Callable[[], llm.LLMClient]

N_REQUESTS = 6


@pytest.fixture
def recorded(server: ChatServer, tmp_path: Path) -> Path:
    path = tmp_path / "answers.jsonl"
    with llm.AnswerCache(path) as cache:
        for request, answer in server.client().answer(requests_to(server.client())):
            cache.put(server.client(), request, answer)
    return path


def requests_to(client: llm.LLMClient) -> list[llm.Request]:
    labels = ("B cell", "T cell", "monocyte", "NK cell", "dendritic cell")
    return [request_about(client, number, labels=labels[: 2 + number % 4]) for number in range(N_REQUESTS)]


def answers_of(client: llm.LLMClient) -> dict[llm.Request, llm.Answer]:
    return dict(client.answer(requests_to(client)))


class LLMClientContract:
    """What every client promises; a subclass gives the fixture `build`, a function that makes a new client."""

    def test_every_request_is_answered_with_a_distribution(self, build: Build) -> None:
        client = build()
        answers = answers_of(client)
        assert set(answers) == set(requests_to(client))
        for request, answer in answers.items():
            assert answer.status == "answered"
            assert len(answer.probabilities) == len(request.candidates)
            assert sum(answer.probabilities) == pytest.approx(1)
            assert min(answer.probabilities) >= 0
            assert answer.rationale == answer.rationale[:500]
            assert answer.rationale == "" or answer.rationale.isprintable()

    def test_same_question_same_answer_regardless_of_other_questions(self, build: Build) -> None:
        together = answers_of(build())
        client = build()
        alone = dict(pair for request in reversed(requests_to(client)) for pair in client.answer([request]))
        assert alone == together

    def test_takes_requests_only_as_it_answers(self, build: Build) -> None:
        client, taken = build(), []

        def requests() -> Iterator[llm.Request]:
            for request in requests_to(client):
                taken.append(request)
                yield request

        answers = client.answer(requests())
        assert taken == []
        next(answers)
        assert len(taken) < N_REQUESTS
        answers.close()
        assert list(client.answer(islice(requests(), 0))) == []

    def test_describes_itself_in_plain_values_without_secrets(self, build: Build) -> None:
        client = build()
        assert json.loads(json.dumps(client.parameters)) == client.parameters
        assert client.model
        assert client.instruction
        for text in (repr(client), json.dumps(client.parameters), pickle.dumps(client).decode("latin1")):
            assert KEY not in text

    def test_pickles(self, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
        client = build()
        restored: llm.LLMClient = pickle.loads(pickle.dumps(client))
        assert (restored.model, restored.parameters, restored.price) == (client.model, client.parameters, client.price)
        assert answers_of(restored) == answers_of(client)

    def test_counts_tokens_and_price(self, build: Build) -> None:
        client = build()
        short, long = request_about(client), request_about(client, context="healthy blood of three donors")
        assert 0 < client.count_tokens(short) < client.count_tokens(long)
        price = client.price_of(1_000_000, 1_000_000)
        assert price == (None if client.price is None else sum(client.price))

    def test_check_passes_where_it_can_answer(self, build: Build) -> None:
        build().check()

    def test_get_passes_on_a_client(self, build: Build) -> None:
        client = build()
        assert llm.get(client) is client
        with pytest.raises(TypeError, match="cannot change a `client` that exists"):
            llm.get(client, model="other")


class TestRegisteredClients(LLMClientContract):
    """The contract over every registered client; one of another package is built without options."""

    @pytest.fixture(params=CLIENTS.names())
    def build(self, request: pytest.FixtureRequest) -> Build:
        def fixture(name: str) -> Any:
            return request.getfixturevalue(name)

        builders: dict[str, Callable[[], Build]] = {
            "openai": lambda: fixture("server").client,
            "transformers": lambda: partial(
                llm.get, "transformers", model=fixture("language_model"), precision="float32", device="cpu"
            ),
            "recorded": lambda: partial(llm.get, "recorded", path=fixture("recorded")),
        }
        name = str(request.param)
        return builders[name]() if name in builders else partial(llm.get, name)


def test_get_takes_names_classes_and_clients(recorded: Path) -> None:
    by_name, by_class = llm.get("recorded", path=recorded), llm.get(llm.RecordedClient, path=recorded)
    assert type(by_name) is type(by_class) is llm.RecordedClient
    with pytest.raises(TypeError, match="do not fit the client 'RecordedClient': missing a required argument: 'path'"):
        llm.get(llm.RecordedClient)
    with pytest.raises(TypeError, match="got an unexpected keyword argument 'folder'"):
        llm.get("recorded", path=recorded, folder=recorded)
    with pytest.raises(TypeError, match="or a class or instance of `LLMClient`; found <class 'dict'>"):
        llm.get(dict)  # type: ignore[arg-type]


def test_get_knows_names() -> None:
    with pytest.raises(ValueError, match="Unknown `client='openia'`.*Did you mean 'openai'"):
        llm.get("openia")
