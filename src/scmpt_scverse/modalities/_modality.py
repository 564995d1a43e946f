"""Which modalities a model fuses, and where each comes from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from scmpt_scverse import encoders as registered
from scmpt_scverse._checks import check_name, check_positive, list_some
from scmpt_scverse._slots import embedding_key
from scmpt_scverse.encoders import CARDS, Encoder, name_and_dim

if TYPE_CHECKING:
    from scmpt_scverse._types import StrArray, StrPath

    EncoderLike: TypeAlias = StrPath | Encoder | type[Encoder] | Mapping[str, Any]

#: In place of an encoder's name: expression itself, without an encoder.
COUNTS = "counts"
_COUNTS_OPTIONS = {"n_genes": 4000}


@dataclass(frozen=True)
class Modality:
    """One modality of a model.

    Attributes
    ----------
    obsm_key
        Where its embedding stands; for expression itself, which is not written, `"X_counts"`.
    embedding_dim
        Its width.
    encoder
        Name or folder of the encoder that makes it; `None` where the user brings the embedding.
    options
        Options of that encoder.
    columns
        Names or numbers of the columns of an embedding that the user brings.
    """

    obsm_key: str
    embedding_dim: int
    encoder: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    columns: "StrArray | None" = None

    @property
    def is_counts(self) -> bool:
        """Whether its features are genes: expression itself."""
        return self.encoder == COUNTS


def describe_encoders(
    encoders: "Mapping[str, EncoderLike]", obsm_keys: Mapping[str, str], n_vars: int
) -> tuple[dict[str, dict[str, Any]], dict[str, Encoder]]:
    """Encoders as plain values, fit to be saved with a model; nothing is loaded for registered names.

    Parameters
    ----------
    encoders
        Modality to name, folder, encoder, class of encoders, or `{"encoder": one of these, **options}`.
    obsm_keys
        Modalities that the user brings.
    n_vars
        Genes of the data, of which expression itself cannot take more.

    Returns
    -------
    Modality to `{"encoder", "options", "name", "embedding_dim"}`, and the encoders that exist already.
    """
    if not isinstance(encoders, Mapping):
        raise TypeError(
            "`encoders` must map modalities to encoders, such as {'text': 'minilm', 'expression': 'scgpt-mini'}; found "
            f"{encoders!r}."
        )
    twice = set(encoders) & set(obsm_keys)
    if twice:
        raise ValueError(
            f"The modality {list_some(sorted(twice))} is given twice: by `encoders` and by `obsm_keys` of "
            "`setup_anndata`. Drop one of them."
        )
    if not encoders and not obsm_keys:
        raise ValueError("There is no modality to fuse. Pass `encoders=`, or `obsm_keys=` to `SCMPT.setup_anndata`.")
    described, built = {}, {}
    for modality, given in encoders.items():
        check_name(modality, "modality")
        kind = given.get("encoder") if isinstance(given, Mapping) else given
        if isinstance(kind, Encoder | type):
            options = dict(given) if isinstance(given, Mapping) else {}
            options.pop("encoder", None)
            encoder = built[modality] = registered.get(kind, **options)
            described[modality] = {
                "encoder": encoder.name,
                "options": {},
                "name": encoder.name,
                "embedding_dim": encoder.embedding_dim,
            }
        else:
            described[modality] = _describe(given, n_vars)
    return described, built


def modalities_of(
    described: Mapping[str, Mapping[str, Any]], obsm_keys: Mapping[str, str], obsm_columns: "Mapping[str, StrArray]"
) -> dict[str, Modality]:
    """All modalities in the order in which they are fused: those of encoders, then those of the user.

    Raises
    ------
    ValueError
        Two modalities would share a key of `.obsm`.
    """
    from_encoders = {
        modality: Modality(embedding_key(row["name"]), row["embedding_dim"], row["encoder"], row["options"])
        for modality, row in described.items()
    }
    own = {
        modality: Modality(key, len(obsm_columns[modality]), columns=obsm_columns[modality])
        for modality, key in obsm_keys.items()
    }
    modalities = from_encoders | own
    keys = [modality.obsm_key for modality in modalities.values()]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise ValueError(
            f"Two modalities share the key {list_some(twice)} of `.obsm`. Drop one, or give an encoder another "
            "name: `{'encoder': ..., 'name': ...}`."
        )
    return modalities


def _describe(given: "EncoderLike", n_vars: int) -> dict[str, Any]:
    if isinstance(given, Mapping) and {"encoder", "options", "name", "embedding_dim"} == set(given):
        return dict(given)  # from a saved model, whose folder need not exist here
    options = dict(given) if isinstance(given, Mapping) else {}
    encoder = options.pop("encoder", None) if isinstance(given, Mapping) else given
    if not isinstance(encoder, str | PathLike):
        raise TypeError(
            "An encoder must be a name, a hub id, a folder, an `Encoder`, or {'encoder': one of these, **options}; "
            f"found {given!r}."
        )
    if encoder == COUNTS:
        return _describe_counts(options, n_vars)
    # A folder is kept with its whole path, so that a saved model finds it from any working directory.
    encoder = (
        str(Path(encoder).resolve()) if Path(encoder).is_dir() and fspath(encoder) not in CARDS else fspath(encoder)
    )
    options = {key: _plain(key, value) for key, value in options.items()}
    name, embedding_dim = name_and_dim(encoder, **options)
    return {"encoder": encoder, "options": options, "name": name, "embedding_dim": embedding_dim}


def _plain(option: str, value: Any) -> object:
    """An option of an encoder as a value that can be saved; files with their whole path, like folders."""
    if isinstance(value, PathLike) or (option == "gene_texts" and Path(str(value)).is_file()):
        return str(Path(value).expanduser().resolve())
    is_plain = value is None or isinstance(value, str | int | float)
    if not is_plain and not (isinstance(value, list | tuple) and all(isinstance(item, int) for item in value)):
        raise TypeError(
            f"The option `{option}` of an encoder is saved with the model, so it must be a text, a number or several "
            f"numbers; found {type(value).__name__}. Write the table to a file and pass its path, or embed with "
            "`tl.embed` and pass `obsm_keys=`."
        )
    return value


def _describe_counts(options: Mapping[str, Any], n_vars: int) -> dict[str, Any]:
    unknown = set(options) - set(_COUNTS_OPTIONS)
    if unknown:
        raise TypeError(f"{COUNTS!r} has no option {list_some(sorted(unknown))}. Pass `n_genes` or nothing.")
    options = _COUNTS_OPTIONS | dict(options)
    check_positive(options["n_genes"], "n_genes")
    if n_vars == 0:
        raise ValueError(f"The modality {COUNTS!r} reads expression; the data have no genes.")
    return {
        "encoder": COUNTS,
        "options": options,
        "name": COUNTS,
        "embedding_dim": min(options["n_genes"], n_vars),
    }
