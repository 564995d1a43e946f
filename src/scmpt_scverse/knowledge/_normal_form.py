"""The normal form that spelling variants of a cell type's name share."""

import re
import unicodedata

#: Common abbreviations, by word.
_ABBREVIATIONS = {
    "cdc": "conventional dendritic",
    "cdcs": "conventional dendritic",
    "dc": "dendritic",
    "dcs": "dendritic",
    "hsc": "hematopoietic stem",
    "hscs": "hematopoietic stem",
    "microglia": "microglial",
    "mono": "monocyte",
    "monos": "monocyte",
    "nk": "natural killer",
    "opc": "oligodendrocyte precursor",
    "opcs": "oligodendrocyte precursor",
    "pdc": "plasmacytoid dendritic",
    "pdcs": "plasmacytoid dendritic",
    "treg": "regulatory t",
    "tregs": "regulatory t",
}
#: Greek letters, which the ontology writes out, and the dashes that stand for a hyphen.
_SPELLED = str.maketrans(
    {letter: f" {name} " for letter, name in zip("αβγδε", ("alpha", "beta", "gamma", "delta", "epsilon"), strict=True)}
    | dict.fromkeys("−–‐‑", "-")
)
#: Words that the ontology uses in names of CD4 and CD8 T cells, but labels usually omit.
_IMPLIED_OF_T_CELLS = frozenset({"alpha", "beta", "thymus", "derived"})
#: A word, with the level of a marker that follows it: `cd14-positive` is one word.
_WORD = re.compile(r"([^\W_]+)(?:[\s-]+(positive|negative|low|high|dim|bright|intermediate)\b)?")


def normal_form(name: str) -> str:
    """The normal form that spelling variants of a name share.

    Lower case, singular, abbreviations and Greek letters written out, no accents, words in alphabetical order,
    punctuation dropped. A marker and its level are one word (`CD14+` is `cd14-positive`), so that `CD14+ CD16-` and
    `CD14- CD16+` stay apart. For CD4 and CD8 T cells, `positive`, `alpha-beta` and `thymus-derived` are dropped.
    """
    text = name.lower()
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text.translate(_SPELLED))
        text = "".join(letter for letter in text if not unicodedata.combining(letter))
    text = re.sub(r"(?<=[a-z0-9])\+", "-positive ", text)
    text = re.sub(r"(?<=\d)-(?=[\s/,]|$)", "-negative ", text)
    words = []
    for word, level in _WORD.findall(text):
        full = " ".join(map(_singular, _ABBREVIATIONS.get(word, word).split()))
        words += f"{full}-{level}".split() if level else full.split()
    if "t" in words:
        bare = [word.removesuffix("-positive") for word in words]
        if {"cd4", "cd8"} & set(bare):
            words = [word for word in bare if word not in _IMPLIED_OF_T_CELLS]
    return " ".join(sorted(words))


def distinctive_words(form: str) -> frozenset[str]:
    """The words of a normal form by which names are compared: without `cell`, markers separated from their levels."""
    return frozenset(form.replace("-", " ").split()) - {"cell"}


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word
