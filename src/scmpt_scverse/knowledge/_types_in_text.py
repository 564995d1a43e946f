"""Cell types that a text names."""

import re

from scmpt_scverse.knowledge._cell_ontology import ROOT, CellOntology
from scmpt_scverse.knowledge._normal_form import normal_form

#: Most words of a name that is looked for; nearly all names in the ontology have fewer.
_MOST_WORDS = 9
#: A word of a name: `CD4-positive,` with its comma, `alpha-beta`, `T`.
_WORD = re.compile(r"[^\s()\[\].;:!?]+(?:\.\d+)?")
#: Normal forms that do not count as types: too general, and found in every sentence.
_NO_TYPE = frozenset({"cell", "eukaryotic cell", "animal cell", "cell native"})
#: Words with fewer letters are taken as abbreviations.
_SHORTEST = 5


def types_in_text(text: str, ontology: CellOntology) -> dict[str, frozenset[str]]:
    """Names of cell types in a text, each with the ids of its terms, in the order of the text.

    Parameters
    ----------
    text
        English, of any length.
    ontology
        Whose names and exact synonyms are found, in any case, number and word order. Of overlapping names, the one that
        begins first, and of these the longest, counts: `CD4-positive T cell` is not also a `T cell`.
    """
    words = list(_WORD.finditer(text))
    found: dict[str, frozenset[str]] = {}
    place = 0
    while place < len(words):
        for n_words in range(min(_MOST_WORDS, len(words) - place), 0, -1):
            last = words[place + n_words - 1]
            between = text[words[place].start() : last.end()]
            # A name does not go on after a full stop, nor end with the comma of a list.
            if n_words > 1 and re.search(r"[()\[\].;:!?](?!\d)", between):
                continue
            name = between.strip(",'\"")
            ids = _ids(name, ontology)
            if ids:
                found.setdefault(name, ids)
                place += n_words
                break
        else:
            place += 1
    return found


def _ids(name: str, ontology: CellOntology) -> frozenset[str]:
    form = normal_form(name)
    words = form.split()
    if form in _NO_TYPE:
        return frozenset()
    if "cell" not in words and max(map(len, words), default=0) < _SHORTEST:
        # Abbreviations among the synonyms, such as `A-like` and `arc`, count only as spelled there.
        return frozenset(ontology.ids_by_synonym.get(name, ()))
    return frozenset(ontology.ids_by_normal_form.get(form, ())) - {ROOT}
