"""From a name to a client."""

from inspect import signature
from typing import Any

from scmpt_scverse._registry import Registry
from scmpt_scverse.llm._base import LLMClient

CLIENTS = Registry(
    "client",
    {
        "openai": "scmpt_scverse.llm._openai_compatible:OpenAICompatibleClient",
        "transformers": "scmpt_scverse.llm._transformers:TransformersClient",
        "recorded": "scmpt_scverse.llm._recorded:RecordedClient",
    },
    group="scmpt_scverse.llm",
)


def get(client: str | type[LLMClient] | LLMClient, **options: Any) -> LLMClient:
    """Get a client by name, by class, or as it is.

    Parameters
    ----------
    client
        `"openai"` (:class:`OpenAICompatibleClient`), `"transformers"` (:class:`TransformersClient`), `"recorded"`
        (:class:`RecordedClient`), or a name that another package registered; or a subclass of :class:`LLMClient`. A
        client is returned as it is.
    **options
        Options of that class, for instance `model="gpt-4o-2024-08-06"`.

    Returns
    -------
    The client. No request is sent and no weights are loaded yet.

    Raises
    ------
    ValueError
        The name is unknown, or an option is out of range.
    TypeError
        `client` is not a client, has an option that it does not know, or lacks one that it needs.
    ImportError
        The client needs an extra of this package that is not installed.
    OSError, FileNotFoundError
        The model or the file of recorded answers does not exist.
    """
    kind = CLIENTS.load(client) if isinstance(client, str) else client
    if isinstance(kind, type) and issubclass(kind, LLMClient):
        try:
            signature(kind).bind(**options)
        except TypeError as error:
            name = client if isinstance(client, str) else kind.__name__
            raise TypeError(
                f"The options do not fit the client {name!r}: {error}. Its options are those of `{kind.__name__}`: "
                f"{signature(kind)}. Pass them to `scmpt_scverse.llm.get`, and pass on the client that it returns."
            ) from None
    return CLIENTS.build(client, LLMClient, **options)  # type: ignore[type-abstract]  # the contract is abstract
