"""Fetch the folder of a registered encoder: resumable, and put in place only when it is complete and correct."""

import os
from pathlib import Path

from scmpt_scverse._folders import ENCODERS_VARIABLE, encoder_folder
from scmpt_scverse._hashing import file_sha256
from scmpt_scverse._hub import errors_of
from scmpt_scverse._optional import import_optional
from scmpt_scverse.encoders._catalog import EncoderCard

#: Weights in safetensors, descriptions and tokenizers; not the same weights again for other frameworks.
_HUGGINGFACE_FILES = ("*.json", "*.safetensors", "vocab.txt")
#: Without these files a folder of that kind is not complete.
_SENTENCE_TRANSFORMER_FILES = ("config.json", "modules.json", "model.safetensors")
_REQUIRED_FILES = {
    "sentence_transformer": _SENTENCE_TRANSFORMER_FILES,
    "gene_text": _SENTENCE_TRANSFORMER_FILES,
    "scgpt": ("args.json", "vocab.json", "best_model.pt"),
}
_HOSTS = {"huggingface": "https://huggingface.co/", "google_drive": "https://drive.google.com/drive/folders/"}


def local_folder(card: EncoderCard) -> Path:
    """The folder of a registered encoder, fetched first if it is not on this machine.

    Raises
    ------
    ImportError
        The encoder comes with a package that is not installed, or downloading needs one.
    OSError
        The download failed or the folder cannot be written; the message says which files to put where by hand.
    """
    folder = card.local_folder()
    if folder is not None:
        return folder
    if card.origin == "package":
        import_optional(card.source, extra=card.extra, purpose=f"The encoder {card.name!r}")
    return _fetch(card, encoder_folder(card.folder_name))


def _fetch(card: EncoderCard, folder: Path) -> Path:
    # An interrupted download stays in the partial folder, where both clients resume it.
    partial = folder.with_name(folder.name + ".partial")
    try:
        partial.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"Cannot write the folder {partial} for the encoder {card.name!r} ({error.strerror}). "
            f"Set the environment variable {ENCODERS_VARIABLE} to a folder that can be written."
        ) from error
    if not (card.mirror and _fetch_from_mirror(card, partial)):
        if card.origin == "huggingface":
            _fetch_from_huggingface(card, partial)
        else:
            _fetch_from_google_drive(card, partial)
    missing = [name for name in _REQUIRED_FILES[card.kind] if not (partial / name).is_file()]
    if missing:
        raise OSError(f"The download of {card.name!r} has no {', '.join(missing)}. {_by_hand(card, folder)}")
    wrong = _removed_wrong_files(card, partial)
    if wrong:
        raise OSError(
            f"The download of {card.name!r} differs from what was published in {', '.join(wrong)}: truncated or "
            f"replaced. These files were removed; try again. {_by_hand(card, folder)}"
        )
    os.replace(partial, folder)
    return folder


def _fetch_from_huggingface(card: EncoderCard, partial: Path) -> None:
    hub = import_optional("huggingface_hub", extra=card.extra, purpose=f"Downloading {card.name!r}")
    try:
        hub.snapshot_download(card.source, local_dir=partial, allow_patterns=list(_HUGGINGFACE_FILES))
    except errors_of(hub) as error:
        raise _not_downloaded(card, error) from error


def _fetch_from_mirror(card: EncoderCard, partial: Path) -> bool:
    """Whether the mirror gave all files with the expected hashes; otherwise they are fetched from `source`."""
    try:
        hub = import_optional("huggingface_hub", extra=card.extra, purpose=f"Downloading {card.name!r}")
        hub.snapshot_download(card.mirror, local_dir=partial, allow_patterns=list(card.sha256))
    except ImportError:
        return False
    except errors_of(hub):
        _removed_wrong_files(card, partial)
        return False
    return not _removed_wrong_files(card, partial) and all((partial / name).is_file() for name in card.sha256)


def _removed_wrong_files(card: EncoderCard, folder: Path) -> list[str]:
    """Names of files without the expected hash; they are removed, so that they are fetched again."""
    wrong = [
        name
        for name, expected in card.sha256.items()
        if (folder / name).is_file() and file_sha256(folder / name) != expected
    ]
    for name in wrong:
        (folder / name).unlink()
    return wrong


def _fetch_from_google_drive(card: EncoderCard, partial: Path) -> None:
    gdown = import_optional("gdown", extra=card.extra, purpose=f"Downloading {card.name!r}")
    try:
        gdown.download_folder(id=card.source, output=str(partial), quiet=True, resume=True)
    except (OSError, RuntimeError, gdown.exceptions.DownloadError) as error:
        raise _not_downloaded(card, error) from error


def _not_downloaded(card: EncoderCard, error: Exception) -> OSError:
    reason = str(error).strip().splitlines()[0][:200]
    return OSError(
        f"Could not download the encoder {card.name!r} ({reason}). {_by_hand(card, encoder_folder(card.folder_name))}"
    )


def _by_hand(card: EncoderCard, folder: Path) -> str:
    return (
        f"On a machine with a network, take {', '.join(_REQUIRED_FILES[card.kind])} and the files next to them from "
        f"{_HOSTS[card.origin]}{card.source} and put them into {folder}; or pass the path of a folder that has them."
    )
