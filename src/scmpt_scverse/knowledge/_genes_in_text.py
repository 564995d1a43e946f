"""Genes that a text names as markers of a cell type, and those that it says are not expressed."""

import re
from collections.abc import Iterable

from scmpt_scverse.knowledge._gene_names import GeneNames, plain
from scmpt_scverse.knowledge._gene_signs import signs_of

_SENTENCE_END = re.compile(r"[.;!?](?=\s|$)|\n")


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
    A symbol with a digit is found in any case; one without, only in capitals or as `EpCAM`, since CAT, REST and SET
    are words. Symbols that are also abbreviations of cells or places (APC, CA1) count where the text speaks of
    expression. Proteins stand for their genes: CD3 for CD3D, CD3E and CD3G, CD20 for MS4A1; isoforms such as CD45RA,
    which counts of genes do not tell apart, for none. Names of hormones and the like count after `secretes`,
    `expresses` or a similar word.

    Examples
    --------
    >>> from scmpt_scverse import knowledge
    >>> knowledge.genes_in_text("Expresses CD20 and REST, negative for CD8.", ["CD8A", "MS4A1", "REST", "SET"])
    ['MS4A1', 'REST']
    """
    return [symbol for symbol, sign in signed_genes(text, GeneNames(genes)).items() if sign > 0]


def signed_genes(text: str, names: GeneNames) -> dict[str, int]:
    """Symbols that a text names: 1 for expressed, -1 for not expressed; others are left out."""
    found: dict[str, int] = {}
    for sentence in _SENTENCE_END.split(plain(text)):
        mentions = list(names.mentions(sentence))
        for mention, sign in zip(mentions, signs_of(mentions, sentence), strict=True):
            if sign:
                for symbol in mention.symbols:
                    found.setdefault(symbol, sign)
    return found
