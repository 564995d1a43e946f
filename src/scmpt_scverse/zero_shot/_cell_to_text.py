"""From cells to texts: tokens of studies, and of marker sets that stand for cells, and what is learned from both."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from scmpt_scverse.knowledge import cell_ontology
from scmpt_scverse.module import CellTokens, CellToText, QFormerOptions, TokenStudy
from scmpt_scverse.pp import GeneExpression

if TYPE_CHECKING:
    from scmpt_scverse._types import FloatArray, IntArray
    from scmpt_scverse.encoders import TokenEmbeddings, TokenEncoder
    from scmpt_scverse.module import TokenReader, TrainingRun
    from scmpt_scverse.pp import ExpressionReader
    from scmpt_scverse.zero_shot._training_data import MarkerProfiles

#: Cells of each label that a study teaches with.
_MAX_CELLS_PER_LABEL = 300
#: Cells that stand for each set of markers; the share of the markers that one expresses, at least; and the spread of
#: their values, of the natural logarithm, so that they are not always in the same order.
_N_MARKER_CELLS, _LEAST_SHARE, _SPREAD = 6, 0.5, 0.4


def cell_tokens(
    reader: "ExpressionReader", encoder: "TokenEncoder", *, folder: Path | None = None, **options: Any
) -> CellTokens:
    """Tokens of all cells of a study.

    Parameters
    ----------
    reader
        Of the cells.
    encoder
        Gives tokens.
    folder
        Where they are written, half a kilobyte per gene and cell for a width of 256, and read from as they are needed;
        `None` keeps them in memory.
    **options
        Of :meth:`scmpt_scverse.encoders.TokenEncoder.encode_tokens`.
    """
    chunks = (encoder.encode_tokens(encoder.prepare(chunk), **options) for chunk in reader.chunks())
    return CellTokens.of(chunks) if folder is None else CellTokens.write(chunks, folder)


def marker_tokens(known: "MarkerProfiles", encoder: "TokenEncoder", *, seed: int = 0, **options: Any) -> TokenStudy:
    """Cells that express nothing but some of the markers of a type, as a study with all types as its labels.

    Parameters
    ----------
    known
        Markers of the registered types.
    encoder, options
        As for :func:`cell_tokens`.
    seed
        Of the choice of markers, and of the order of their values.
    """
    rng = np.random.default_rng(seed)
    positive = np.maximum(known.values, 0)

    def chunks() -> "Iterator[TokenEmbeddings]":
        for _ in range(_N_MARKER_CELLS):
            kept = rng.random(positive.shape) < rng.uniform(_LEAST_SHARE, 1, (len(positive), 1))
            values = positive * kept * rng.lognormal(0, _SPREAD, positive.shape)
            cells = GeneExpression(sparse.csr_matrix(values.astype(np.float32)), known.genes)
            yield encoder.encode_tokens(encoder.prepare(cells), **options)

    types = np.arange(len(positive))
    return TokenStudy(CellTokens.of(chunks()), np.tile(types, _N_MARKER_CELLS), types)


def fit_cell_to_text(
    texts: "FloatArray",
    terms: Sequence[str | None],
    studies: Sequence[TokenStudy],
    options: QFormerOptions | None = None,
    *,
    reader: "TokenReader" = "qformer",
    run: "TrainingRun | None" = None,
) -> CellToText:
    """Train on some cells of each label of each study; kinds of a type are no negatives of the type.

    Parameters
    ----------
    texts
        Embeddings of several wordings, shape `(n_texts, n_wordings, text_dim)`.
    terms
        Id of each text in the Cell Ontology, `None` where there is none, of length `n_texts`.
    studies
        Labelled cells; :func:`marker_tokens` gives one.
    options, reader, run
        As for :meth:`scmpt_scverse.module.CellToText.fit`.
    """
    capped = [
        TokenStudy(study.tokens, _capped(study.codes, len(study.types), seed=number), study.types)
        for number, study in enumerate(studies)
    ]
    return CellToText.fit(
        texts,
        capped,
        options,
        reader=reader,
        affinity=kinship(terms),
        run=run,
    )


def kinship(terms: Sequence[str | None]) -> "FloatArray":
    """1 where a term is another one, or a kind of it, so that both may be true of a cell, else 0; float32, square."""
    ontology = cell_ontology()
    rows = {term: [row for row, each in enumerate(terms) if each == term] for term in terms if term is not None}
    related = np.eye(len(terms), dtype=np.float32)
    for term, own in rows.items():
        for other in [term, *ontology.ancestors(term)]:
            for row in rows.get(other, ()):
                related[own, row] = related[row, own] = 1
    return related


def text_scores(fit: CellToText, tokens: CellTokens, texts: "FloatArray", *, n_matched: int = 3) -> "FloatArray":
    """As of :meth:`scmpt_scverse.module.CellToText.scores`, minus the mean of each label over the cells of the query.

    As for profiles of genes, a cell is what it differs in from the others.
    """
    scores = fit.scores(tokens, texts, n_matched=n_matched)
    readable = np.isfinite(scores).all(axis=1)
    if readable.any():
        scores -= scores[readable].mean(axis=0)
    return scores


def _capped(codes: "IntArray", n_labels: int, seed: int) -> "IntArray":
    """Codes in which no label has more than a few hundred cells; -1 for the others."""
    rng = np.random.default_rng(seed)
    kept = np.full_like(codes, -1)
    for code in range(n_labels):
        rows = np.flatnonzero(codes == code)
        rows = rng.choice(rows, min(len(rows), _MAX_CELLS_PER_LABEL), replace=False)
        kept[rows] = code
    return kept
