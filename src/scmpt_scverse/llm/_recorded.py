"""Recorded answers: repeat a run without the model, its key or its price."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from scmpt_scverse._checks import list_some
from scmpt_scverse._json import parsed_json
from scmpt_scverse.llm._answer_cache import UNREADABLE, AnswerCache
from scmpt_scverse.llm._base import Answer, Answers, LLMClient, Plain, Request

if TYPE_CHECKING:
    from scmpt_scverse._types import StrPath


class RecordedClient(LLMClient):
    """Gives the answers in a file that was written with another client, and no others.

    Parameters
    ----------
    path
        A file of answers (:class:`AnswerCache`).
    model
        Model whose answers are given, where the file holds those of several; `None` takes the only one.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file holds no answers, or not those of exactly one model with one set of parameters.

    Notes
    -----
    Answers are found by the exact text of the prompt, so ask about the same cells with the same options as in the
    recorded run. A question that was not recorded counts as failed.
    """

    price = (0.0, 0.0)

    def __init__(self, path: "StrPath", *, model: str | None = None) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise FileNotFoundError(f"Expected a file of recorded answers at {path}; found none. Check the path.")
        described = _clients_of(self.path)
        fitting = [one for one in described if model in (None, one[0])]
        if len(fitting) != 1:
            raise ValueError(
                f"Expected the answers of one model with one set of parameters in {path}; found those of "
                f"{list_some(name for name, *_ in described)}. Pass `model=`, or remove the other lines."
            )
        self.model, parameters, self.instruction = fitting[0]
        self._parameters: dict[str, Plain] = json.loads(parameters)
        self._answers: AnswerCache | None = None

    def __repr__(self) -> str:
        return f"RecordedClient({str(self.path)!r}, model={self.model!r})"

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_answers": None}

    @property
    def parameters(self) -> dict[str, Plain]:
        """Those of the recorded client."""
        return dict(self._parameters)

    def answer(self, requests: Iterable[Request]) -> Answers:
        """See :meth:`LLMClient.answer`; the answers cost nothing, so they count no tokens."""
        if self._answers is None:
            self._answers = AnswerCache(self.path, read_only=True)
        for request in requests:
            recorded = self._answers.get(self, request)
            yield request, recorded or Answer("failed", reason=f"not recorded in {self.path.name}")


def _clients_of(path: Path) -> list[tuple[str, str, str]]:
    """Model, parameters as JSON, and instruction of every client with answers in a file."""
    found: dict[tuple[str, str, str], None] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            content = parsed_json(line)
            parameters = json.dumps(content["parameters"], sort_keys=True)
            found[(str(content["model"]), parameters, str(content["instruction"]))] = None
        except UNREADABLE:
            continue  # the cache warns of it
    return list(found)
