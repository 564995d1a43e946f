"""Whether slots can be written, asked before any work."""

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from scmpt_scverse._checks import check_key, type_name
from scmpt_scverse._slots._keys import (
    BY_MODALITY,
    DEFAULT_ATTRIBUTIONS_KEY,
    DEFAULT_KEY_ADDED,
    DEFAULT_TEXT_KEY_ADDED,
    UNS_KEYS,
    AttributionKeys,
    PredictionKeys,
    Slot,
)
from scmpt_scverse._slots._writing import provenance
from scmpt_scverse._storable import MOST_COLUMNS, why_no_name

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

#: Letters of a key in an error.
_MAX_SHOWN = 60


def check_writable(
    adata: "AnnData",
    key_added: str,
    slots: Iterable[Slot],
    *,
    reads: Collection[Slot] = (),
) -> None:
    """Refuse, before any work, data that cannot be written to, or slots that cannot be written.

    Parameters
    ----------
    adata
        The data.
    key_added
        What the user asked for, or the default; the slots are made from it.
    slots
        What is to be written.
    reads
        Slots that are not to be overwritten, because what is to be written is made from them.
    """
    if not isinstance(key_added, str) or not key_added.strip():
        raise ValueError(f"`key_added` must be a text that is not empty; found {key_added!r}.")
    slots = tuple(slots)
    if adata.obs_names.dtype.kind in "iufb" and any(slot.container in {"obs", "obsm"} for slot in slots):
        raise ValueError(
            f"Expected text as names of cells, for `{slots[0]}`; found {adata.obs_names.dtype} in `adata.obs_names`: "
            "what is written for them could not be copied or read again. Call "
            "`adata.obs_names = adata.obs_names.astype(str)`."
        )
    for slot in slots:
        _check_name(slot)
        if slot in reads:
            raise ValueError(
                f"Expected another place to write to than `{slot}`, which is read; found `key_added={key_added!r}`. "
                "Pass another `key_added=`, or rename what is read."
            )
        if slot.container == "obs" and slot.key == adata.obs.index.name:
            raise ValueError(
                f"Expected to write `{slot}`; found that the index of `adata.obs` has this name, and a file cannot "
                "hold both. Pass another `key_added=`, or set `adata.obs.index.name = None`."
            )
    reason = why_no_name(key_added)
    if reason is not None:  # a prefix that makes good names of slots, such as ".", is the name of a record as well
        raise ValueError(
            f"Records of `key_added={key_added!r}` cannot be written to a file: {reason}. Pass another one."
        )
    new = {slot.key for slot in slots if slot.container == "obs"} - set(adata.obs.columns)
    if new and len(adata.obs.columns) + len(new) > MOST_COLUMNS:
        raise ValueError(
            f"Expected room in `adata.obs` for {len(new)} columns, of {MOST_COLUMNS:,} that a table can have in an "
            f"`.h5ad` file; found {len(adata.obs.columns):,} there. Remove some, or move them to `adata.obsm`."
        )
    if adata.is_view and adata.isbacked:
        raise ValueError(
            f"Expected data that can be written to, for `{slots[0]}`; found a view of a backed file. Pass "
            "`adata.to_memory()`."
        )


def check_records(adata: "AnnData") -> None:
    """Refuse, before any work, data whose `.uns["scmpt"]` is something else than our records."""
    ours = adata.uns.get(UNS_KEYS.root, {})
    found = {"": ours}
    for name in UNS_KEYS.by_key if isinstance(ours, Mapping) else ():
        section = found[f"[{name!r}]"] = ours.get(name, {})
        if isinstance(section, Mapping):
            found |= {f"[{name!r}][{key!r}]": record for key, record in section.items()}
    for where, value in found.items():
        if not isinstance(value, Mapping):
            raise ValueError(
                f"`adata.uns[{UNS_KEYS.root!r}]` is where this package records what it wrote; found "
                f"{type(value).__name__} instead of a mapping in `adata.uns[{UNS_KEYS.root!r}]{where}`. Rename or "
                "remove it."
            )


