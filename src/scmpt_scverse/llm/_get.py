"""From a name to a client."""

from typing import TYPE_CHECKING, Any

from scmpt_scverse._checks import list_some
from scmpt_scverse._registry import Registry

if TYPE_CHECKING:
    from scmpt_scverse.llm._base import LLMClient

CLIENTS = Registry(
    "client",
    {
        "openai": "scmpt_scverse.llm._openai_compatible:OpenAICompatibleClient",
        "transformers": "scmpt_scverse.llm._transformers:TransformersClient",
        "recorded": "scmpt_scverse.llm._recorded:RecordedClient",
    },
)


def get(client: "str | LLMClient", **options: Any) -> "LLMClient":
    """Get a client by name.

    Parameters
    ----------
    client
        `"openai"` (:class:`OpenAICompatibleClient`), `"transformers"` (:class:`TransformersClient`) or `"recorded"`
        (:class:`RecordedClient`). A client is returned as it is.
    **options
        Options of that class, for instance `model="gpt-4o-2024-08-06"`.

    Returns
    -------
    The client. Nothing is asked or loaded yet.

    Raises
    ------
    ValueError
        The name is unknown, or an option is out of range.
    TypeError
        An option that this client does not have.
    ImportError
        The client comes with an extra of this package that is not installed.
    """
    from scmpt_scverse.llm._base import LLMClient

    if isinstance(client, LLMClient):
        if options:
            raise TypeError(f"Options {list_some(options)} cannot change a client that exists; pass its name instead.")
        return client
    built: LLMClient = CLIENTS.load(client)(**options)
    return built
