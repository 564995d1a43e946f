"""The file of answers: readable, found again by model, prompt and parameters, and sturdy."""

import json
import multiprocessing
import pickle
from collections.abc import Generator, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests._llm import KEY, ChatServer, request_about
from tests._malicious import Malicious, assert_is_harmful

from scmpt_scverse import llm
from scmpt_scverse._folders import CACHE_VARIABLE
from scmpt_scverse.llm import Answer, AnswerCache
from scmpt_scverse.llm._ask import ask

ANSWER = Answer("answered", (0.5, 0.25, 0.25), "Because.", "", 100, 20, "m-1", ("seed",))


@pytest.fixture
def client() -> llm.OpenAICompatibleClient:
    pytest.importorskip("openai", reason="needs the extra `llm`")
    return llm.OpenAICompatibleClient("m", base_url="http://localhost/v1", api_key=KEY)


def test_finds_what_was_asked_and_nothing_else(client: llm.OpenAICompatibleClient, tmp_path: Path) -> None:
    request = request_about(client)
    path = tmp_path / "new folder" / "answers.jsonl"
    with AnswerCache(path) as cache:
        cache.put(client, request, ANSWER)
    again = AnswerCache(path)
    assert again.get(client, request) == ANSWER
    assert len(again) == 1
    assert again.get(client, request_about(client, 1)) is None
    assert again.get(client, replace(request, seed=1)) is None
    others: list[dict[str, Any]] = [{"model": "n"}, {"temperature": 1.0}, {"max_output_tokens": 5}]
    for options in others:
        other = llm.OpenAICompatibleClient(**{"model": "m", "base_url": "http://localhost/v1", **options})
        assert again.get(other, request) is None


def test_lines_are_for_people_and_hold_no_key(client: llm.OpenAICompatibleClient, tmp_path: Path) -> None:
    request = request_about(client, labels=("γδ T", "B"))
    with AnswerCache(tmp_path / "answers.jsonl") as cache:
        cache.put(client, request, replace(ANSWER, probabilities=(0.5, 0.5)))
    text = (tmp_path / "answers.jsonl").read_text(encoding="utf-8")
    assert KEY not in text
    assert "γδ T" in text
    line = json.loads(text)
    assert line["model"] == "m"
    assert line["parameters"]["temperature"] == 0
    assert line["messages"][1]["content"] == request.messages[1].content
    assert line["answer"]["rationale"] == "Because."
    assert set(line) >= {"key", "time", "seed", "candidates", "instruction"}


def test_is_on_disk_at_once(client: llm.OpenAICompatibleClient, tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path / "answers.jsonl")
    for number in range(3):
        cache.put(client, request_about(client, number), ANSWER)
        assert len(AnswerCache(cache.path)) == number + 1


