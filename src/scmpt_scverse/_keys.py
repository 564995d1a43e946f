"""Every key that this package writes into AnnData, in one place."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PredictionKeys:
    """Where `SCMPT.annotate` writes, for one `key_added` prefix."""

    prediction: str  # .obs, categorical
    confidence: str  # .obs, probability of the predicted label
    probabilities: str  # .obsm, DataFrame (n_obs, n_labels)

    @classmethod
    def from_prefix(cls, key_added: str) -> "PredictionKeys":
        return cls(f"{key_added}_prediction", f"{key_added}_confidence", f"{key_added}_probabilities")


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
class UnsKeys:
    """Our corner of `.uns`: `adata.uns["scmpt"]["embeddings"][<obsm key>]` is the provenance of an embedding."""

    root: str = "scmpt"
    embeddings: str = "embeddings"


UNS_KEYS = UnsKeys()
DEFAULT_KEY_ADDED = "scmpt"


def embedding_key(encoder_name: str) -> str:
    """The `.obsm` key of an encoder's embedding, `X_<encoder>`."""
    return f"X_{encoder_name}"
