"""Systems of gene identifiers that are not symbols, recognised by their form."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scmpt_scverse._gene_spelling import DATES

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class IdentifierSystem:
    """A system of identifiers.

    Attributes
    ----------
    name
        Name of the system, in the plural.
    pattern
        Regular expression for the whole identifier. Letter case is ignored for `CERTAIN_SYSTEMS` only.
    advice
        What to do with data that use such names.
    """

    name: str
    pattern: str
    advice: str = "Map them to gene symbols first."


_SUM_TRANSCRIPTS = "Sum the transcripts of each gene first (tximport does), and name genes by symbol."
_SUM_PROBES = "Map probes to gene symbols with the annotation of the array first."
_VERSION = r"(?:\.\d+)?"

ENSEMBL_GENES = IdentifierSystem(
    "Ensembl ids", rf"(?:ENS[A-Z]{{0,6}}G\d{{11}}|MGP_\w+_G\d{{7}}){_VERSION}(?:_PAR_Y)?(?:_at)?"
)
#: In a column with missing values, they read as `915.0`.
NUMBERS = IdentifierSystem("Entrez gene ids", r"(?:(?:entrez|geneid|ncbigene|ncbi_gene)\W?)?\d+(?:\.0)?")
#: Row numbers of a table that was written without its index.
ROW_NUMBERS = IdentifierSystem("row numbers", r"\d+", "")

#: Systems whose form is unambiguous: no gene symbol of any species looks like it.
CERTAIN_SYSTEMS = (
    ENSEMBL_GENES,
    IdentifierSystem("Ensembl transcript ids", rf"ENS[A-Z]{{0,6}}T\d{{11}}{_VERSION}(?:\|.*)?", _SUM_TRANSCRIPTS),
    IdentifierSystem("Ensembl protein or exon ids", rf"ENS[A-Z]{{0,6}}(?:P|E|R|FM|GT)\d{{11}}{_VERSION}"),
    IdentifierSystem("Havana ids", rf"OTT[A-Z]{{3,6}}[GTP]\d{{11}}{_VERSION}"),
    IdentifierSystem("RefSeq accessions", rf"(?:[NX][MRPGCTW]|[YWA]P)_\d{{4,}}{_VERSION}", _SUM_TRANSCRIPTS),
    IdentifierSystem("UCSC transcript ids", r"uc\d{3}[a-z]{3}\.\d+", _SUM_TRANSCRIPTS),
    IdentifierSystem("CCDS ids", rf"CCDS\d+{_VERSION}", _SUM_TRANSCRIPTS),
    IdentifierSystem("UniGene clusters", r"(?:Hs|Mm|Rn|Dr)\.\d{3,}"),
    NUMBERS,
    IdentifierSystem("HGNC ids", r"(?:HGNC:)+\d+"),
    IdentifierSystem("ids of Mouse Genome Informatics", r"(?:MGI:)+\d+"),
    IdentifierSystem("ids of the Rat Genome Database", r"RGD:\d+"),
    IdentifierSystem("ZFIN ids", r"ZDB-[A-Z]+-\d+-\d+"),
    IdentifierSystem("Xenbase ids", r"XB-GENE-\d+"),
    IdentifierSystem("FlyBase ids", r"FB(?:gn|tr|pp)\d{7}"),
    IdentifierSystem("WormBase ids", r"WBGene\d{8}"),
    IdentifierSystem("systematic names of yeast", r"Y[A-P][LR]\d{3}[WC](?:-[A-Z])?"),
    IdentifierSystem("TAIR locus ids", rf"AT[1-5CM]G\d{{5}}{_VERSION}"),
    IdentifierSystem("Illumina probe names", r"ILMN_\d+", _SUM_PROBES),
    IdentifierSystem("Affymetrix probe sets", r"AFFX[-_].*|\d+(?:_[a-z]+)*_[as]t|TC\w{6,}\.\w\w\.\d", _SUM_PROBES),
    IdentifierSystem("Agilent probe names", r"A_\d+_P\d+", _SUM_PROBES),
    IdentifierSystem("methylation probes", r"(?:cg|ch)\d{8}(?:_.*)?", "They do not measure gene expression."),
    IdentifierSystem("SNP ids", r"rs\d{4,}", "They do not measure gene expression."),
    IdentifierSystem(
        "genomic intervals (ATAC peaks)",
        r"chr\w+[:_-]\d+[-_]\d+|[\dXYMT]{1,2}[:_-]\d{4,}[-_]\d{4,}",
        "Pass the expression of genes, or gene activities.",
    ),
    IdentifierSystem(
        "loci of a transcript assembly",
        r"(?:XLOC|TCONS)_\d+|M?STRG(?:\.\d+)+",
        "Annotate the assembly (gffcompare does), and name genes by symbol.",
    ),
    IdentifierSystem(
        "UniProt entries",
        r"(?:sp|tr)\|\w+\|\w+|UniProt(?:KB)?:\w+|(?-i:[A-Z0-9]{1,10}_(?:HUMAN|MOUSE|RAT|DANRE|DROME|CAEEL|YEAST|ARATH))",
    ),
    IdentifierSystem(
        "dates that a spreadsheet made of symbols",
        DATES,
        "Take the symbols from a file that no spreadsheet has rewritten.",
    ),
)

#: Forms that symbols can also have (P2RY12, B3GNT2, AC012345.1): assumed only if most names of the data have them.
LIKELY_SYSTEMS = (
    IdentifierSystem(
        "UniProt accessions", r"(?:[OPQ]\d[A-Z0-9]{3}\d|[A-NR-Z]\d(?:[A-Z][A-Z0-9]{2}\d){1,2})(?:-\d{1,2})?"
    ),
    # CG12345 and CR12345 are symbols of fly genes.
    IdentifierSystem("GenBank accessions", rf"(?!C[GR])[A-Z]{{1,2}}\d{{5,6}}{_VERSION}", _SUM_TRANSCRIPTS),
)
_IN_MOST, _MIN_NAMES = 0.5, 3

#: Most symbols: short numbers, no punctuation. No first letter Y, since systematic names of yeast look like it.
_PLAIN = re.compile(r"(?!.*\d{4})[A-XZ][A-Za-z0-9]*")
_CERTAIN = re.compile("|".join(f"({system.pattern})" for system in CERTAIN_SYSTEMS), re.IGNORECASE)


def is_plain(name: str) -> bool:
    """Whether `name` can only be a symbol; `False` means that it needs a closer look."""
    return _PLAIN.fullmatch(name) is not None


def certain_system(name: str) -> IdentifierSystem | None:
    """The system in `CERTAIN_SYSTEMS` whose identifiers look like `name`, if any."""
    match = _CERTAIN.fullmatch(name)
    return None if match is None or match.lastindex is None else CERTAIN_SYSTEMS[match.lastindex - 1]


def likely_system(names: "Sequence[str]") -> IdentifierSystem | None:
    """The system in `LIKELY_SYSTEMS` whose identifiers more than half of `names` look like, if any."""
    for system in LIKELY_SYSTEMS if len(names) >= _MIN_NAMES else ():
        pattern = re.compile(system.pattern)
        if sum(pattern.fullmatch(name) is not None for name in names) > _IN_MOST * len(names):
            return system
    return None
