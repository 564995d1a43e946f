"""Every slot that this package writes into AnnData: its keys, whether it can be written, and where it came from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import FloatArray


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


@dataclass(frozen=True)
class AttributionKeys:
    """What stands in `.uns["scmpt_attributions"]` beside the fields of `sc.tl.rank_genes_groups`."""

    by_modality: str = "by_modality"  # modality to scores, in the order of `names`


ATTRIBUTION_KEYS = AttributionKeys()
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


def embedding_key(encoder_name: str) -> str:
    """The `.obsm` key of an encoder's embedding, `X_<encoder>`."""
    return f"X_{encoder_name}"


def storable_names(labels: Iterable[object], reserved: str | None) -> list[str]:
    """Labels as distinct column names that HDF5 and zarr can hold beside an index that is called `reserved`."""
    names: list[str] = []
    for label in labels:
        name = str(label).replace("/", "|")
        if name in {".", "..", "_index", reserved}:
            name += "_"
        while name in names:
            name += "_"
        names.append(name)
    return names


def check_writable(adata: "AnnData", key: str) -> None:
    """Refuse, before any work, data or a key that cannot be written to."""
    if not isinstance(key, str) or not key or "/" in key:
        raise ValueError(f"A key must be a text without slash, which HDF5 does not allow in names; found {key!r}.")
    if adata.is_view and adata.isbacked:
        raise ValueError(
            "Expected data that can be written to; found a view of a backed file. Pass `adata.to_memory()`."
        )
    if not isinstance(adata.uns.get(UNS_KEYS.root, {}), Mapping):
        raise ValueError(
            f"`adata.uns[{UNS_KEYS.root!r}]` is where this package records what it wrote; found something else there. "
            "Rename it."
        )


def check_key_is_ours(adata: "AnnData", key: str) -> None:
    """Refuse to overwrite an embedding that this package did not write."""
    if key in adata.obsm and provenance(adata, key) is None:
        raise ValueError(
            f"`adata.obsm[{key!r}]` exists and was not written by `tl.embed`. Pass `key_added=` to write elsewhere, or "
            "rename it; to use it as it is, register it with `SCMPT.setup_anndata(..., obsm_keys=...)`."
        )


def write_embedding(adata: "AnnData", key: str, embedding: "FloatArray", record: Mapping[str, Any]) -> None:
    """Write an embedding and its provenance."""
    adata.obsm[key] = embedding
    write_record(adata, UNS_KEYS.embeddings, key, record)


def provenance(adata: "AnnData", key: str) -> dict[str, Any] | None:
    """What was recorded when `adata.obsm[key]` was written, or `None` if this package did not write it."""
    ours = adata.uns.get(UNS_KEYS.root, {})
    record: dict[str, Any] | None = ours.get(UNS_KEYS.embeddings, {}).get(key) if isinstance(ours, Mapping) else None
    return record


def write_record(adata: "AnnData", section: str, key: str, record: Mapping[str, Any]) -> None:
    """Write how something came about to `adata.uns["scmpt"][section][key]`."""
    adata.uns[UNS_KEYS.root] = with_record(adata.uns.get(UNS_KEYS.root, {}), section, key, record)


def with_record(ours: Mapping[str, Any], section: str, key: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """`adata.uns["scmpt"]` with one more record; what was there is not changed."""
    return {**ours, section: {**ours.get(section, {}), key: dict(record)}}
