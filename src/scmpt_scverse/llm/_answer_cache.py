"""Every answer in a file that people can read, share and shorten: one JSON object per line."""

import hashlib
import json
import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from scmpt_scverse._checks import warn_user
from scmpt_scverse._folders import cache_folder, check_appendable
from scmpt_scverse._json import parsed_json
from scmpt_scverse.llm._base import Answer, LLMClient, Request, plain_text

if TYPE_CHECKING:
    from scmpt_scverse._types import StrPath

_FILE = "llm-answers-1.jsonl"
#: What reading an arbitrary line can raise: it is not JSON, has other content, or holds infinite numbers.
UNREADABLE = (ValueError, KeyError, TypeError, OverflowError)


def request_key(client: LLMClient, request: Request) -> str:
    """Key of an answer: hexadecimal sha256 of model, parameters, seed, prompt and candidates."""
    return hashlib.sha256(json.dumps(_question(client, request), sort_keys=True).encode()).hexdigest()


class AnswerCache:
    """Answers by model, parameters, seed, prompt and candidates, in a file of JSON lines.

    A line holds the prompt as it was sent, the answer, its tokens and the time; never an API key. It is on disk before
    the next answer is taken, so a killed run loses only pending answers. A truncated last line is skipped;
    other lines that cannot be read are skipped with a warning. Remove lines to have their questions asked again.

    Parameters
    ----------
    path
        The file, which need not exist; `None` takes `llm-answers-1.jsonl` in the cache folder of this package
        (environment variable `SCMPT_CACHE`, else the user's cache folder).
    read_only
        Whether to skip the check that answers can be added; :meth:`check_writable` can make it later.

    Raises
    ------
    OSError
        The file cannot be written to or created.

    Warns
    -----
    UserWarning
        Lines other than the last one cannot be read.
    """

    def __init__(self, path: "StrPath | None" = None, *, read_only: bool = False) -> None:
        self._file: int | None = None
        self._answers: dict[str, Answer] = {}
        self.path = cache_folder() / _FILE if path is None else Path(path)
        if not read_only:
            self.check_writable()
        self._read()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._answers)

    def check_writable(self) -> None:
        """Raise `OSError` if no answer can be added; to be called before the first request, which may cost money."""
        check_appendable(self.path)

    def get(self, client: LLMClient, request: Request) -> Answer | None:
        """The answer, if this client has been asked this before; otherwise `None`."""
        answer = self._answers.get(request_key(client, request))
        if answer is None or (answer.status == "answered" and len(answer.probabilities) != len(request.candidates)):
            return None
        return answer

    def put(self, client: LLMClient, request: Request, answer: Answer) -> None:
        """Add an answer; it is on disk when this returns."""
        key = request_key(client, request)
        line = {
            "key": key,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            **_question(client, request),
            "instruction": client.instruction,
            "answer": asdict(answer),
        }
        # One write, so that lines of two processes do not mix.
        os.write(self._open(), _canonical(line) + b"\n")
        os.fsync(self._open())
        self._answers[key] = answer

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __del__(self) -> None:
        self.close()

    def _open(self) -> int:
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
            size = os.fstat(self._file).st_size
            if size and os.pread(self._file, 1, size - 1) != b"\n":
                os.write(self._file, b"\n")  # separates a truncated line from the next one
        return self._file

    def _read(self) -> None:
        if not self.path.exists():
            return
        *lines, last = self.path.read_bytes().split(b"\n")
        unread = []
        for number, line in enumerate(lines, start=1):
            try:
                self._add(line)
            except UNREADABLE:
                unread.append(number)
        if unread:
            numbers = ", ".join(map(str, unread[:5])) + (", ..." if len(unread) > 5 else "")
            warn_user(
                f"{len(unread)} lines of {self.path} hold no valid answer and are skipped: {numbers}. Remove them to "
                "stop this warning."
            )
        # An editor may have removed the final newline.
        try:
            self._add(last)
        except UNREADABLE:
            return

    def _add(self, line: bytes) -> None:
        if line.strip():
            content = parsed_json(line)
            self._answers[str(content["key"])] = _answer_of(content["answer"])


def _question(client: LLMClient, request: Request) -> dict[str, Any]:
    return {
        "model": client.model,
        "parameters": client.parameters,
        "seed": request.seed,
        "messages": [asdict(message) for message in request.messages],
        "candidates": list(request.candidates),
    }


def _canonical(content: dict[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode()


def _answer_of(content: dict[str, Any]) -> Answer:
    """An answer from the content of its line; one of `UNREADABLE` if it is none. The file may come from anyone."""
    answer = Answer(
        content["status"],
        tuple(map(float, content["probabilities"])),
        plain_text(str(content["rationale"])),
        plain_text(str(content["reason"])),
        int(content["input_tokens"]),
        int(content["output_tokens"]),
        plain_text(str(content["served_model"])),
        tuple(map(str, content["refused_parameters"])),
    )
    if answer.status == "failed":
        raise ValueError(f"Expected an answer or an abstention; found {content!r}.")
    return answer
