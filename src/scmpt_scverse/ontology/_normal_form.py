"""Spellings of one name brought together."""

import re

#: What people write for short, by word.
_ABBREVIATIONS = {
    "dc": "dendritic",
    "dcs": "dendritic",
    "mono": "monocyte",
    "monos": "monocyte",
    "nk": "natural killer",
    "treg": "regulatory t",
    "tregs": "regulatory t",
}
#: What names of the ontology say of CD4 and CD8 T cells, and labels take for granted.
_OF_T_CELLS = frozenset({"positive", "alpha", "beta", "thymus", "derived"})


def normal_form(name: str) -> str:
    """A name in lower case and singular, `CD14+` as `CD14-positive`, words in alphabetical order, marks left out.

    Of CD4 and CD8 T cells, that they are positive, alpha-beta and from the thymus is left out, too.
    """
    text = name.lower()
    text = re.sub(r"(?<=[a-z0-9])\+", "-positive ", text)
    text = re.sub(r"(?<=\d)-(?=[\s/,]|$)", "-negative ", text)
    words = [_singular(_ABBREVIATIONS.get(word, word)) for word in re.findall(r"[a-z0-9]+", text)]
    words = " ".join(words).split()
    if "t" in words and {"cd4", "cd8"} & set(words):
        words = [word for word in words if word not in _OF_T_CELLS]
    return " ".join(sorted(words))


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word