def check_embedding_slot(adata: "AnnData", key: str, *, reads: Collection[Slot] = ()) -> None:
    """Refuse, before any work, an embedding that cannot be written, or would overwrite one that is not ours.

    `reads` as in :func:`check_writable`.
    """
    check_writable(adata, key, [Slot("obsm", key)], reads=reads)
    check_records(adata)
    if key in adata.obsm and provenance(adata, key) is None:
        raise ValueError(
            f"`adata.obsm[{key!r}]` exists and was not written by `tl.embed`. Pass `key_added=` to write elsewhere, or "
            "rename it; to use it as it is, register it with `SCMPT.setup_anndata(..., obsm_keys=...)`."
        )


def checked_probabilities(adata: "AnnData", keys: PredictionKeys) -> "pd.DataFrame":
    """The stored probabilities of labels, shape `(n_obs, n_labels)`.

    Raises
    ------
    KeyError
        The cells are not annotated.
    TypeError
        What is stored there is no table, so that nothing tells the labels.
    """
    import pandas as pd

    check_key(keys.probabilities, adata.obsm.keys(), "adata.obsm", hint=" Run `model.annotate(adata)` first.")
    table = adata.obsm[keys.probabilities]
    if not isinstance(table, pd.DataFrame):
        raise TypeError(
            f"Expected a DataFrame with a column per label in `adata.obsm[{keys.probabilities!r}]`; found "
            f"{type_name(table)}. Run `model.annotate(adata)` again."
        )
    return table


def check_recorded(
    adata: "AnnData", key_added: str, slots: Iterable[Slot], sections: Iterable[str] = UNS_KEYS.by_key
) -> None:
    """Refuse to overwrite, under a prefix of the user's own, what no record says that it was written there.

    Under the prefixes that this package takes by itself, what is there is taken for its own: records are lost where
    data are concatenated. Arguments as for :func:`check_writable`; `sections` are those of records that tell.
    """
    if key_added.split("_")[0] in {DEFAULT_KEY_ADDED, DEFAULT_TEXT_KEY_ADDED}:
        return
    records = adata.uns.get(UNS_KEYS.root, {})
    if any(key_added in records.get(section, {}) for section in sections):
        return
    present = [slot for slot in slots if slot.key in getattr(adata, slot.container)]
    if present:
        raise ValueError(
            f"`{present[0]}` exists, and nothing records that it was written with `key_added={key_added!r}`. Pass "
            "another one, or rename or remove what is there."
        )


def check_column_is_ours(adata: "AnnData", slot: Slot, *, is_ours: bool, what: str) -> None:
    """Refuse to overwrite a column that does not look like what is written there, such as labels of the user.

    Parameters
    ----------
    adata, slot
        Where.
    is_ours
        Whether a column that is there looks like it.
    what
        What is written there, for the error.
    """
    if slot.key in getattr(adata, slot.container) and not is_ours:
        raise ValueError(f"`{slot}` exists and is no {what}. Pass another `key_added=`, or rename it.")


def check_ranking_is_ours(adata: "AnnData", keys: AttributionKeys) -> None:
    """Refuse to overwrite what is no ranking of genes, or a layer that came without one."""
    found: Any = adata.uns.get(keys.ranking)
    if found is not None and not is_ranking(found):
        raise ValueError(
            f"`adata.uns[{keys.ranking!r}]` exists and is no ranking of genes. Pass another `key_added=`, or rename it."
        )
    is_ours = keys.layer == DEFAULT_ATTRIBUTIONS_KEY or (is_ranking(found) and BY_MODALITY in found)
    if keys.layer in adata.layers and not is_ours:
        raise ValueError(
            f"`adata.layers[{keys.layer!r}]` exists and was not written by `rank_attributions`. Pass another "
            "`key_added=`, or rename it."
        )


def is_ranking(record: object) -> bool:
    """Whether something in `.uns` has the form of `sc.tl.rank_genes_groups`."""
    if not isinstance(record, Mapping):
        return False
    # The dtype has one field per group.
    return all(getattr(getattr(record.get(name), "dtype", None), "names", None) for name in ("names", "scores"))


def _check_name(slot: Slot) -> None:
    """Refuse a slot that no file can hold, or that is where our records are."""
    reason = why_no_name(slot.key)
    if reason is not None:
        shown = Slot(slot.container, slot.key if len(slot.key) <= _MAX_SHOWN else f"{slot.key[:_MAX_SHOWN]}...")
        raise ValueError(f"`{shown}` cannot be written to a file: {reason}. Pass another `key_added=`.")
    if slot == Slot("uns", UNS_KEYS.root):
        raise ValueError(f"`{slot}` is where this package records what it wrote. Pass another `key_added=`.")
