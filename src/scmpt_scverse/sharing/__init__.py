"""Models that are shared: sent with a card, and fetched. Both model classes take the functions as methods."""

from scmpt_scverse.sharing._share import (
    REFERENCE_MODEL as REFERENCE_MODEL,
    TEXT_MODEL as TEXT_MODEL,
    SharedKind as SharedKind,
    from_hub as from_hub,
    push_to_hub as push_to_hub,
)

__all__: list[str] = []
