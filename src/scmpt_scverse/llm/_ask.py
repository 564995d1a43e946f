"""Ask a client as little as possible: each question once, none that was answered before, within limits."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tqdm import tqdm

from scmpt_scverse._checks import check_positive
from scmpt_scverse.llm._answer_cache import AnswerCache, request_key
from scmpt_scverse.llm._base import Answer, LLMClient, Request

if TYPE_CHECKING:
    import pandas as pd

#: After so many failures in a row the server is taken to be down.
_MAX_FAILURES = 5


@dataclass(frozen=True)
class Report:
    """What a run asked, and what it cost; of a dry run, what it would.

    Attributes
    ----------
    is_dry_run
        Whether nothing was asked.
    n_cells
        Cells, or clusters, that were to be asked about.
    n_questions
        Different questions about them.
    n_cached
        Of these, answered before.
    n_calls
        Requests answered now; of a dry run, the most that would be sent.
    n_abstained, n_failed, n_left_out
        Questions that the model did not want to or could not answer; that had no answer; and that a limit left out.
    input_tokens, output_tokens
        As the server counted them; of a dry run, an estimate, and the most that there can be if every first answer has
        the right form.
    price
        Of these tokens, in the currency of the client's `price`; `None` where no price is known.
    weight
        Weight of the language model in the mixture.
    scores
        Head, language model and mixture on the same labelled cells, with 95 % intervals.
    """

    is_dry_run: bool
    n_cells: int
    n_questions: int
    n_cached: int
    n_calls: int
    n_abstained: int = 0
    n_failed: int = 0
    n_left_out: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    price: float | None = None
    weight: float | None = None
    scores: "pd.DataFrame | None" = None

    def __str__(self) -> str:
        """A few lines for people."""
        at_most = "at most " if self.is_dry_run else ""
        verb = "to make" if self.is_dry_run else "made"
        about = "about " if self.is_dry_run else ""
        price = "not known: give the client a `price`" if self.price is None else f"{at_most}{self.price:.4f}"
        lines = [
            f"cells or clusters  {self.n_cells}",
            f"questions          {self.n_questions}, {self.n_cached} of them answered before",
            f"calls {verb:<13}{self.n_calls}",
            f"tokens             {about}{self.input_tokens} in, {at_most}{self.output_tokens} out",
            f"price              {price}",
        ]
        return "\n".join(lines)


def check_limits(client: LLMClient, max_calls: int | None, max_cost: float | None) -> None:
    """Raise `ValueError` for limits that cannot be kept."""
    if max_calls is not None:
        check_positive(max_calls, "max_calls")
    if max_cost is not None and (client.price is None or not max_cost > 0):
        raise ValueError(
            f"`max_cost` must be above 0 and needs a client with a `price`; found {max_cost} and {client.price}."
        )


def ask(
    client: LLMClient,
    requests: Sequence[Request],
    *,
    cache: AnswerCache,
    max_calls: int | None = None,
    max_cost: float | None = None,
    dry_run: bool = False,
    progress: bool = True,
) -> tuple[list[Answer | None], Report]:
    """Answers to requests, in their order, from the cache or from the client.

    Parameters
    ----------
    client
        Whom to ask.
    requests
        Most important first: limits leave out the last ones.
    cache
        Answers that are there; new ones are added as they come, except failures.
    max_calls
        The most requests to send.
    max_cost
        What the calls may cost, in the currency of the client's price. Each request is sent only if what was spent, the
        most that those under way can cost and the most that it can cost stay within. The tokens of its prompt are
        estimated.
    dry_run
        Ask nothing.
    progress
        Show a progress bar.

    Returns
    -------
    One answer a request, `None` where there is none (left out, or in a dry run); and the report.

    Raises
    ------
    ValueError
        `max_cost` is given for a client without price, or a limit is out of range.
    ConnectionError
        Five requests in a row failed. Answers so far are in the cache.
    PermissionError, ValueError
        As :meth:`LLMClient.answer`.
    """
    check_limits(client, max_calls, max_cost)
    by_key = {request_key(client, request): request for request in requests}
    answers = {key: found for key, request in by_key.items() if (found := cache.get(client, request)) is not None}
    n_cached = len(answers)
    missing = {key: request for key, request in by_key.items() if key not in answers}
    budget = _Budget(client, max_calls, max_cost)
    if dry_run:
        sent = list(budget.affordable(list(missing.values())))
        n_input = sum(client.count_tokens(request) for request in sent)
        n_output = len(sent) * client.max_output_tokens
    else:
        client.check()
        for key, answer in _answered(client, missing, budget, cache, progress):
            answers[key] = answer
        n_input, n_output = budget.input_tokens, budget.output_tokens
    statuses = [answer.status for answer in answers.values()]
    report = Report(
        is_dry_run=dry_run,
        n_cells=len(requests),
        n_questions=len(by_key),
        n_cached=n_cached,
        n_calls=budget.n_calls,
        n_abstained=statuses.count("abstained"),
        n_failed=statuses.count("failed"),
        n_left_out=len(missing) - budget.n_calls,
        input_tokens=n_input,
        output_tokens=n_output,
        price=client.price_of(n_input, n_output),
    )
    return [answers.get(request_key(client, request)) for request in requests], report


def _answered(
    client: LLMClient, missing: dict[str, Request], budget: "_Budget", cache: AnswerCache, progress: bool
) -> Iterator[tuple[str, Answer]]:
    """New answers, each on disk before it is given."""
    left = dict(missing)
    n_failures = 0
    with tqdm(total=len(missing), desc=f"Asking {client.model}", unit="question", disable=not progress) as bar:
        # A request that was too dear while others were under way may fit when these have cost less than they could.
        while left and budget.has_room(next(iter(left.values()))):
            n_left = len(left)
            with closing(client.answer(budget.affordable(list(left.values())))) as new:
                for request, answer in new:
                    key = request_key(client, request)
                    budget.settle(request, answer)
                    del left[key]
                    if answer.status != "failed":
                        cache.put(client, request, answer)
                    n_failures = n_failures + 1 if answer.status == "failed" else 0
                    if n_failures == _MAX_FAILURES:
                        raise ConnectionError(
                            f"{_MAX_FAILURES} requests to {client.model!r} in a row failed, the last one because: "
                            f"{answer.reason}. Answers so far are kept in {cache.path}; run again to go on."
                        )
                    bar.update()
                    yield key, answer
            if len(left) == n_left:
                raise RuntimeError(f"{client!r} took no request; a client must answer every one that it can have.")


class _Budget:
    """What may still be sent."""

    def __init__(self, client: LLMClient, max_calls: int | None, max_cost: float | None) -> None:
        self._client = client
        self._max_calls = float("inf") if max_calls is None else max_calls
        self._max_cost = float("inf") if max_cost is None else max_cost
        self._reserved: dict[Request, float] = {}
        self.n_calls = 0
        self.input_tokens = 0
        self.output_tokens = 0

    def affordable(self, requests: Sequence[Request]) -> Iterator[Request]:
        """Requests in order, up to the first that there is no room for."""
        for request in requests:
            if not self.has_room(request):
                return
            self._reserved[request] = self._most(request)
            self.n_calls += 1
            yield request

    def has_room(self, request: Request) -> bool:
        """Whether the request can be sent whatever it and those under way turn out to cost."""
        if self.n_calls >= self._max_calls:
            return False
        spent = self._client.price_of(self.input_tokens, self.output_tokens) or 0.0
        most = spent + sum(self._reserved.values()) + self._most(request)
        return most <= self._max_cost

    def settle(self, request: Request, answer: Answer) -> None:
        """Replace the most that a request can cost by what it did."""
        del self._reserved[request]
        self.input_tokens += answer.input_tokens
        self.output_tokens += answer.output_tokens

    def _most(self, request: Request) -> float:
        if self._max_cost == float("inf"):
            return 0.0  # counting tokens can take time
        client = self._client
        one = client.price_of(client.count_tokens(request), client.max_output_tokens) or 0.0
        return client.max_attempts * one
