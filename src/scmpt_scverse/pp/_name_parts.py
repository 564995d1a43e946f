"""Text that pipelines attach to gene symbols: a genome, an identifier, a transcript, a number to make names unique."""

import re
from collections import Counter
from dataclasses import dataclass

_ASSEMBLIES = {
    "human": r"GRCh\d+|hg\d+|(?:T2T-)?CHM13(?:v\d(?:\.\d)?)?",
    "mouse": r"GRCm\d+|mm\d+",
    "rat": r"mRatBN\d\.\d|Rnor_\d\.\d|rn\d+",
    "zebrafish": r"GRCz\d+|danRer\d+",
    "fly": r"BDGP\d+|dm\d+",
    "worm": r"WBcel\d+|ce\d+",
    "pig": r"Sscrofa\d+(?:\.\d)?|susScr\d+",
    "macaque": r"Mmul_\d+|rheMac\d+",
    "chicken": r"GRCg\d\w?|galGal\d+",
}
_SPECIES = {"human": r"[Hh]uman|HUMAN|[Hh]omo[_. -]?sapiens", "mouse": r"[Mm]ouse|MOUSE|[Mm]us[_. -]?musculus"}
#: Letters after `ENS` in Ensembl identifiers.
_ENSEMBL_SPECIES = {"": "human", "MUS": "mouse", "RNO": "rat", "DAR": "zebrafish", "SSC": "pig", "MMU": "macaque"}
#: Patch, 10x Genomics release, and whether introns count, as in `GRCh38.p13`, `GRCh38-2020-A`, `hg19_premrna`.
_RELEASE = r"(?:\.p\d+)?(?:-\d{4}-[A-Z])?(?:[-_]\d\.\d\.\d)?(?:[-_]+pre-?mrna)?"
_SEPARATOR = r"[_|:;,/.\-]+"


def _one_of(patterns: "dict[str, str]") -> str:
    return "|".join(f"(?P<{species}>{pattern})" for species, pattern in patterns.items())


_GENOME_FIRST = re.compile(
    f"(?:{_one_of({**_ASSEMBLIES, **{s: f'{_ASSEMBLIES[s]}|{p}' for s, p in _SPECIES.items()}})})"
    rf"{_RELEASE}{_SEPARATOR}(?P<rest>.+)"
)
_GENOME_LAST = re.compile(f"(?P<rest>.+?){_SEPARATOR}(?:{_one_of(_ASSEMBLIES)}){_RELEASE}")
_IDENTIFIER = (
    r"(?P<id>ENS(?P<species>[A-Z]{0,6})[GT]\d{11}(?:\.\d+)?(?:_PAR_Y)?|FB(?:gn|tr)\d{7}|WBGene\d{8}|"
    r"[NX][MR]_\d{6,}(?:\.\d+)?|OTT[A-Z]{3,6}[GT]\d{11}(?:\.\d+)?|(?:HGNC|MGI|RGD):\d+)"
)
_ENSEMBL = re.compile(r"(?:^|[^A-Za-z0-9])ENS(?P<species>[A-Z]{0,6})[GT]\d{11}(?!\d)", re.IGNORECASE)
_IDENTIFIER_FIRST = re.compile(rf"{_IDENTIFIER}(?:\s*{_SEPARATOR}\s*|\s+)[(\[]?(?P<rest>.+?)[)\]]?", re.IGNORECASE)
_IDENTIFIER_LAST = re.compile(
    rf"(?P<rest>.*?)(?:\s*{_SEPARATOR}|\s*[(\[]|\s+){_IDENTIFIER}[)\]]?(?:[-.]\d{{1,3}})?", re.IGNORECASE
)
#: `CD3D|915` (TCGA), `CD3D (915)` (DepMap), `915|CD3D`.
_ENTREZ_LAST = re.compile(r"(?P<rest>.+?)\s*[|(]\s*(?P<id>\d+)\)?")
_ENTREZ_FIRST = re.compile(r"(?P<id>\d+)\|(?P<rest>.+)")
_MAY_HOLD_IDENTIFIER = re.compile(r"\d{5}|[|(:]")
#: Transcripts: CD3D-201 and CD3D-202 in Ensembl, CD3D-001 in Havana.
_TRANSCRIPT = re.compile(r"(?P<rest>.+)-[02]\d\d")
_COUNTER = re.compile(r"(?P<rest>.+)[-.]\d{1,3}")
_SHARED = re.compile(r"[A-Za-z][A-Za-z0-9.-]*(?:[_:|]+|(?<=^gene)-)")
#: A part of unknown meaning is no part of the symbol if this share of names has it, of at least so many names.
_IN_ALL, _MIN_NAMES = 0.95, 20


