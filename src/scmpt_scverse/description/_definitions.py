"""Definitions of the Cell Ontology without what they say of genes, which need not hold in the cells at hand."""

import re
from collections.abc import Sequence

from scmpt_scverse.knowledge import CellOntology, GeneFinder, named_genes

#: Where a sentence can end before a gene is named.
_BOUNDARY = re.compile(r",? (?:and|or|but|that|which|who|with|as well as|characterized by|defined by|having)\b|[,;:]")
#: `a(n) epithelial cell`, as definitions have it that were made by a pattern.
_EITHER_ARTICLE = re.compile(r"\b([Aa])\(n\)(?= +([A-Za-z]))")
_WRONG_ARTICLE = re.compile(r"\b([Aa])(?= (?:[aio]|e(?!u)))")
_IN_PARENTHESES = re.compile(r"\s*\([^()]*\)")
_SENTENCE_END = re.compile(r"\.(?=\s|$)")
#: Fewer words say no more than the name.
_FEWEST_WORDS = 5
#: What cannot be the end of a sentence.
_OPEN_END = re.compile(
    r"(?:\s+(?:a|an|the|of|in|by|to|from|for|is|are|be|being|has|have|its|their|expresses|expressing|express|markers?"
    r"|not|both|also|either|phenotype|surface|cell surface|lineage|high|low))+$"
)


def stated_definition(identifier: str, ontology: CellOntology, names: GeneFinder) -> str:
    """The first sentence of the definition of a term, up to the first gene that it names.

    Parameters
    ----------
    identifier
        Of the term.
    ontology
        Where it is.
    names
        Finds genes.

    Returns
    -------
    Begins in lower case with `a` or `an` as in the ontology, without a full stop; without a definition that says
    anything beside genes, what the term is a kind of; `""` for the root.
    """
    term = ontology.terms[identifier]
    parents = [ontology.terms[each].name for each in ontology.path(identifier)[:-1]]
    definition = _EITHER_ARTICLE.sub(lambda found: found[1] + "n" * (found[2] in "aeiouAEIOU"), term.definition)
    sentence = _SENTENCE_END.split(_IN_PARENTHESES.sub("", definition), maxsplit=1)[0].strip()
    sentence = re.sub(rf"^(?:an? )?{re.escape(term.name)} is (?=an? )", "", sentence, flags=re.IGNORECASE)
    own_names = [term.name, *term.synonyms, *parents]
    kept = _WRONG_ARTICLE.sub(r"\1n", _before_genes(sentence, own_names, names))
    if len(kept.split()) >= _FEWEST_WORDS:
        return kept[0].lower() + kept[1:] if kept.split()[0] in {"A", "An", "Any", "The"} else kept
    return f"a kind of {parents[-1]}" if parents else ""


def _before_genes(sentence: str, own_names: Sequence[str], names: GeneFinder) -> str:
    """A sentence up to the last boundary before a gene; names of the type itself are no genes."""
    masked = sentence
    for name in sorted(own_names, key=len, reverse=True):
        masked = re.sub(re.escape(name), lambda found: "x" * len(found[0]), masked, flags=re.IGNORECASE)
    mentions = named_genes(masked, names)
    if not mentions:
        return sentence
    ends = [found.start() for found in _BOUNDARY.finditer(masked, 0, mentions[0].start)]
    return _OPEN_END.sub("", sentence[: ends[-1]].rstrip(" ,;:")) if ends else ""
