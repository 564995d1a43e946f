"""From a name, a folder, a hub id, a class or an instance to an encoder."""

import re
from collections.abc import Container
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from scmpt_scverse._checks import did_you_mean, list_some
from scmpt_scverse._registry import Registry
from scmpt_scverse.encoders._base import Encoder
from scmpt_scverse.encoders._catalog import CARDS, EncoderCard, EncoderKind, of_genes
from scmpt_scverse.encoders._download import local_folder

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    import pandas as pd

    from scmpt_scverse._types import StrPath

    AnyEncoder: TypeAlias = StrPath | Encoder | type[Encoder]

#: What reads the folder of each kind.
_IMPLEMENTATIONS: dict[str, str] = {
    "sentence_transformer": "scmpt_scverse.encoders._sentence_transformer:SentenceTransformerEncoder",
    "gene_text": "scmpt_scverse.encoders._gene_text:GeneTextEncoder",
    "scgpt": "scmpt_scverse.encoders._scgpt:ScGPTEncoder",
    "knowledge": "scmpt_scverse.encoders._knowledge:KnowledgeEncoder",
}
_KINDS = Registry("kind", _IMPLEMENTATIONS)
#: The encoders of this package, whose cards are in `CARDS`, and those that other packages register.
ENCODERS = Registry(
    "encoder",
    {name: _IMPLEMENTATIONS[card.kind] for name, card in CARDS.items()},
    group="scmpt_scverse.encoders",
    reserved=("counts", "none"),  # in a model, expression itself; on the command line, no encoder
)
#: Options that change the name of an encoder, or its width to that of another model.
_NAMING_OPTIONS = frozenset({"name", "model"})
_HUB_ID = re.compile(r"^[\w.-]+/[\w.-]+$")


def get(encoder: "AnyEncoder", **options: Any) -> Encoder:
    """Get a frozen encoder.

    Parameters
    ----------
    encoder
        One of

        - a registered name (:func:`list_encoders`), of this package or of another one that is installed;
        - the folder of a sentence-transformers model, of an official scGPT checkpoint or of a saved
          :class:`scmpt_scverse.SCMMGPT` (its files tell which);
        - the Hugging Face id of a sentence-transformers model;
        - a subclass of :class:`Encoder`;
        - an encoder, which is returned as it is.
    **options
        Options of the encoder, for instance `max_genes=60` for a :class:`SentenceTransformerEncoder`. With
        `gene_texts=`, any text encoder of this package or of the hub becomes a :class:`GeneTextEncoder`.

    Returns
    -------
    The encoder. Its weights are read when it first encodes.

    Raises
    ------
    ValueError
        The name is unknown, or an option is out of range.
    TypeError
        An option that this kind of encoder does not have, options for an existing encoder, or something that is not an
        encoder.
    FileNotFoundError
        The folder does not exist, or lacks the files of an encoder.
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
    if not isinstance(encoder, str | PathLike):
        return ENCODERS.build(encoder, Encoder, **options)  # type: ignore[type-abstract]
    name = fspath(encoder)
    card = _card(name, options)
    if card is not None:
        return _open(card.kind, local_folder(card), {"name": card.name, **card.options, **options})
    if name in ENCODERS.installed:
        return ENCODERS.build(name, Encoder, **options)  # type: ignore[type-abstract]
    folder = Path(encoder).expanduser()
    if folder.is_dir():
        return _open(_kind_of(folder, options), folder, options)
    if folder.is_absolute() or name.startswith((".", "~")):
        raise FileNotFoundError(f"Expected the folder of an encoder at {folder}; found no such folder. Check the path.")
    raise ValueError(
        f"Unknown encoder {name!r}: not a registered name, a folder or a hub id. "
        f"Registered are {list_some(ENCODERS.names(), limit=20)}.{did_you_mean(name, ENCODERS.names())}"
    )


def list_encoders() -> "pd.DataFrame":
    """List the registered encoders: those of this package, then those that other installed packages register.

    Returns
    -------
    One row per encoder, index `encoder`; columns `modality`, `embedding_dim`, `source`, `licence`,
    `is_available_offline` (its files are on this machine) and `description`. An encoder of another package is not
    imported for the list: its source, licence and description are those of the package, and its modality and width are
    missing.
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
    rows += [_installed_row(point) for point in ENCODERS.installed.values()]
    return pd.DataFrame(rows).set_index("encoder").astype({"embedding_dim": "Int64"})