@dataclass(frozen=True)
class Part:
    """A name split into the part attached to it and the rest.

    Attributes
    ----------
    rest
        The name without the part.
    attached
        The part, without separator.
    species
        Species of the gene, if the part states it.
    """

    rest: str
    attached: str
    species: str | None = None


def species_of_id(name: str) -> str | None:
    """The species of the genome or Ensembl id in a name, whether attached to a symbol or alone."""
    if (genome := genome_of(name)) is not None:
        return genome.species
    if (match := _ENSEMBL.search(name)) is None:
        return None
    letters = match["species"].upper()
    return _ENSEMBL_SPECIES.get(letters, f"ENS{letters}")


def genome_of(name: str) -> Part | None:
    """Split a name with a genome before or after it, such as `GRCh38_CD3D` and `mm10___Cd3d`."""
    match = _GENOME_FIRST.fullmatch(name) or _GENOME_LAST.fullmatch(name)
    if match is None:
        return None
    found = {key: value for key, value in match.groupdict().items() if value is not None}
    rest = found.pop("rest")
    ((species, genome),) = found.items()
    return Part(rest, genome, species)


def identifier_of(name: str) -> Part | None:
    """Split a name with an identifier before or after it, such as `CD3D_ENSG00000167286` and `CD3D|915`."""
    if _MAY_HOLD_IDENTIFIER.search(name) is None:
        return None
    if match := _IDENTIFIER_FIRST.fullmatch(name) or _IDENTIFIER_LAST.fullmatch(name):
        letters = match["species"]
        species = None if letters is None else _ENSEMBL_SPECIES.get(letters.upper(), f"ENS{letters}")
        return Part(match["rest"], match["id"], species)
    match = _ENTREZ_LAST.fullmatch(name) or _ENTREZ_FIRST.fullmatch(name)
    return None if match is None else Part(match["rest"], match["id"])


def without_prefix(names: list[str]) -> list[str]:
    """The names without a prefix, up to a separator, that nearly all of them have, as in `rna_CD3D`."""
    given = [name for name in names if name]
    found = Counter(match.group() for match in map(_SHARED.match, given) if match is not None)
    if len(given) < _MIN_NAMES or not found:
        return names
    prefix, count = found.most_common(1)[0]
    rests = [name.removeprefix(prefix) for name in names]
    # Numbers after it (gene_1, gene_2) are not symbols.
    n_words = sum(rest[:1].isalpha() and len(rest) > 1 for rest in rests)
    return rests if min(count, n_words) >= _IN_ALL * len(given) else names


def without_transcripts(names: list[str]) -> list[str]:
    """The names without transcript numbers if nearly all have one, as in `CD3D-201`."""
    found = [_TRANSCRIPT.fullmatch(name) for name in names]
    n_given = sum(name != "" for name in names)
    if n_given < _MIN_NAMES or sum(match is not None for match in found) < _IN_ALL * n_given:
        return names
    return [name if match is None else match["rest"] for name, match in zip(names, found, strict=True)]


def without_counters(names: list[str]) -> list[str]:
    """The names without the number that made them unique: `CD3D-1` (anndata) or `CD3D.1` (R), if `CD3D` is present.

    Symbols such as NKX2-1 and clones such as AC012345.1 stay: there is no name without the number.
    """
    present = set(names)

    def original(name: str) -> str:
        match = _COUNTER.fullmatch(name)
        return original(match["rest"]) if match is not None and match["rest"] in present else name

    return [original(name) for name in names]
