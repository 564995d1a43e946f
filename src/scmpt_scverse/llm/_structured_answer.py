"""The form of an answer in JSON: its schema for the server, and how the answer is read."""

import re
from collections.abc import Callable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from scmpt_scverse.llm._base import Answer, Message, Request, plain_text

#: The choice that says that none of the candidates can be right.
NO_CANDIDATE = "none"
_THOUGHTS = re.compile(r"<think>.*?</think>", re.DOTALL)


class MalformedAnswer(Exception):
    """An answer that cannot be read; the message says why, and is sent to the model."""


def answer_form(request: Request) -> type[BaseModel]:
    """The form that an answer to this request must have: its choice is a key of a candidate or `none`."""
    choices: Any = Literal[(*request.keys, NO_CANDIDATE)]
    # The rationale comes first, so that a model that does not reason beforehand reasons while it writes.
    return create_model(
        "cell_type",
        __config__=ConfigDict(json_schema_extra={"additionalProperties": False}),
        rationale=(str, ...),
        choice=(choices, ...),
        confidence=(float, ...),
    )


def response_format(form: type[BaseModel]) -> dict[str, Any]:
    """The form as the `response_format` of a request."""
    schema = form.model_json_schema()
    return {"type": "json_schema", "json_schema": {"name": "cell_type", "strict": True, "schema": schema}}


def text_of(completion: Any, without_key: Callable[[str], str]) -> str | Answer:
    """The text of a completion; where there is none, an answer that says why.

    Servers may repeat the key in what they send; `without_key` removes it.
    """
    choices = getattr(completion, "choices", None)
    if not choices or choices[0].message is None:
        return Answer("failed", reason="the server sent no answer")
    choice = choices[0]
    if getattr(choice.message, "refusal", None):
        refusal = plain_text(without_key(str(choice.message.refusal)), 200)
        return Answer("abstained", reason=f"the model refused: {refusal}")
    if choice.finish_reason == "content_filter":
        return Answer("abstained", reason="the server's filter withheld the answer")
    if choice.finish_reason == "length":
        return Answer("abstained", reason="the answer was cut at `max_output_tokens`")
    return without_key(choice.message.content or "")


def complaint(text: str, error: MalformedAnswer) -> tuple[Message, Message]:
    """An answer that could not be read and what is wrong with it, to be sent again with the question."""
    wrong = f"That cannot be read: {error}. Answer with the JSON object alone; choice must be a key or none."
    return Message("assistant", plain_text(text, 1000)), Message("user", wrong)


def read_answer(text: str, request: Request) -> Answer:
    """The answer that a text holds; abstained where the model chose none of the candidates.

    Raises
    ------
    MalformedAnswer
        The text is not an answer in this form.
    """
    written = _THOUGHTS.sub("", text)
    start, stop = written.find("{"), written.rfind("}")
    if stop < max(start, 0):
        raise MalformedAnswer("it holds no JSON object")
    try:
        values = answer_form(request).model_validate_json(written[start : stop + 1]).model_dump()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise MalformedAnswer(plain_text(f"{where}: {first['msg']}", 200)) from None
    if not 0 <= values["confidence"] <= 1:
        raise MalformedAnswer("confidence must be from 0 to 1")
    rationale = plain_text(values["rationale"])
    if values["choice"] == NO_CANDIDATE:
        return Answer("abstained", rationale=rationale, reason="the model chose no candidate")
    chosen = request.keys.index(values["choice"])
    return Answer("answered", _spread(chosen, values["confidence"], len(request.keys)), rationale)


def _spread(chosen: int, confidence: float, n_candidates: int) -> tuple[float, ...]:
    """The confidence for the chosen candidate, at least `1 / n_candidates`; the others share the rest equally."""
    confidence = max(confidence, 1 / n_candidates)
    rest = (1 - confidence) / (n_candidates - 1)
    return tuple(confidence if index == chosen else rest for index in range(n_candidates))