def test_a_line_cut_short_does_not_matter(client: llm.OpenAICompatibleClient, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with AnswerCache(path) as cache:
        cache.put(client, request_about(client, 0), ANSWER)
        cache.put(client, request_about(client, 1), ANSWER)
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    with AnswerCache(path) as cache:
        assert len(cache) == 1
        cache.put(client, request_about(client, 1), ANSWER)
    with pytest.warns(UserWarning, match="1 lines of .* hold no valid answer and are skipped: 2"):
        again = AnswerCache(path)
    assert len(again) == 2
    path.write_bytes(whole.rstrip(b"\n"))  # whole, but an editor took the end of the line
    with AnswerCache(path) as cache:
        cache.put(client, request_about(client, 2), ANSWER)
    assert len(AnswerCache(path)) == 3


@pytest.mark.parametrize(
    "change",
    [
        {"status": "failed"},
        {"probabilities": [0.5, 0.7, -0.2]},
        {"probabilities": [1.0, 1.0, 1.0]},
        {"probabilities": "abc"},
        {"input_tokens": None},
    ],
)
def test_a_shared_file_is_not_trusted(
    client: llm.OpenAICompatibleClient, tmp_path: Path, change: dict[str, object]
) -> None:
    path = tmp_path / "answers.jsonl"
    with AnswerCache(path) as cache:
        cache.put(client, request_about(client), ANSWER)
    line = json.loads(path.read_text())
    line["answer"] |= change
    path.write_text(json.dumps(line) + "\n[]\n\n")
    with pytest.warns(UserWarning, match="2 lines .* skipped: 1, 2"):
        assert len(AnswerCache(path)) == 0


def test_nothing_in_the_file_is_run(client: llm.OpenAICompatibleClient, tmp_path: Path) -> None:
    witness, path = tmp_path / "was_run", tmp_path / "answers.jsonl"
    pickled = pickle.dumps(Malicious(witness), protocol=0)
    path.write_bytes(pickled)
    with pytest.warns(UserWarning, match="hold no valid answer"):
        AnswerCache(path)
    with AnswerCache(tmp_path / "others.jsonl") as cache:
        cache.put(client, request_about(client), ANSWER)
    line = json.loads(cache.path.read_text())
    command = f"__import__('os').system('touch {witness}')"
    lines = [
        json.dumps(line | {"answer": line["answer"] | {"probabilities": command}}),
        json.dumps(line | {"answer": {"py/object": "os.system", "py/reduce": [command]}}),
        json.dumps(line | {"answer": line["answer"] | {"input_tokens": float("inf")}}),
        "[" * 200_000,
        "\x00" * 10,
        pickled.decode("latin-1").replace("\n", " "),
    ]
    path.write_text("\n".join(lines) + "\n")
    with pytest.warns(UserWarning, match="6 lines of .* hold no valid answer"):
        again = AnswerCache(path)
    assert again.get(client, request_about(client)) is None
    assert_is_harmful(pickled, witness)


def test_rationales_of_a_shared_file_are_cleaned(client: llm.OpenAICompatibleClient, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with AnswerCache(path) as cache:
        cache.put(client, request_about(client), replace(ANSWER, rationale="\x1b[31m" + "x" * 900))
    answer = AnswerCache(path).get(client, request_about(client))
    assert answer is not None
    assert answer.rationale.isprintable()
    assert len(answer.rationale) == 500


def test_default_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    assert AnswerCache().path == tmp_path / "llm-answers-1.jsonl"
    assert not AnswerCache().path.exists()


def _put_many(path: Path, first: int) -> None:
    client = llm.OpenAICompatibleClient("m", base_url="http://localhost/v1")
    with AnswerCache(path) as cache:
        for number in range(first, first + 50):
            cache.put(client, request_about(client, number), ANSWER)


def test_two_processes_share_a_file(client: llm.OpenAICompatibleClient, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_put_many, args=(path, first)) for first in (0, 50)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert len(AnswerCache(path)) == 100


def test_recorded_client_answers_as_the_recorded_one(server: ChatServer, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    client = server.client()
    request = request_about(client)
    with AnswerCache(path) as cache:
        ((_, answer),) = client.answer([request])
        cache.put(client, request, answer)
    recorded = llm.get("recorded", path=path)
    assert (recorded.model, recorded.parameters, recorded.instruction) == (
        client.model,
        client.parameters,
        client.instruction,
    )
    (found,) = recorded.answer([request_about(recorded)])
    assert found == (request, answer)
    ((_, missing),) = recorded.answer([request_about(recorded, 1)])
    assert missing == Answer("failed", reason="not recorded in answers.jsonl")
    with AnswerCache(path) as cache:
        cache.put(server.client("slow"), request, answer)
    with pytest.raises(ValueError, match="Expected the answers of one model .* found those of 'good', 'slow'"):
        llm.RecordedClient(path)
    assert llm.RecordedClient(path, model="slow").model == "slow"
    with pytest.raises(FileNotFoundError, match="Expected a file of recorded answers"):
        llm.RecordedClient(tmp_path / "nothing")


def test_a_file_that_cannot_be_written_to_is_found_before_any_question(
    client: llm.OpenAICompatibleClient, tmp_path: Path
) -> None:
    sent: list[llm.Request] = []

    class Paid(llm.OpenAICompatibleClient):
        def answer(self, requests: Iterable[llm.Request]) -> Generator[tuple[llm.Request, llm.Answer], None, None]:
            for request in requests:
                sent.append(request)
                yield request, ANSWER

    paid = Paid("m", base_url="http://localhost/v1", api_key=KEY)
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere" / "answers.jsonl")
    for name, words in {
        "folder": "Expected a file at .*folder; found a folder",
        "file/new/answers.jsonl": "Expected a folder at .*file; found a file",
        "link": "link cannot be written to .No such file",
        "x" * 300: "File name too long",
    }.items():
        with pytest.raises(OSError, match=words):
            AnswerCache(tmp_path / name)
        options = llm.AskOptions(cache_path=tmp_path / name, progress=False)
        with pytest.raises(OSError, match=f"{words}|Is a directory|File name too long"):
            ask(paid, [request_about(paid)], options)
    assert sent == []


def test_a_check_leaves_nothing_behind(tmp_path: Path) -> None:
    AnswerCache(tmp_path / "new" / "answers.jsonl")
    AnswerCache(tmp_path / "answers.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_answers_that_are_all_there_need_no_permission(
    client: llm.OpenAICompatibleClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "answers.jsonl"
    with AnswerCache(path) as cache:
        cache.put(client, request_about(client), ANSWER)

    def refuse(self: AnswerCache) -> None:
        raise PermissionError(f"{self.path} cannot be written to")

    monkeypatch.setattr(AnswerCache, "check_writable", refuse)
    options = llm.AskOptions(cache_path=path, progress=False)
    assert ask(client, [request_about(client)], options)[0] == [ANSWER]
    with pytest.raises(PermissionError):
        ask(client, [request_about(client, 1)], options)
    assert ask(client, [request_about(client, 1)], replace(options, dry_run=True))[0] == [None]
