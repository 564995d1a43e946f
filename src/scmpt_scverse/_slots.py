"""Every slot that this package writes into AnnData: its keys, whether it can be written, and where it came from."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from scmpt_scverse._storable import storable, why_no_name

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import FloatArray


class Slot(NamedTuple):
    """One entry of an AnnData, such as `adata.obs["scmpt_prediction"]`."""

    container: Literal["obs", "obsm", "layers", "uns"]
    key: str

    def __str__(self) -> str:
        return f"adata.{self.container}[{self.key!r}]"


@dataclass(frozen=True)
class PredictionKeys:
    """Where `SCMPT.annotate` writes, for one `key_added` prefix."""

    prediction: str  # .obs, categorical
    confidence: str  # .obs, probability of the predicted label
    novelty: str  # .obs, in [0, 1], higher for a cell unlike all training cells
    disagreement: str  # .obs, share of modalities that alone give another label
    probabilities: str  # .obsm, DataFrame (n_obs, n_labels)
    contributions: str  # .obsm, DataFrame (n_obs, n_modalities)

    @classmethod
    def from_prefix(cls, key_added: str) -> "PredictionKeys":
        return cls(
            f"{key_added}_prediction",
            f"{key_added}_confidence",
            f"{key_added}_novelty",
            f"{key_added}_disagreement",
            f"{key_added}_probabilities",
            f"{key_added}_contributions",
        )

    @property
    def slots(self) -> tuple[Slot, ...]:
        """All of them."""
        columns = (self.prediction, self.confidence, self.novelty, self.disagreement)
        return (*_each("obs", columns), *_each("obsm", (self.probabilities, self.contributions)))


@dataclass(frozen=True)
class OntologyKeys:
    """Where `tl.back_off` writes, for one `key_added` prefix; all in .obs."""

    identifier: str  # categorical, such as CL:0000084
    term: str  # categorical, its name
    probability: str  # summed over the labels of its kind
    is_backed_off: str  # whether it is wider than the predicted label

    @classmethod
    def from_prefix(cls, key_added: str) -> "OntologyKeys":
        return cls(
            f"{key_added}_ontology_id",
            f"{key_added}_ontology_term",
            f"{key_added}_ontology_probability",
            f"{key_added}_is_backed_off",
        )

    @property
    def slots(self) -> tuple[Slot, ...]:
        """All of them."""
        return _each("obs", (self.identifier, self.term, self.probability, self.is_backed_off))


@dataclass(frozen=True)
class LLMKeys:
    """Where the second opinion of a language model is written, for one `key_added` prefix."""

    prediction: str  # .obs, categorical
    rationale: str  # .obs, plain text
    probabilities: str  # .obsm, DataFrame (n_obs, n_labels)
    mixed_prediction: str  # .obs, categorical: head and language model
    mixed_confidence: str  # .obs, probability of the mixed prediction

    @classmethod
    def from_prefix(cls, key_added: str) -> "LLMKeys":
        return cls(
            f"{key_added}_llm_prediction",
            f"{key_added}_llm_rationale",
            f"{key_added}_llm_probabilities",
            f"{key_added}_mixed_prediction",
            f"{key_added}_mixed_confidence",
        )

    @property
    def slots(self) -> tuple[Slot, ...]:
        """All of them, without the record in `.uns["scmpt"]`."""
        columns = (self.prediction, self.rationale, self.mixed_prediction, self.mixed_confidence)
        return (*_each("obs", columns), *_each("obsm", (self.probabilities,)))


@dataclass(frozen=True)
class TextLabelKeys:
    """Where labels from texts are written, for one `key_added` prefix."""

    prediction: str  # .obs, categorical
    confidence: str  # .obs, calibrated probability
    ontology_id: str  # .obs, categorical, id in the Cell Ontology
    scores: str  # .obsm, DataFrame (n_obs, n_labels)

    @classmethod
    def from_prefix(cls, key_added: str) -> "TextLabelKeys":
        parts = ("prediction", "confidence", "ontology_id", "scores")
        return cls(*(f"{key_added}_{part}" for part in parts))

    @property
    def slots(self) -> tuple[Slot, ...]:
        """All of them."""
        return (*_each("obs", (self.prediction, self.confidence, self.ontology_id)), Slot("obsm", self.scores))


@dataclass(frozen=True)
class AttributionKeys:
    """Where `SCMPT.rank_attributions` writes, for one `key_added`."""

    ranking: str  # .uns, in the form of `sc.tl.rank_genes_groups`
    layer: str  # .layers, scores of every explained cell, on request

    @classmethod
    def from_key(cls, key_added: str) -> "AttributionKeys":
        return cls(key_added, key_added)

    @property
    def slots(self) -> tuple[Slot, ...]:
        """All of them."""
        return (Slot("uns", self.ranking), Slot("layers", self.layer))


#: What a ranking has beside the fields of `sc.tl.rank_genes_groups`: modality to scores, in the order of `names`.
BY_MODALITY = "by_modality"
DEFAULT_ATTRIBUTIONS_KEY = "scmpt_attributions"


@dataclass(frozen=True)
class UnsKeys:
    """Our corner of `.uns["scmpt"]`: how what was written came about.

    `["embeddings"][<obsm key>]` is the provenance of an embedding, `["llm"][<key_added>]` the record of a second
    opinion.
    """

    root: str = "scmpt"
    embeddings: str = "embeddings"
    llm: str = "llm"


UNS_KEYS = UnsKeys()
DEFAULT_KEY_ADDED = "scmpt"
#: Letters of a key in an error.
_MAX_SHOWN = 60


def embedding_key(encoder_name: str) -> str:
    """The `.obsm` key of an encoder's embedding, `X_<encoder>`."""
    return f"X_{encoder_name}"


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
    if adata.is_view and adata.isbacked:
        raise ValueError(
            f"Expected data that can be written to, for `{slots[0]}`; found a view of a backed file. Pass "
            "`adata.to_memory()`."
        )


