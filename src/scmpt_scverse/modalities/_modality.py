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
from scmpt_scverse.pp import read_gene_names

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
        Name or folder of the encoder that makes it, or `"counts"`; `None` where an embedding that the user brings is
        taken as it is.
    options
        Options of that encoder.
    columns
        Names or numbers of the columns of an array that the user brings.
    """

    obsm_key: str
    embedding_dim: int
    encoder: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    columns: "StrArray | None" = None

    @property
    def is_counts(self) -> bool:
        """Whether its features are genes: expression itself, or an array that is read as it."""
        return self.encoder == COUNTS


def describe_encoders(
    encoders: "Mapping[str, EncoderLike]", obsm_columns: "Mapping[str, StrArray]", n_vars: int
) -> tuple[dict[str, dict[str, Any]], dict[str, Encoder]]:
    """Encoders as plain values, fit to be saved with a model; nothing is loaded for registered names.

    Parameters
    ----------
    encoders
        Modality to name, folder, encoder, class of encoders, or `{"encoder": one of these, **options}`.
    obsm_columns
        Modalities that the user brings, with the names or numbers of their columns. One that `encoders` gives as
        `"counts"` is read as expression of these genes.
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
    twice = {name for name in set(encoders) & set(obsm_columns) if _kind(encoders[name]) != COUNTS}
    if twice:
        raise ValueError(
            f"The modality {list_some(sorted(twice))} is given twice: by `encoders` and by `obsm_keys` of "
            f"`setup_anndata`. Drop one of them; {COUNTS!r} reads what you bring as expression of genes."
        )
    if not encoders and not obsm_columns:
        raise ValueError("There is no modality to fuse. Pass `encoders=`, or `obsm_keys=` to `SCMPT.setup_anndata`.")
    described, built = {}, {}
    for modality, given in encoders.items():
        check_name(modality, "modality")
        kind = _kind(given)
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
        elif modality in obsm_columns:
            _check_genes(modality, obsm_columns[modality])
            described[modality] = _describe(given, len(obsm_columns[modality]))
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
        Two modalities would share a key of `.obsm`, or expression itself has the name of an array of the user's.
    """
    for modality, key in obsm_keys.items():
        if key != COUNTS and key not in obsm_keys and described.get(key, {}).get("encoder") == COUNTS:
            raise ValueError(
                f"`encoders` says {COUNTS!r} for {key!r}, which would read the cells' own expression; {key!r} is "
                f"the modality {modality!r}. Pass {{{modality!r}: {COUNTS!r}}}, or another name."
            )
    from_encoders = {
        modality: Modality(
            obsm_keys.get(modality, embedding_key(row["name"])),
            row["embedding_dim"],
            row["encoder"],
            row["options"],
            obsm_columns.get(modality),
        )
        for modality, row in described.items()
    }
    own = {
        modality: Modality(key, len(obsm_columns[modality]), columns=obsm_columns[modality])
        for modality, key in obsm_keys.items()
        if modality not in described
    }
    modalities = from_encoders | own
    keys = [modality.obsm_key for modality in modalities.values()]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise ValueError(
            f"Two modalities share the key {list_some(twice)} of `.obsm`. Drop one, or give an encoder another "
            f"name: `{{'encoder': ..., 'name': ...}}`. {COUNTS!r} reads an array of yours under the name that "
            f"`setup_anndata` gave it; there are {list_some(obsm_keys)}."
        )
    return modalities


def _kind(given: "EncoderLike") -> Any:
    """The encoder itself, without its options."""
    return given.get("encoder") if isinstance(given, Mapping) else given


def _check_genes(modality: str, columns: "StrArray") -> None:
    """Raise `ValueError` where the columns of an array that is to be read as expression are no genes."""
    has_names = all(isinstance(name, str) for name in columns)
    names = read_gene_names(columns)
    if has_names and (names.has_symbols or names.by_ids() is not None):
        return
    found = names.unreadable() if has_names else "columns without names"
    raise ValueError(
        f"Expected names of genes in the modality {modality!r}, which {COUNTS!r} reads as expression; found {found}. "
        "Pass gene activities, as a modality of a MuData or a table of `.obsm`; other arrays are fused as they are, "
        "without an encoder."
    )


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
