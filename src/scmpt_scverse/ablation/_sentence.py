"""Changes to the cell sentence only: its order, names or form."""

import hashlib
from abc import abstractmethod
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scmpt_scverse._checks import check_choice, check_share
from scmpt_scverse.ablation._base import Ablation
from scmpt_scverse.encoders import SentenceTransformerEncoder
from scmpt_scverse.pp import CellSentences, check_form, read_table, sentences_in_form, sentences_of

if TYPE_CHECKING:
    from scmpt_scverse._types import StrPath
    from scmpt_scverse.modalities import GeneEncoder
    from scmpt_scverse.pp import GeneExpression

_N_LETTERS = 8


class _SentenceAblation(Ablation):
    """Changes sentences; encoders that read none get their inputs unchanged."""

    def prepare(self, encoder: "GeneEncoder", expression: "GeneExpression", generator: np.random.Generator) -> Any:
        """See :meth:`Ablation.prepare`."""
        if not isinstance(encoder, SentenceTransformerEncoder):
            return encoder.prepare(expression)
        return self._change(encoder, expression, generator)

    @abstractmethod
    def _change(
        self, encoder: SentenceTransformerEncoder, expression: "GeneExpression", generator: np.random.Generator
    ) -> CellSentences:
        """The changed sentences of the cells."""


class Shuffle(_SentenceAblation):
    """Shuffles the genes of cell sentences.

    Parameters
    ----------
    share
        Share of a sentence's genes, counted from the top, that is shuffled; with `keep_top`, this share is kept and the
        rest is shuffled.
    keep_top
        Keep the top `share` in place and shuffle the rest.
    within
        `"sentence"` shuffles the genes that the encoder reads, so that only their order is lost. `"cell"` shuffles all
        genes that the cell expresses; the encoder then reads a random choice of them. This requires `share=1` without
        `keep_top`.

    Raises
    ------
    ValueError
        An option is out of range, or `within="cell"` is combined with a smaller `share` or with `keep_top`.
    """

    def __init__(
        self, share: float = 1.0, *, keep_top: bool = False, within: Literal["sentence", "cell"] = "sentence"
    ) -> None:
        check_share(share, "share")
        check_choice(within, ("sentence", "cell"), "within")
        if within == "cell" and (share < 1 or keep_top):
            raise ValueError("`within='cell'` shuffles all genes; pass `share=1` and no `keep_top`.")
        self.share, self.keep_top, self.within = share, keep_top, within
        part = f" all but top {share:.0%}" if keep_top else (f" top {share:.0%}" if share < 1 else "")
        self.name = f"shuffle{part}" + (" of all expressed genes" if within == "cell" else "")

    def _change(
        self, encoder: SentenceTransformerEncoder, expression: "GeneExpression", generator: np.random.Generator
    ) -> CellSentences:
        if self.within == "cell":
            whole = sentences_of(expression)
            rows = [generator.permutation(whole.ranked[a:b])[: encoder.max_genes] for a, b in pairwise(whole.indptr)]
            return CellSentences(np.cumsum([0, *map(len, rows)]), np.concatenate(rows), whole.genes)
        sentences = encoder.prepare(expression)
        ranked = sentences.ranked.copy()
        for start, stop in pairwise(sentences.indptr):
            middle = start + round(self.share * (stop - start))
            part = slice(middle, stop) if self.keep_top else slice(start, middle)
            ranked[part] = generator.permutation(ranked[part])
        return CellSentences(sentences.indptr, ranked, sentences.genes)


class ReplaceNames(_SentenceAblation):
    """Replaces gene symbols by meaningless strings.

    Parameters
    ----------
    by
        `"hash"` replaces a symbol by the same string wherever it occurs: genes can still be told apart, but their names
        say nothing. `"random"` makes a new string for every occurrence, so that only the number of genes is left.

    Raises
    ------
    ValueError
        `by` is something else.
    """

    def __init__(self, by: Literal["hash", "random"]) -> None:
        check_choice(by, ("hash", "random"), "by")
        self.by, self.name = by, f"{by} names"

    def _change(
        self, encoder: SentenceTransformerEncoder, expression: "GeneExpression", generator: np.random.Generator
    ) -> CellSentences:
        sentences = encoder.prepare(expression)
        if self.by == "hash":
            ranked, names = sentences.ranked, list(sentences.genes)
        else:
            ranked = np.arange(len(sentences.ranked))
            names = [str(number) for number in generator.integers(2**63, size=len(ranked))]
        return CellSentences(sentences.indptr, ranked, np.array(list(map(_hashed, names)), dtype=object))


class SentenceForm(_SentenceAblation):
    """Writes sentences in another form, puts a text before the genes, or both.

    Parameters
    ----------
    form, table
        `sentence` and `sentence_table` of :class:`scmpt_scverse.encoders.SentenceTransformerEncoder`; `None` keeps the
        form of the encoder.
    prefix
        Text before the genes, such as that of GenePT :cite:p:`chen2025genept`, `"A cell with genes ranked by
        expression:"`.

    Raises
    ------
    ValueError
        `form` is unknown, or its table is missing or has other content; there is a table without a form; or there is
        neither a form nor a prefix.
    FileNotFoundError
        The file of the table does not exist.
    """

    def __init__(self, form: str | None = None, table: "StrPath | None" = None, *, prefix: str = "") -> None:
        if form is not None:
            check_form(form, table)
        elif table is not None or not prefix:
            raise ValueError(
                "Expected a form, with the table that it needs, or a prefix alone; found neither. Pass a form, such as "
                "`SentenceForm('binned')`, or a text as `prefix=`."
            )
        self.form, self.prefix = form, prefix
        self.name = ", ".join(filter(None, [form and f"form: {form}", prefix and "prefix"]))
        self._table = None if form is None or table is None else read_table(table, form)

    def _change(
        self, encoder: SentenceTransformerEncoder, expression: "GeneExpression", generator: np.random.Generator
    ) -> CellSentences:
        if self.form is None:
            sentences = encoder.prepare(expression)
        else:
            sentences = sentences_in_form(self.form, expression, encoder.max_genes, self._table)
        return _with_prefix(sentences, self.prefix) if self.prefix else sentences


def _with_prefix(sentences: CellSentences, prefix: str) -> CellSentences:
    """The sentences with a text as their first word; those without any gene stay empty."""
    is_empty = np.diff(sentences.indptr) == 0
    starts = sentences.indptr[:-1][~is_empty]
    ranked = np.insert(sentences.ranked, starts, len(sentences.genes))
    indptr = sentences.indptr + np.concatenate([[0], np.cumsum(~is_empty)])
    return CellSentences(indptr, ranked, np.append(sentences.genes, prefix))


def _hashed(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:_N_LETTERS]
