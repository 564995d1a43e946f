"""Write slots, and record where what is in them came from."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from scmpt_scverse._slots._colours import colours_of, recolour
from scmpt_scverse._slots._keys import UNS_KEYS, Slot
from scmpt_scverse._storable import storable

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import FloatArray


def write_slots(adata: "AnnData", slots: Iterable[Slot], values: Mapping[Slot, Any]) -> None:
    """Write the slots of one writer; those without a value, or with `None`, are removed.

    So nothing of an earlier run stays. Colours of a categorical column follow their labels: a label that is still there
    keeps its colour, and no label gets that of another.
    """
    for slot in slots:
        container = getattr(adata, slot.container)
        value = values.get(slot)
        colours = colours_of(adata, slot.key) if slot.container == "obs" else None
        if value is not None:
            container[slot.key] = value
        elif slot.key in container:
            del container[slot.key]
        if colours is not None:
            recolour(adata, slot.key, colours, value)


def write_embedding(adata: "AnnData", key: str, embedding: "FloatArray", record: Mapping[str, Any]) -> None:
    """Write an embedding and its provenance."""
    adata.obsm[key] = embedding
    write_record(adata, UNS_KEYS.embeddings, key, record)


def provenance(adata: "AnnData", key: str) -> dict[str, Any] | None:
    """What was recorded when `adata.obsm[key]` was written, with its `encoder` and `fingerprint`.

    `None` where nothing tells which encoder made it: this package did not write it, or `ad.concat` kept of the record
    only what its objects have in common.
    """
    record = read_record(adata, UNS_KEYS.embeddings, key)
    return record if all(isinstance(record.get(name), str) for name in ("encoder", "fingerprint")) else None


def read_record(adata: "AnnData", section: str, key: str) -> dict[str, Any]:
    """`adata.uns["scmpt"][section][key]`, empty where there is none."""
    record: Any = adata.uns
    for name in (UNS_KEYS.root, section, key):
        record = record.get(name) if isinstance(record, Mapping) else None
    return dict(record) if isinstance(record, Mapping) else {}


def write_record(adata: "AnnData", section: str, key: str, record: Mapping[str, Any]) -> None:
    """Write how something came about to `adata.uns["scmpt"][section][key]`."""
    adata.uns[UNS_KEYS.root] = with_record(adata.uns.get(UNS_KEYS.root, {}), section, key, record)


def with_record(ours: Mapping[str, Any], section: str, key: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """`adata.uns["scmpt"]` with one more record; what was there is not changed."""
    return {**ours, section: {**ours.get(section, {}), key: storable(record)}}
