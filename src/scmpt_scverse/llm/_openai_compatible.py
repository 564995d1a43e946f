"""Chat completions of OpenAI, and of any server with the same API, through the official SDK."""

import json
import os
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from scmpt_scverse._checks import check_positive
from scmpt_scverse._optional import import_optional
from scmpt_scverse.llm._base import Answer, Answers, LLMClient, Message, Plain, Request, checked_price, plain_text
from scmpt_scverse.llm._concurrency import Pace, ask_concurrently

if TYPE_CHECKING:
    import openai

_KEY_VARIABLE = "OPENAI_API_KEY"
_NO_KEY = "none"
_LIMIT_NAMES = {"max_completion_tokens": "max_tokens", "max_tokens": "max_completion_tokens"}
#: Words by which servers name a parameter that they refuse.
_REFUSALS = {
    "response_format": ("response_format", "json_schema", "structured output"),
    "temperature": ("temperature",),
    "seed": ("seed",),
    "max_completion_tokens": ("max_completion_tokens",),
    "max_tokens": ("max_tokens",),
}


class OpenAICompatibleClient(LLMClient):
    """A chat model of OpenAI, or of any server with the same API (Azure, DeepSeek, vLLM, Ollama, llama.cpp).

    Parameters
    ----------
    model
        Name of the model on the server. A dated name (`gpt-4o-2024-08-06`) stays the same model; `gpt-4o` may change.
    base_url
        Address of the server's API, such as `http://localhost:11434/v1`; `None` takes the environment variable
        `OPENAI_BASE_URL`, or else OpenAI's.
    api_key
        Key; `None` takes it from the environment. It is kept in memory only: not in answers, files, pickles or `repr`.
    api_key_variable
        Environment variable with the key; `None` is `OPENAI_API_KEY` for OpenAI and no key for a `base_url`, so that
        OpenAI's key is never sent to another server unasked.
    price
        Amounts per million input and per million output tokens, in any one currency, from the provider's price list.
        `None` if unknown; costs are then not reported.
    temperature
        Sent to the server; `None` sends none, for models without this parameter. 0 gives the most reproducible answers.
    max_output_tokens
        Maximum number of tokens per answer. Models that reason before they answer need thousands.
    max_attempts
        How often a request is sent while its answers are malformed; after that, the model counts as abstaining.
    concurrency
        Number of requests at a time.
    requests_per_minute
        Maximum number of requests per minute, sent at equal intervals; `None` sets no limit.
    max_retries
        How often the SDK sends a request again after a rate limit (429), a server error (5xx) or a broken connection,
        after increasing pauses, or the pause that the server asks for.
    timeout
        Seconds to wait for an answer. A server may charge for an answer that came too late.

    Raises
    ------
    ImportError
        The extra `llm` is not installed.
    ValueError
        An option is out of range, or the address holds a password.

    Notes
    -----
    The answer is JSON that follows a schema, in which the choice is the key of a candidate or `none`. If a server
    refuses schemas, or another optional parameter, the request is sent without it, and the answer records that. The
    chosen label gets the model's own `confidence`, but at least `1 / n_candidates`, as its probability; the rest is
    spread equally over the other candidates.

    The headers in which the SDK describes the machine and the Python version are not sent.
    """

    instruction = (
        'If no candidate can be right, choose "none". Answer with one JSON object and nothing else: {"rationale": '
        '"one or two sentences on the genes that decide", "choice": "the key", "confidence": a number from 0 to 1, how '
        "probable it is that the choice is right}."
    )

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        api_key_variable: str | None = None,
        price: tuple[float, float] | None = None,
        temperature: float | None = 0.0,
        max_output_tokens: int = 4096,
        max_attempts: int = 3,
        concurrency: int = 4,
        requests_per_minute: float | None = None,
        max_retries: int = 5,
        timeout: float = 120.0,
    ) -> None:
        import_optional("openai", extra="llm", purpose="Asking a chat model")
        import_optional("pydantic", extra="llm", purpose="Asking a chat model")
        for name, value in (
            ("max_output_tokens", max_output_tokens),
            ("max_attempts", max_attempts),
            ("concurrency", concurrency),
        ):
            check_positive(value, name)
        if timeout <= 0 or max_retries < 0 or (requests_per_minute is not None and requests_per_minute <= 0):
            raise ValueError(
                "`timeout` and `requests_per_minute` must be above 0 and `max_retries` at least 0; found "
                f"{timeout}, {requests_per_minute} and {max_retries}."
            )
        if base_url is not None and ("@" in urlsplit(base_url).netloc or not urlsplit(base_url).netloc):
            raise ValueError(
                "`base_url` must be an address such as http://localhost:11434/v1, without user and password. Pass a "
                "key by `api_key_variable=`."
            )
        self.model = model
        self.base_url = base_url
        self.price = checked_price(price)
        self.temperature = temperature
        self.max_output_tokens = max_output_tokens
        self.max_attempts = max_attempts
        self.concurrency = concurrency
        self.requests_per_minute = requests_per_minute
        self.max_retries = max_retries
        self.timeout = timeout
        self._api_key = api_key
        self._key_variable = api_key_variable or (_KEY_VARIABLE if base_url is None else None)
        self._refused: set[str] = set()

    def __repr__(self) -> str:
        return f"OpenAICompatibleClient({self.model!r}, base_url={self.base_url!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_api_key": None}  # a pickle is a file; the environment has the key again

    @property
    def parameters(self) -> dict[str, Plain]:
        """Temperature and limits."""
        return {
            "client": "openai",
            "temperature": self.temperature,
            "max_output_tokens": self.max_output_tokens,
            "max_attempts": self.max_attempts,
        }

    def check(self) -> None:
        """Raise `PermissionError` if the key is missing."""
        self._key()

    def answer(self, requests: Iterable[Request]) -> Answers:
        """See :meth:`LLMClient.answer`. On Ctrl-C, pending answers are waited for; a second Ctrl-C drops them."""
        with self._connect() as sdk:
            pace = Pace(self.requests_per_minute)
            yield from ask_concurrently(lambda request: self._ask(sdk, pace, request), requests, self.concurrency)

    def _ask(self, sdk: "openai.OpenAI", pace: Pace, request: Request) -> Answer:
        """Ask until the answer is valid or the attempts are used up."""
        import openai

        from scmpt_scverse.llm._structured_answer import MalformedAnswer, complaint, read_answer, text_of

        messages, completions = request.messages, []
        answer = Answer("failed")
        for _ in range(self.max_attempts):
            try:
                completions.append(self._complete(sdk, pace, messages, request))
                text = text_of(completions[-1], self._without_key)
                answer = text if isinstance(text, Answer) else read_answer(text, request)
                break
            except MalformedAnswer as error:
                answer = Answer("abstained", reason=f"no valid answer: {error}")
                messages = (*request.messages, *complaint(str(text), error))
            except json.JSONDecodeError:
                answer = Answer("failed", reason="the server sent something that is not JSON")
                break
            except openai.APIError as error:
                answer = Answer("failed", reason=self._reason(error))
                break
        usages = [usage for completion in completions if (usage := getattr(completion, "usage", None))]
        return replace(
            answer,
            input_tokens=sum(usage.prompt_tokens or 0 for usage in usages),
            output_tokens=sum(usage.completion_tokens or 0 for usage in usages),
            served_model=plain_text(str(getattr(completions[-1], "model", "")), 100) if completions else "",
            refused_parameters=tuple(sorted(self._refused)),
        )

    def _complete(self, sdk: "openai.OpenAI", pace: Pace, messages: tuple[Message, ...], request: Request) -> Any:
        """One completion; optional parameters that the server refuses are left out."""
        import openai

        dropped: set[str] = set()
        while True:
            optional = self._optional_parameters(request)
            pace.wait()
            try:
                return sdk.chat.completions.create(
                    model=self.model,
                    messages=[{"role": message.role, "content": message.content} for message in messages],  # type: ignore[misc]
                    **optional,
                )
            except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
                self._stop(PermissionError, error, "does not accept the key", "Check the key and what it may do.")
            except openai.NotFoundError as error:
                advice = "Check its name, whether it is retired, and `base_url`."
                self._stop(ValueError, error, f"has no model {self.model!r}", advice)
            except openai.RateLimitError as error:
                if error.code == "insufficient_quota":
                    self._stop(PermissionError, error, "has no money left for this key", "See your account there.")
                raise
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                refused = _refused_parameter(f"{error.param} {error}", optional)
                if refused is None or refused in dropped:
                    raise
                dropped.add(refused)
                self._refused.add(refused)

    def _optional_parameters(self, request: Request) -> dict[str, Any]:
        """Parameters that not every server accepts, without those that this one has refused."""
        from scmpt_scverse.llm._structured_answer import answer_form, response_format

        # OpenAI's newer models accept only the longer name; other servers may ignore it and then have no limit.
        limit = "max_completion_tokens" if self.base_url is None else "max_tokens"
        limit = _LIMIT_NAMES[limit] if limit in self._refused else limit
        parameters: dict[str, Any] = {
            "response_format": response_format(answer_form(request)),
            "temperature": self.temperature,
            "seed": request.seed,
        }
        kept = {name: value for name, value in parameters.items() if name not in self._refused and value is not None}
        return {**kept, limit: self.max_output_tokens}

    def _connect(self) -> "openai.OpenAI":
        import openai

        def drop_headers(sent: Any) -> None:
            of_openai = ("openai-organization", "openai-project") if self.base_url is not None else ()
            for name in [name for name in sent.headers if name.lower().startswith(("x-stainless", *of_openai))]:
                del sent.headers[name]

        options: dict[str, Any] = {} if self.base_url is None else {"base_url": self.base_url}
        return openai.OpenAI(
            api_key=self._key(),
            timeout=self.timeout,
            max_retries=self.max_retries,
            http_client=openai.DefaultHttpxClient(event_hooks={"request": [drop_headers]}),
            **options,
        )

    def _key(self) -> str:
        key = self._api_key or (os.environ.get(self._key_variable) if self._key_variable else None)
        if key:
            return key
        if self._key_variable is None:
            return _NO_KEY  # the SDK wants one; local servers do not look at it
        raise PermissionError(
            f"Expected a key in the environment variable {self._key_variable}; found none. Set it, or pass `api_key=`; "
            "for a server that needs no key, pass `base_url=`."
        )

    def _stop(self, kind: type[Exception], error: Exception, what: str, advice: str) -> NoReturn:
        # Not chained: the SDK's error shows the server's text, which may repeat the key.
        raise kind(f"The server {self.base_url or 'of OpenAI'} {what} ({self._reason(error)}). {advice}") from None

    def _reason(self, error: Exception) -> str:
        return plain_text(self._without_key(str(error)), 300)

    def _without_key(self, text: str) -> str:
        """Text of the server without the key, which it may repeat."""
        key = self._key()
        return text if key == _NO_KEY else text.replace(key, "[key]")


def _refused_parameter(text: str, sent: dict[str, Any]) -> str | None:
    """Which of the optional parameters the server's error is about."""
    text = text.lower()
    return next((name for name in sent if any(word in text for word in _REFUSALS[name])), None)
