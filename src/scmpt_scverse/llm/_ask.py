"""Ask a client as little as possible: each question once, none that has been answered before, within limits."""

from collections.abc import Iterator, Sequence
from contextlib import closing

from tqdm import tqdm

from scmpt_scverse.llm._answer_cache import AnswerCache, request_key
from scmpt_scverse.llm._base import Answer, LLMClient, Request
from scmpt_scverse.llm._run import AskOptions, Report

#: After so many failures in a row the server is taken to be down.
_MAX_FAILURES = 5


def ask(client: LLMClient, requests: Sequence[Request], options: AskOptions) -> tuple[list[Answer | None], Report]:
    """Answers to requests, in their order, from the file of answers or from the client.

    Parameters
    ----------
    client
        The client to ask.
    requests
        Most important first: limits leave out the last ones.
    options
        Limits, and the file of answers, to which new ones are added as they come, except failures. Under `max_cost`,
        a request is sent only if the amount spent plus the most that this and the pending requests can cost stays
        within it; the number of tokens in a prompt may be an estimate.

    Returns
    -------
    One answer per request, `None` where there is none (left out by a limit or a dry run); and the report.

    Raises
    ------
    ValueError
        `max_cost` is given for a client without a price.
    ConnectionError
        Five requests in a row failed. Answers so far are in the file.
    OSError
        The file of answers cannot be written to; no request was sent.
    PermissionError, ValueError
        As in :meth:`LLMClient.answer`; or the key is missing.
    RuntimeError
        The client takes requests without answering them.
    """
    options.check_client(client)
    with AnswerCache(options.cache_path, read_only=True) as cache:
        return _ask(client, requests, cache, options)


def _ask(
    client: LLMClient, requests: Sequence[Request], cache: AnswerCache, options: AskOptions
) -> tuple[list[Answer | None], Report]:
    by_key = {request_key(client, request): request for request in requests}
    answers = {key: found for key, request in by_key.items() if (found := cache.get(client, request)) is not None}
    n_cached = len(answers)
    missing = {key: request for key, request in by_key.items() if key not in answers}
    budget = _Budget(client, options.max_calls, options.max_cost)
    if options.dry_run:
        sent = list(budget.affordable(list(missing.values())))
        n_input = sum(client.count_tokens(request) for request in sent)
        n_output = len(sent) * client.max_output_tokens
    else:
        if missing:
            cache.check_writable()
        for key, answer in _answered(client, missing, budget, cache, options.progress):
            answers[key] = answer
        n_input, n_output = budget.input_tokens, budget.output_tokens
    statuses = [answer.status for answer in answers.values()]
    report = Report(
        is_dry_run=options.dry_run,
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
    """New answers, each on disk before it is yielded."""
    left = dict(missing)
    n_failures = 0
    with tqdm(total=len(missing), desc=f"Asking {client.model}", unit="question", disable=not progress) as bar:
        # A request that was too expensive while others were pending may fit once these have cost less than they could.
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
                            f"{answer.reason}. Answers so far are kept in {cache.path}; run again to continue."
                        )
                    bar.update()
                    yield key, answer
            if len(left) == n_left:
                raise RuntimeError(
                    f"Expected an answer to the next request; found that {client!r} took none. Its `answer` must yield "
                    "every request that it takes, with its answer."
                )


class _Budget:
    """The requests that may still be sent within the limits."""

    def __init__(self, client: LLMClient, max_calls: int | None, max_cost: float | None) -> None:
        self._client = client
        self._max_calls = float("inf") if max_calls is None else max_calls
        self._max_cost = float("inf") if max_cost is None else max_cost
        self._reserved: dict[Request, float] = {}
        self.n_calls = 0
        self.input_tokens = 0
        self.output_tokens = 0

    def affordable(self, requests: Sequence[Request]) -> Iterator[Request]:
        """Requests in order, up to the first one beyond a limit."""
        for request in requests:
            if not self.has_room(request):
                return
            self._reserved[request] = self._most(request)
            self.n_calls += 1
            yield request

    def has_room(self, request: Request) -> bool:
        """Whether the request can be sent, whatever it and the pending ones turn out to cost."""
        if self.n_calls >= self._max_calls:
            return False
        spent = self._client.price_of(self.input_tokens, self.output_tokens) or 0.0
        most = spent + sum(self._reserved.values()) + self._most(request)
        return most <= self._max_cost

    def settle(self, request: Request, answer: Answer) -> None:
        """Replace the most that a request can cost by its actual cost."""
        del self._reserved[request]
        self.input_tokens += answer.input_tokens
        self.output_tokens += answer.output_tokens

    def _most(self, request: Request) -> float:
        if self._max_cost == float("inf"):
            return 0.0  # counting tokens can take time
        client = self._client
        one = client.price_of(client.count_tokens(request), client.max_output_tokens) or 0.0
        return client.max_attempts * one
