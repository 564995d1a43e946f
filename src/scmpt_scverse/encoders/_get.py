"""From a name, a hub id or a folder to an encoder."""

import re
from collections.abc import Container
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scmpt_scverse._checks import did_you_mean, list_some
from scmpt_scverse._registry import Registry
from scmpt_scverse.encoders._catalog import CARDS, EncoderCard, EncoderKind, of_genes
from scmpt_scverse.encoders._download import local_folder

if TYPE_CHECKING:
    import pandas as pd

    from scmpt_scverse._types import StrPath
    from scmpt_scverse.encoders._base import Encoder

_KINDS = Registry(
    "kind",
    {
        "sentence_transformer": "scmpt_scverse.encoders._sentence_transformer:SentenceTransformerEncoder",
        "gene_text": "scmpt_scverse.encoders._gene_text:GeneTextEncoder",
        "scgpt": "scmpt_scverse.encoders._scgpt:ScGPTEncoder",
    },
)
_HUB_ID = re.compile(r"^[\w.-]+/[\w.-]+$")


def get(encoder: "StrPath | Encoder", **options: Any) -> "Encoder":
    """Get a frozen encoder by name, hub id or folder.

    Parameters
    ----------
    encoder
        A registered name (:func:`list_encoders`); the folder of a sentence-transformers model or of an official scGPT
        checkpoint (its files tell which); or the Hugging Face id of a sentence-transformers model. An encoder is
        returned as it is.
    **options
        Options of :class:`SentenceTransformerEncoder` or :class:`ScGPTEncoder`, for instance `max_genes=60`. With
        `gene_texts=`, any text encoder becomes a :class:`GeneTextEncoder`.

    Returns
    -------
    The encoder. Its weights are read when it first encodes.

    Raises
    ------
    ValueError
        The name is unknown, or an option is out of range.
    TypeError
        An option that this kind of encoder does not have.
    FileNotFoundError
        A folder without the files of an encoder.
    ImportError
        The encoder comes with an extra of this package that is not installed.
    OSError
        A download failed; the message says which files to put where.

    Examples
    --------
    >>> from scmpt_scverse import encoders
    >>> encoders.get("minilm").embedding_dim
    384
    """
    from scmpt_scverse.encoders._base import Encoder

    if isinstance(encoder, Encoder):
        if options:
            raise TypeError(
                f"Options {list_some(options)} cannot change an encoder that exists; pass its name instead."
            )
        return encoder
    text = str(encoder)
    card = _card(text, options)
    if card is not None:
        return _build(card.kind, local_folder(card), {"name": card.name, **card.options, **options})
    folder = Path(encoder).expanduser()
    if folder.is_dir():
        return _build(_kind_of(folder, options), folder, options)
    if folder.is_absolute() or text.startswith((".", "~")):
        raise FileNotFoundError(f"Expected the folder of an encoder at {folder}; there is none. Check the path.")
    raise ValueError(
        f"Unknown encoder {text!r}: neither a registered name, a folder, nor a hub id. "
        f"Registered are {list_some(CARDS, limit=20)}.{did_you_mean(text, CARDS)}"
    )


def list_encoders() -> "pd.DataFrame":
    """List the registered encoders.

    Returns
    -------
    One row an encoder, index `encoder`; columns `modality`, `embedding_dim`, `source`, `licence`,
    `is_available_offline` (its files are on this machine) and `description`.
    """
    import pandas as pd

    rows = [
        {
            "encoder": card.name,
            "modality": card.modality,
            "embedding_dim": card.embedding_dim,
            "source": f"{card.origin}: {card.source}",
            "licence": card.licence,
            "is_available_offline": card.local_folder() is not None,
            "description": card.description,
        }
        for card in CARDS.values()
    ]
    return pd.DataFrame(rows).set_index("encoder")


def name_and_dim(encoder: str, **options: Any) -> tuple[str, int]:
    """Name and width of an encoder; for a registered name nothing is fetched or loaded."""
    card = _card(encoder, options)
    if (
        encoder in CARDS
        and card is not None
        and "name" not in options
        and isinstance(options.get("max_genes"), int | None)
    ):
        return card.name, card.embedding_dim
    built = get(encoder, **options)
    return built.name, built.embedding_dim


def is_local(encoder: str) -> bool:
    """Whether :func:`get` needs no download for `encoder`."""
    card = _card(encoder)
    return card is None or card.local_folder() is not None


def slug(name: str) -> str:
    """`name` in lower case with everything but letters, digits and dots turned into single dashes: fit for a key."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-") or "encoder"


def _card(encoder: str, options: Container[str] = ()) -> EncoderCard | None:
    """The card of a registered name or a hub id; of its gene texts, where there is the option `gene_texts`."""
    card = CARDS.get(encoder) or (_hub_card(encoder) if _is_hub_id(encoder) else None)
    reads_genes = card is not None and card.kind == "sentence_transformer" and "gene_texts" in options
    return of_genes(card) if card is not None and reads_genes else card


def _build(kind: EncoderKind, folder: Path, options: dict[str, Any]) -> "Encoder":
    encoder: Encoder = _KINDS.load(kind)(folder, **options)
    return encoder


def _kind_of(folder: Path, options: Container[str]) -> EncoderKind:
    if (folder / "args.json").is_file():
        return "scgpt"
    if (folder / "config.json").is_file():
        return "gene_text" if "gene_texts" in options else "sentence_transformer"
    raise FileNotFoundError(
        f"{folder} is no encoder: a scGPT checkpoint has args.json, vocab.json and best_model.pt or model.safetensors, "
        "a sentence-transformers model has modules.json, config.json and model.safetensors. "
        f"Found {list_some(sorted(path.name for path in folder.iterdir()))}."
    )


def _hub_card(hub_id: str) -> EncoderCard:
    # Any sentence-transformers model of the hub is fetched like the registered one that comes from there.
    # Owner and name are kept apart in the folder's name, so that no two of them share one.
    return replace(
        CARDS["ember-v1"],
        name=slug(hub_id),
        source=hub_id,
        licence="see its model card",
        folder=hub_id.replace("/", "--"),
    )


def _is_hub_id(encoder: str) -> bool:
    return _HUB_ID.match(encoder) is not None and not encoder.startswith(".") and not Path(encoder).is_dir()
