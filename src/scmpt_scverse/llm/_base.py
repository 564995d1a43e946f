"""The contract of a client: from requests about cells, with candidate labels, to a distribution over the candidates."""

import string
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from itertools import count, islice, product
from typing import Literal, TypeAlias, get_args

#: Types of parameters, all of which can be written as JSON.
Plain: TypeAlias = str | int | float | bool | list[str] | None
Status: TypeAlias = Literal["answered", "abstained", "failed"]

#: Characters of a rationale that are kept.
MAX_RATIONALE = 500
#: Characters per token, on the low side, so that token counts are over-estimated: gene symbols take many tokens.
_CHARACTERS_PER_TOKEN = 2
#: Unicode categories that are not text: control, format (such as right-to-left overrides), surrogate, private.
_NOT_TEXT = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


@dataclass(frozen=True)
class Message:
    """One message of a prompt.

    Attributes
    ----------
    role
        `"system"`, `"user"` or `"assistant"`.
    content
        Its text.
    """

    role: str
    content: str


@dataclass(frozen=True)
class Request:
    """One question: what is sent, and what may be answered.

    Attributes
    ----------
    messages
        The prompt.
    candidates
        Labels to choose among. Prompt and answer of a chat model name them by :attr:`keys`.
    seed
        For models that sample at random.
    genes
        The genes that the prompt shows, most expressed first; for clients that do not read the prompt.
    """

    messages: tuple[Message, ...]
    candidates: tuple[str, ...]
    seed: int = 0
    genes: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """`A`, `B`, ...: one per candidate."""
        return candidate_keys(len(self.candidates))


@dataclass(frozen=True)
class Answer:
    """The result of a request.

    Attributes
    ----------
    status
        `"answered"`; `"abstained"`: the model refused, chose no candidate or gave no valid answer; `"failed"`: there
        was no answer, and asking again may give one.
    probabilities
        One per candidate, in the order of the request, summing to 1; empty unless answered.
    rationale
        Plain text of at most 500 characters. Written by a model: show it as text, never as markup.
    reason
        Why there is no answer.
    input_tokens, output_tokens
        As the server counted them, over all attempts.
    served_model
        As the server called the model.
    refused_parameters
        Parameters that the server refused, so that the request was sent without them.

    Raises
    ------
    ValueError
        The status is unknown, or probabilities that sum to 1 are missing with `"answered"` or given without it.
    """

    status: Status
    probabilities: tuple[float, ...] = ()
    rationale: str = ""
    reason: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    served_model: str = ""
    refused_parameters: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        is_distribution = all(part >= 0 for part in self.probabilities) and abs(sum(self.probabilities) - 1) < 1e-6
        if self.status not in get_args(Status) or is_distribution != (self.status == "answered"):
            raise ValueError(
                "Expected probabilities that sum to 1 with the status 'answered', and none with 'abstained' or "
                f"'failed'; found {self.probabilities} with {self.status!r}."
            )


#: Requests with their answers, in order of arrival.
Answers: TypeAlias = Generator[tuple[Request, Answer], None, None]


class LLMClient(ABC):
    """A language model, or another source of answers, behind one method, :meth:`answer`.

    Clients see requests, never AnnData, and keep no state that would make an answer depend on earlier ones. Another
    package registers a client by an entry point of the group `scmpt_scverse.llm`.

    Attributes
    ----------
    model
        Name of the model; part of the key under which answers are stored, so different models need different names.
    instruction
        The form that its answers must have; the last part of the system message.
    price
        Per million input tokens and per million output tokens, in any one currency; `None` where it is not known.
    max_output_tokens
        Maximum number of tokens in the answer to one call.
    max_attempts
        Maximum number of calls for one request.
    """

    model: str
    instruction: str
    price: tuple[float, float] | None = None
    max_output_tokens: int = 0
    max_attempts: int = 1

    @property
    @abstractmethod
    def parameters(self) -> dict[str, Plain]:
        """Everything else that changes an answer; never a secret. Part of the key of stored answers."""

    @abstractmethod
    def answer(self, requests: Iterable[Request]) -> Answers:
        """Answer requests, each as soon as it can be.

        Parameters
        ----------
        requests
            Taken one by one, and only as fast as they are answered: limits may stop them at any point.

        Yields
        ------
        Every request that was taken, with its answer, in any order.

        Raises
        ------
        PermissionError
            The server does not accept the key, or the account has no money left.
        ValueError
            There is no such model, or the prompt is too long for it.
        """

    def check(self) -> None:
        """Raise the error that would stop the first request, such as a missing key; no request is sent."""
        return None

    def count_tokens(self, request: Request) -> int:
        """Number of tokens in a prompt; an estimate on the high side where the tokenizer is not available."""
        n_characters = sum(len(message.content) for message in request.messages)
        return -(-n_characters // _CHARACTERS_PER_TOKEN)

    def price_of(self, input_tokens: int, output_tokens: int) -> float | None:
        """Price of this many tokens; `None` if the price is not known."""
        if self.price is None:
            return None
        return (input_tokens * self.price[0] + output_tokens * self.price[1]) / 1e6


def candidate_keys(n_candidates: int) -> tuple[str, ...]:
    """`A` to `Z`, then `AA`, `AB`, ..."""
    keys = ("".join(letters) for length in count(1) for letters in product(string.ascii_uppercase, repeat=length))
    return tuple(islice(keys, n_candidates))


def plain_text(text: str, limit: int = MAX_RATIONALE) -> str:
    """Text in one line without control, format or private characters, cut to `limit` characters."""
    printable = "".join(" " if unicodedata.category(sign) in _NOT_TEXT else sign for sign in text[: 4 * limit])
    line = " ".join(printable.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def checked_price(price: tuple[float, float] | None) -> tuple[float, float] | None:
    """A price per million input and output tokens; `ValueError` for anything else."""
    if price is None:
        return None
    if len(price) != 2 or not all(0 <= float(part) < float("inf") for part in price):
        raise ValueError(
            f"`price` must be two amounts of at least 0, per million input and output tokens; found {price!r}."
        )
    return float(price[0]), float(price[1])
