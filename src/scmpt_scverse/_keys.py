"""Every key that this package writes into AnnData, in one place."""

from collections.abc import Iterable
from dataclasses import dataclass


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
