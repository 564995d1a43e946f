"""Names of genes and proteins in a text, with their positions."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from scmpt_scverse.knowledge._protein_names import ABBREVIATIONS, WORDS, protein_genes, protein_words

#: Greek letters, superscripts, dashes and apostrophes in texts about markers, each replaced by one plain character.
_PLAIN = str.maketrans("αβγδεκλμµΑΒΓΔ⁺⁻−–—‐‑’", "abgdeklmmABGD+------'")
#: Letters and digits with hyphens, points or slashes in between, but not at the end: `HLA-DRA`, `NKX2.1`, `OCT3/4`.
#: Names have four parts at most (`ROR-gamma-t`); longer runs are lists, such as `CD3-CD19-CD56-`.
_RUN = re.compile(r"[A-Za-z0-9]+(?:[-./][A-Za-z0-9]+){0,3}")
_JOINT = re.compile(r"[-./]")
_PIECE_END = re.compile(r"(?<=[A-Za-z0-9])(?=[-./]|$)")
#: An expression level without a space before it: `CD62Llo`.
_GLUED_LEVEL = re.compile(r"(?<=[A-Za-z0-9])(?:positive|negative|bright|high|low|dim|neg|pos|int|hi|lo)$")
#: The rest of an abbreviated list of related genes: `S100A8/A9`, `CD3D/E/G`.
_RELATIVE = re.compile(r"/([A-Za-z0-9]{1,3})(?![A-Za-z0-9])")
#: Words that are in capitals only where the whole sentence is.
_SHOUTED = re.compile(r"\b(?:THE|OF|AND|OR|THAT|WITH|CELLS?|ARE|WHICH|FROM|EXPRESS\w*)\b")


@dataclass(frozen=True)
class Mention:
    """A name in a sentence.

    Attributes
    ----------
    symbols
        Genes that it stands for, spelled as in the genes searched for; empty for a protein of other genes.
    start, end
        Start and end in the sentence, in characters.
    level
        Expression level that follows it without a space, such as `"lo"`.
    needs_context
        Whether it also has another meaning, so that it counts only where the sentence is about expression.
    """

    symbols: tuple[str, ...]
    start: int
    end: int
    level: str = ""
    needs_context: bool = False


class GeneFinder:
    """Finds given genes in sentences.

    Parameters
    ----------
    genes
        Symbols to find.
    """

    def __init__(self, genes: Iterable[str]) -> None:
        self._exact = frozenset(genes)
        self._by_form: dict[str, str] = {}
        for symbol in sorted(self._exact, key=lambda symbol: (symbol != symbol.upper(), symbol)):
            self._by_form.setdefault(_form(symbol), symbol)

    def __len__(self) -> int:
        return len(self._exact)

    def __iter__(self) -> Iterator[str]:
        return iter(self._exact)

    def symbols(self, name: str) -> tuple[str, ...]:
        """The genes that the name of a gene or protein, in any spelling, stands for."""
        if name in self._exact:
            return (name,)
        form = _form(plain(name))
        if form in self._by_form:
            return (self._by_form[form],)
        genes = (self._by_form.get(_form(symbol)) for symbol in protein_genes().get(form, ()))
        return tuple(symbol for symbol in genes if symbol is not None)

    def mentions(self, text: str) -> Iterator[Mention]:
        """Mentions in a sentence that :func:`plain` has simplified, from left to right."""
        is_shouted = bool(_SHOUTED.search(text))
        first = len(text) - len(text.lstrip())
        position = 0
        while run := _RUN.search(text, position):
            mention = self._mention_at(text, run, first, is_shouted)
            position = run.end() if mention is None else mention.end + len(mention.level)
            if mention is None:
                inner = _JOINT.search(text, run.start(), run.end())  # `pro-SFTPC`: a name may begin after a hyphen
                position = inner.end() if inner else run.end()
                continue
            yield mention
            while relative := _RELATIVE.match(text, position):
                symbols = self._relatives(mention.symbols, relative[1])
                if not symbols:
                    break
                mention = Mention(symbols, relative.start(1), relative.end(1))
                position = relative.end()
                yield mention

    def _mention_at(self, text: str, run: re.Match[str], first: int, is_shouted: bool) -> Mention | None:
        """The longest name at the start of a run."""
        following = _RUN.match(text, run.end() + 1) if text[run.end() : run.end() + 1] == " " else None
        if following is not None and _form(run[0] + following[0]) in protein_genes():
            return self._protein(run[0] + following[0], run.start(), following.end())
        for piece in reversed(list(_PIECE_END.finditer(run[0]))):
            name = run[0][: piece.start()]
            mention = self._mention(name, run.start(), first, is_shouted)
            if mention is not None:
                return mention
            glued = _GLUED_LEVEL.search(name)
            if glued and self.symbols(name[: glued.start()]) and re.search(r"\d", name):
                return Mention(
                    self.symbols(name[: glued.start()]), run.start(), run.start() + glued.start(), level=glued[0]
                )
        return None

    def _mention(self, name: str, start: int, first: int, is_shouted: bool) -> Mention | None:
        end = start + len(name)
        form = _form(name)
        if "/" not in name and (name in self._exact or form in self._by_form):
            symbol = name if name in self._exact else self._by_form[form]
            if not _is_symbol(name, symbol, is_start=start == first, is_shouted=is_shouted):
                return None
            return Mention((symbol,), start, end, needs_context=form in ABBREVIATIONS or len(form) < 3)
        if form in protein_genes():
            return self._protein(name, start, end)
        return None

    def _protein(self, name: str, start: int, end: int) -> Mention | None:
        form = _form(name)
        is_word = form in protein_words()
        if not is_word and name.islower() and not re.search(r"\d", name) and len(form) < 5:
            return None
        return Mention(self.symbols(name), start, end, needs_context=is_word or form in ABBREVIATIONS)

    def _relatives(self, symbols: tuple[str, ...], ending: str) -> tuple[str, ...]:
        """`S100A9` for `A9` after `S100A8`, `KRT14` for `14` after `KRT5`."""
        for symbol in symbols[:1]:
            stems = [symbol[: -len(ending)], re.sub(r"\d+$", "", symbol), re.sub(r"[A-Z]\d*$", "", symbol)]
            for stem in stems:
                found = self.symbols(stem + ending) if stem else ()
                if found:
                    return found
        return ()


def plain(text: str) -> str:
    """The text with Greek letters, superscripts, dashes and apostrophes replaced, of the same length."""
    return text.translate(_PLAIN)


def _form(name: str) -> str:
    """The normal form that variants of a name share: `HLADRA` for `HLA-DRA`."""
    return re.sub(r"[-./ ]", "", name).upper()


def _is_symbol(name: str, symbol: str, *, is_start: bool, is_shouted: bool) -> bool:
    """Whether a word that could be a symbol is spelled as one."""
    has_digit = bool(re.search(r"\d", name))
    if len(name) < 2 or (not has_digit and symbol.count("-") > name.count("-")):
        return False  # `SNARE` is not SNAR-E
    if name.lower() in WORDS:
        return name.isupper() and not is_shouted
    if has_digit:
        return len(name) > 2 or name == symbol
    if name.isupper() or name == symbol:
        return True
    capitals = sum(letter.isupper() for letter in name)
    return name[0].isupper() and (capitals > 1 or (not is_start and len(name) > 2))
