"""Keys of every slot that this package writes into AnnData."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Literal, NamedTuple


class Slot(NamedTuple):
    """One entry of an AnnData, such as `adata.obs["scmpt_prediction"]`."""

    container: Literal["obs", "var", "obsm", "layers", "uns"]
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
    novelty: str  # .obs, in [0, 1], higher for a cell of a type that is no candidate
    backed_off: str  # .obs, categorical, name of the term that is sure
    backed_off_id: str  # .obs, categorical, its id
    backed_off_confidence: str  # .obs, its probability
    scores: str  # .obsm, DataFrame (n_obs, n_labels)

    @classmethod
    def from_prefix(cls, key_added: str) -> "TextLabelKeys":
        return cls(*(f"{key_added}_{part.name}" for part in fields(cls)))

    @property
    def slots(self) -> tuple[Slot, ...]:
        """All of them."""
        columns = [getattr(self, part.name) for part in fields(self) if part.name != "scores"]
        return (*_each("obs", columns), Slot("obsm", self.scores))


@dataclass(frozen=True)
class DescriptionKeys:
    """Where `SCMMGPT.describe` writes, for one `key_added` prefix."""

    description: str  # .obs, text of every cell
    descriptions: str  # .uns, DataFrame, one row per group
    evidence: str  # .uns, DataFrame, one row per group and gene

    @classmethod
    def from_prefix(cls, key_added: str) -> "DescriptionKeys":
        return cls(*(f"{key_added}_{part.name}" for part in fields(cls)))

    @property
    def of_cells(self) -> tuple[Slot, ...]:
        """What describing cells writes."""
        return _each("obs", (self.description,))

    @property
    def of_groups(self) -> tuple[Slot, ...]:
        """What describing groups writes."""
        return (Slot("uns", self.descriptions), Slot("uns", self.evidence))


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
#: Of cells like the reference, one in twenty has a novelty above this.
NOVEL_ABOVE = 0.95


@dataclass(frozen=True)
class UnsKeys:
    """Our corner of `.uns["scmpt"]`: how what was written came about.

    `["embeddings"][<obsm key>]` is the provenance of an embedding, `["annotations"][<key_added>]` which model gave
    labels, `["descriptions"]` and `["searches"]` which described them or scored them for a text, and for which,
    `["llm"][<key_added>]` the record of a second opinion, `["smoothing"][<key_added>]` how probabilities were
    smoothed, `["ontology"][<key_added>]` how labels became more general, `["synthetic"]` how pseudo-cells came about,
    `["source"]` the query that cells were fetched by.
    """

    root: str = "scmpt"
    embeddings: str = "embeddings"
    annotations: str = "annotations"
    descriptions: str = "descriptions"
    searches: str = "searches"
    llm: str = "llm"
    smoothing: str = "smoothing"
    ontology: str = "ontology"
    synthetic: str = "synthetic"
    source: str = "source"

    @property
    def by_key(self) -> tuple[str, ...]:
        """Sections with a record for each key that was written."""
        return (
            self.embeddings,
            self.annotations,
            self.descriptions,
            self.searches,
            self.llm,
            self.smoothing,
            self.ontology,
        )


UNS_KEYS = UnsKeys()
#: Prefix of what the two model classes write.
DEFAULT_KEY_ADDED = "scmpt"
DEFAULT_TEXT_KEY_ADDED = "scmmgpt"


def embedding_key(encoder_name: str) -> str:
    """The `.obsm` key of an encoder's embedding, `X_<encoder>`."""
    return f"X_{encoder_name}"


def _each(container: Literal["obs", "obsm"], keys: Iterable[str]) -> tuple[Slot, ...]:
    return tuple(Slot(container, key) for key in keys)