def name_and_dim(encoder: "AnyEncoder", **options: Any) -> tuple[str, int]:
    """Name and width of an encoder; for a name of this package, nothing is fetched or loaded."""
    if isinstance(encoder, str) and encoder in CARDS and not _NAMING_OPTIONS.intersection(options):
        card = _card(encoder, options)
        if card is not None and isinstance(options.get("max_genes"), int | None):
            return card.name, card.embedding_dim
    built = get(encoder, **options)
    return built.name, built.embedding_dim


def is_local(encoder: "AnyEncoder") -> bool:
    """Whether :func:`get` needs no download for `encoder`."""
    card = _card(encoder) if isinstance(encoder, str) else None
    return card is None or card.local_folder() is not None


def slug(name: str) -> str:
    """`name` in lower case with everything but letters, digits and dots turned into single dashes: fit for a key."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-") or "encoder"


def _installed_row(point: "EntryPoint") -> dict[str, Any]:
    """The row of an encoder that another package registers, from the metadata of that package."""
    metadata: Any = point.dist.metadata if point.dist is not None else {}
    return {
        "encoder": point.name,
        "modality": None,
        "embedding_dim": None,
        "source": f"package: {metadata.get('Name', point.value)}",
        "licence": metadata.get("License-Expression") or metadata.get("License") or "see its package",
        "is_available_offline": True,
        "description": metadata.get("Summary") or "",
    }


def _card(encoder: str, options: Container[str] = ()) -> EncoderCard | None:
    """The card of a name of this package or a hub id; with the option `gene_texts`, that of its gene text encoder."""
    card = CARDS.get(encoder) or (_hub_card(encoder) if _is_hub_id(encoder) else None)
    reads_genes = card is not None and card.kind == "sentence_transformer" and "gene_texts" in options
    return of_genes(card) if card is not None and reads_genes else card


def _open(kind: EncoderKind, folder: Path, options: dict[str, Any]) -> Encoder:
    encoder: Encoder = _KINDS.load(kind)(folder, **options)
    return encoder


def _kind_of(folder: Path, options: Container[str]) -> EncoderKind:
    if (folder / "args.json").is_file():
        return "scgpt"
    if (folder / "config.json").is_file():
        return "gene_text" if "gene_texts" in options else "sentence_transformer"
    if (folder / "model.json").is_file():
        return "knowledge"
    found = list_some(sorted(path.name for path in folder.iterdir()))
    raise FileNotFoundError(
        f"Expected the files of an encoder in {folder}; found {found}. "
        "A scGPT checkpoint has args.json, vocab.json, and best_model.pt or model.safetensors; a sentence-transformers "
        "model has modules.json, config.json and model.safetensors; a saved text model has model.json and "
        "model.safetensors."
    )


def _hub_card(hub_id: str) -> EncoderCard:
    # Any sentence-transformers model of the hub is fetched like the registered one that comes from there. The folder's
    # name keeps owner and name apart, so that no two models share one.
    return replace(
        CARDS["ember-v1"],
        name=slug(hub_id),
        source=hub_id,
        licence="see its model card",
        folder=hub_id.replace("/", "--"),
    )


def _is_hub_id(encoder: str) -> bool:
    return (
        _HUB_ID.match(encoder) is not None
        and not encoder.startswith(".")
        and encoder not in ENCODERS.installed
        and not Path(encoder).is_dir()
    )
