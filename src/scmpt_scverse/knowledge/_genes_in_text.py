"""Genes that a text names as markers of a cell type, and those that it says are not expressed."""

import re
from collections.abc import Iterable
from dataclasses import replace

from scmpt_scverse.knowledge._gene_finder import GeneFinder, Mention, plain
from scmpt_scverse.knowledge._gene_signs import signs_of
from scmpt_scverse.knowledge._protein_names import WORDS

_SENTENCE_END = re.compile(r"[.;!?](?=\s|$)|\n")
#: Words that are spelled like a gene: capitals with digits or more capitals, perhaps with a hyphen; or a mouse gene.
_LIKE_A_GENE = re.compile(
    r"(?<![A-Za-z0-9./-])(?:[A-Z][A-Za-z]?[A-Z0-9]+[A-Za-z0-9]*(?:-[A-Z0-9]+)?|[A-Z][a-z]{2,4}\d+[a-z]?\d*)(?![A-Za-z0-9])"
)
#: Those of them that are not genes: molecules, cells, places, Roman numerals.
_NO_GENE = re.compile(
    r"[IVX]+|M[012][a-d]?|T[hH]\d+|[RD]NA|mRNA|MHC-?I*|HLA|TCR|BCR|ATP|GABA|NKT?|ILC\d?|MAIT|p?DCs?|cDC\d|PBMCs?|CNS|GI|UMIS?"
)
#: Words that say nothing about a cell apart from the genes that are named.
_EMPTY_WORD = re.compile(
    r"(?:co-?)?express\w*|positiv\w*|negativ\w*|markers?|genes?|proteins?|transcripts?|cells?|types?|populations?|"
    r"lack\w*|absen\w+|without|high(?:ly)?|low|hi|lo|dim|bright|levels?|strong(?:ly)?|weak(?:ly)?|"
    r"an?|the|and|or|but|not?|nor|neither|never|of|for|in|with|that|which|who|whose|are|is|has|have|do|does|both|also|"
    r"as|well|all|any|either|their|its|it|they|these|those|such|find|show|by|at|only|"
    r"my|our|one|other|another|odd|new|clusters?|groups?|subsets?|states?|class|labels?|candidates?",
    re.IGNORECASE,
)


def genes_in_text(text: str, genes: Iterable[str]) -> list[str]:
    """Gene symbols that a text names as expressed.

    Parameters
    ----------
    text
        A description in English, such as `"B cells that express CD20 and lack CD3"`.
    genes
        Symbols to find, such as those of a data set.

    Returns
    -------
    Symbols, as spelled in `genes`, in the order of the text, each once. Genes that the text says are absent or low
    (`"negative for CD8"`, `"CD8-"`, `"CD8low"`), and names followed by `receptor`, `ligand` and the like, do not count.

    Notes
    -----
    A symbol with a digit is found in upper and lower case; one without a digit, only if it is capitalised like a
    symbol (`EPCAM`, `EpCAM`); and one that is also an English word (CAT, REST, SET), only if all its letters are
    capitals. Symbols that are also abbreviations of cells or places (APC, CA1) count only where the text is about
    expression. Proteins stand for their genes: CD3 for CD3D, CD3E and CD3G, CD20 for MS4A1; isoforms such as CD45RA,
    which gene counts cannot distinguish, stand for none. Names of hormones and the like count after `secretes`,
    `expresses` or a similar word.

    Examples
    --------
    >>> from scmpt_scverse import knowledge
    >>> knowledge.genes_in_text("Expresses CD20 and REST, negative for CD8.", ["CD8A", "MS4A1", "REST", "SET"])
    ['MS4A1', 'REST']
    """
    return [symbol for symbol, sign in signed_genes(text, GeneFinder(genes)).items() if sign > 0]


def says_only_genes(text: str, genes: Iterable[str]) -> bool:
    """Whether a text names genes and says nothing else about a cell, as `"expresses CD3D and CD3E"` does."""
    names, text = GeneFinder(genes), plain(text)
    mentions = named_genes(text, names)
    rest = list(text)
    for mention in mentions:
        rest[mention.start : mention.end + len(mention.level)] = " " * (
            mention.end + len(mention.level) - mention.start
        )
    words = re.findall(r"[^\W\d_]+(?:-[^\W\d_]+)*", "".join(rest))
    return bool(mentions) and all(_EMPTY_WORD.fullmatch(word) for word in words)


def named_genes(text: str, names: GeneFinder) -> list[Mention]:
    """Every mention of a gene or protein in a text, whatever the text says about it, from left to right.

    Words that are spelled like a gene but are none of the genes searched for have no symbols.
    """
    text = plain(text)
    return sorted([*names.mentions(text), *_unfamiliar(text, names)], key=lambda each: each.start)


def unknown_genes(text: str, names: GeneFinder) -> list[str]:
    """Names in a text that look like genes, expressed or not, but are none of the genes searched for."""
    unknown: list[str] = []
    for sentence in _SENTENCE_END.split(plain(text)):
        mentions = named_genes(sentence, names)
        # A negated name counts as a gene even if the sentence is not about expression.
        denied = signs_of([replace(each, needs_context=False) for each in mentions], sentence)
        signs = [sign or min(no, 0) for sign, no in zip(signs_of(mentions, sentence), denied, strict=True)]
        unknown += [
            sentence[each.start : each.end]
            for each, sign in zip(mentions, signs, strict=True)
            if sign and not each.symbols
        ]
    return list(dict.fromkeys(unknown))


def _unfamiliar(text: str, names: GeneFinder) -> list[Mention]:
    """Words that are spelled like a gene but are none of the genes searched for."""
    known = {place for each in names.mentions(text) for place in range(each.start, each.end)}
    return [
        Mention((), found.start(), found.end(), needs_context=True)
        for found in _LIKE_A_GENE.finditer(text)
        if not known.intersection(range(*found.span()))
        and not _NO_GENE.fullmatch(found[0])
        and found[0].lower() not in WORDS
        and (re.search(r"\d", found[0]) or len(found[0]) > 2)
    ]


def signed_genes(text: str, names: GeneFinder) -> dict[str, int]:
    """Symbols that a text names: 1 for expressed, -1 for not expressed; others are left out. First mentions decide."""
    found: dict[str, int] = {}
    for sentence in _SENTENCE_END.split(plain(text)):
        mentions = named_genes(sentence, names)  # others, too: they may stand between genes of one list
        for mention, sign in zip(mentions, signs_of(mentions, sentence), strict=True):
            if sign:
                for symbol in mention.symbols:
                    found.setdefault(symbol, sign)
    return found