def check_records(adata: "AnnData") -> None:
    """Refuse, before any work, data whose `.uns["scmpt"]` is something else than our records."""
    ours = adata.uns.get(UNS_KEYS.root, {})
    found = {"": ours}
    for name in (UNS_KEYS.embeddings, UNS_KEYS.llm) if isinstance(ours, Mapping) else ():
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


def check_key_is_ours(adata: "AnnData", key: str) -> None:
    """Refuse to overwrite an embedding that this package did not write."""
    if key in adata.obsm and provenance(adata, key) is None:
        raise ValueError(
            f"`adata.obsm[{key!r}]` exists and was not written by `tl.embed`. Pass `key_added=` to write elsewhere, or "
            "rename it; to use it as it is, register it with `SCMPT.setup_anndata(..., obsm_keys=...)`."
        )


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
    return isinstance(record, Mapping) and {"names", "scores"} <= set(record)


def write_slots(adata: "AnnData", slots: Iterable[Slot], values: Mapping[Slot, Any]) -> None:
    """Write the slots of one writer; those without a value, or with `None`, are removed.

    So nothing of an earlier run stays. Colours of a categorical column follow their labels: a label that is still there
    keeps its colour, and no label gets that of another.
    """
    for slot in slots:
        container = getattr(adata, slot.container)
        value = values.get(slot)
        colours = _colours_of(adata, slot.key) if slot.container == "obs" else None
        if value is not None:
            container[slot.key] = value
        elif slot.key in container:
            del container[slot.key]
        if colours is not None:
            _recolour(adata, slot.key, colours, value)


def write_embedding(adata: "AnnData", key: str, embedding: "FloatArray", record: Mapping[str, Any]) -> None:
    """Write an embedding and its provenance."""
    adata.obsm[key] = embedding
    write_record(adata, UNS_KEYS.embeddings, key, record)


def provenance(adata: "AnnData", key: str) -> dict[str, Any] | None:
    """What was recorded when `adata.obsm[key]` was written, with its `encoder` and `fingerprint`.

    `None` where nothing tells which encoder made it: this package did not write it, or `ad.concat` kept of the record
    only what its objects have in common.
    """
    record: Any = adata.uns
    for name in (UNS_KEYS.root, UNS_KEYS.embeddings, key):
        record = record.get(name) if isinstance(record, Mapping) else None
    if not isinstance(record, Mapping):
        return None
    return dict(record) if all(isinstance(record.get(name), str) for name in ("encoder", "fingerprint")) else None


def write_record(adata: "AnnData", section: str, key: str, record: Mapping[str, Any]) -> None:
    """Write how something came about to `adata.uns["scmpt"][section][key]`."""
    adata.uns[UNS_KEYS.root] = with_record(adata.uns.get(UNS_KEYS.root, {}), section, key, record)


def with_record(ours: Mapping[str, Any], section: str, key: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """`adata.uns["scmpt"]` with one more record; what was there is not changed."""
    return {**ours, section: {**ours.get(section, {}), key: storable(record)}}


def _each(container: Literal["obs", "obsm"], keys: Iterable[str]) -> tuple[Slot, ...]:
    return tuple(Slot(container, key) for key in keys)


def _check_name(slot: Slot) -> None:
    """Refuse a slot that no file can hold, or that is where our records are."""
    reason = why_no_name(slot.key)
    if reason is not None:
        shown = Slot(slot.container, slot.key if len(slot.key) <= _MAX_SHOWN else f"{slot.key[:_MAX_SHOWN]}...")
        raise ValueError(f"`{shown}` cannot be written to a file: {reason}. Pass another `key_added=`.")
    if slot == Slot("uns", UNS_KEYS.root):
        raise ValueError(f"`{slot}` is where this package records what it wrote. Pass another `key_added=`.")


def _colours_of(adata: "AnnData", key: str) -> dict[str, str] | None:
    """Label to colour, as scanpy keeps them for a categorical column of `.obs`; `None` where there are no colours."""
    import numpy as np  # the command line reads the keys of this module before it needs these
    import pandas as pd

    colours = _uns_of_obs(adata).get(f"{key}_colors")
    if colours is None:
        return None
    if not isinstance(colours, list | tuple | np.ndarray) or np.ndim(colours) != 1:
        return {}  # of something else

    column = adata.obs.get(key)
    if column is None or not isinstance(column.dtype, pd.CategoricalDtype):
        return {}
    return dict(zip(column.cat.categories, map(str, colours), strict=False))


def _recolour(adata: "AnnData", key: str, colours: Mapping[str, str], value: object) -> None:
    """Give the labels of a new column their old colours, and new labels unused ones."""
    import pandas as pd

    uns, name = _uns_of_obs(adata), f"{key}_colors"
    labels = list(value.categories) if isinstance(value, pd.Categorical) else []
    if not any(label in colours for label in labels):
        uns.pop(name, None)  # scanpy chooses anew
        return
    taken = {colours[label] for label in labels if label in colours}
    unused = (colour for colour in _palette() if colour not in taken)
    uns[name] = [colours[label] if label in colours else next(unused, "grey") for label in labels]


def _palette() -> list[str]:
    from scanpy.plotting import palettes

    return [*palettes.default_20, *palettes.default_102]


def _uns_of_obs(adata: "AnnData") -> Any:
    """The `.uns` next to `.obs`: of a MuData, whose columns are those of all modalities, its own."""
    return getattr(adata, "mdata", adata).uns
