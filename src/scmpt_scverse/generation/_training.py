"""Labelled cells as a generator learns from them: which genes, as counts, and of which texts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from scmpt_scverse._checks import list_some, warn_user
from scmpt_scverse.generation._text_generator import TextGenerator, fit_strength, fit_threshold
from scmpt_scverse.modalities import ExpressionFeatures
from scmpt_scverse.module import CellGenerator, CountedCells, GeneratorOptions

if TYPE_CHECKING:
    from scmpt_scverse._types import FloatArray, IntArray, StrArray
    from scmpt_scverse.generation._texts import TextReader, Texts
    from scmpt_scverse.module import TrainingRun
    from scmpt_scverse.pp import ExpressionReader

#: Cells of each label and batch that are learned from.
_MAX_CELLS = 3000
#: Types with fewer cells are left out: what they have in common cannot be told from what one cell happens to have.
_LEAST_CELLS = 3
#: Total that values which are no counts are brought to before they are rounded.
_TARGET_SUM = 1e4
#: Added to shares of genes before logarithms: a tenth of a count in a thousand.
_SMALL_SHARE = 1e-4
#: Pseudo-cells of each type whose means are compared in a round, and rounds.
_N_DRAWN, _N_ROUNDS = 512, 8


def fit_generator(
    reader: "ExpressionReader",
    labels: "StrArray",
    batches: "StrArray",
    texts: "TextReader",
    options: GeneratorOptions | None = None,
    *,
    descriptions: Mapping[str, str | Sequence[str]] | None = None,
    run: "TrainingRun | None" = None,
) -> TextGenerator:
    """Train a generator on labelled cells.

    Parameters
    ----------
    reader
        Of all cells.
    labels
        Label of each cell, `None` for none, shape `(n_obs,)`.
    batches
        Batch of each cell, shape `(n_obs,)`; the same for all where there are none.
    texts
        Reads texts of labels.
    options
        How; `None` takes the defaults.
    descriptions
        Of some or all labels, in the words of the user.
    run
        As for :meth:`scmpt_scverse.module.CellGenerator.fit`.

    Raises
    ------
    ValueError
        A description is of no label, or fewer than two labels have enough cells.

    Warns
    -----
    UserWarning
        Values are no counts, labels have too few cells, or nothing is known of a label but its name.
    """
    options = options or GeneratorOptions()
    names = _learnable(labels, descriptions)
    rows = _some_rows(labels, batches, names, options.seed)
    features = ExpressionFeatures.fit(reader, rows, options.n_genes)
    counts = _counts(reader, rows, features)
    kept = np.asarray(counts.sum(axis=1)).ravel() > 0
    counts, rows = counts[kept], rows[kept]
    known = texts.read({name: (descriptions or {}).get(name) for name in names}, features.genes)
    _warn_of_names(known)
    types = pd.Index(names).get_indexer(labels[rows])
    batch_names = sorted(set(batches[rows]))
    codes = pd.Index(batch_names).get_indexer(batches[rows])
    # A gene that is 0 in all cells of a batch may not have been measured there.
    is_measured = np.stack([counts[codes == code].getnnz(axis=0) > 0 for code in range(len(batch_names))])
    cells = CountedCells(counts, types, codes, known.padded(), known.profiles, is_measured)
    type_batches = np.zeros((len(names), len(batch_names)), dtype=np.int64)
    np.add.at(type_batches, (types, codes), 1)
    shares = _mean_shares(counts, types, len(names))
    generator = TextGenerator(
        CellGenerator.fit(cells, options, run=run),
        features.genes,
        known,
        tuple(batch_names),
        type_batches,
        fit_threshold(known),
        fit_strength(known, np.log(shares + _SMALL_SHARE)),
        np.zeros_like(known.profiles),
    )
    return _corrected(generator, shares)


def _corrected(generator: TextGenerator, shares: "FloatArray") -> TextGenerator:
    """With corrections such that the mean of cells drawn for each type is that of its cells.

    Parameters
    ----------
    generator
        Without corrections.
    shares
        Mean share of each gene in the counts of the cells of each type, shape `(n_types, n_genes)`.

    Notes
    -----
    Stochastic approximation :cite:p:`robbins1951stochastic`: every round draws other cells, and moves the corrections
    by less, so that they follow the mean and not one draw.
    """
    for number in range(1, _N_ROUNDS + 1):
        conditions = generator.recognised(generator.texts, None).conditions
        drawn = [
            generator.cells.draw(
                condition, _N_DRAWN, key=f"round {number} of {name}", seed=generator.cells.options.seed
            ).counts
            for name, condition in zip(generator.texts.names, conditions, strict=True)
        ]
        made = np.vstack([_mean_shares(each, np.zeros(_N_DRAWN, dtype=np.int64), 1) for each in drawn])
        step = np.log((shares + _SMALL_SHARE) / (made + _SMALL_SHARE)) / number
        generator = replace(generator, corrections=(generator.corrections + step).astype(np.float32))
    return generator


def _learnable(labels: "StrArray", descriptions: Mapping[str, object] | None) -> list[str]:
    """Labels with enough cells, in alphabetical order."""
    numbers = pd.Series([label for label in labels if label is not None], dtype=object).value_counts()
    unknown = [name for name in descriptions or {} if name not in numbers.index]
    if unknown:
        raise ValueError(
            f"Expected labels of the cells as keys of `texts`; found {list_some(unknown)}, which no cell has. They are "
            f"{list_some(sorted(numbers.index))}."
        )
    names = sorted(numbers.index[numbers >= _LEAST_CELLS])
    if len(names) < 2:
        raise ValueError(
            f"Expected at least two labels with {_LEAST_CELLS} cells each to learn from; found {len(names)} among "
            f"{list_some(sorted(numbers.index))}. Check `labels_key`, or add cells."
        )
    few = sorted(set(numbers.index) - set(names))
    if few:
        warn_user(f"Labels with fewer than {_LEAST_CELLS} cells are not learned: {list_some(few)}.")
    return names


def _some_rows(labels: "StrArray", batches: "StrArray", names: Sequence[str], seed: int) -> "IntArray":
    """At most a few thousand cells of each label and batch, ascending."""
    rng = np.random.default_rng(seed)
    groups = pd.DataFrame({"label": labels, "batch": batches}).groupby(["label", "batch"], sort=True).indices
    chosen = [
        rows if len(rows) <= _MAX_CELLS else rng.choice(rows, _MAX_CELLS, replace=False)
        for (label, _), rows in groups.items()
        if label in set(names)
    ]
    return np.sort(np.concatenate(chosen))


def _counts(reader: "ExpressionReader", rows: "IntArray", features: ExpressionFeatures) -> sparse.csr_matrix:
    """Whole numbers over the genes of the features, shape `(n_rows, n_genes)`."""
    columns = pd.Index(reader.genes).get_indexer(features.genes)
    blocks = list(_taken(reader, rows))
    if any(np.any(block.data != np.rint(block.data)) for block in blocks):
        warn_user(
            "Expected raw counts to learn pseudo-cells from; found values that are not whole. Their "
            f"{'scale is kept' if features.scale.is_linear else 'logarithm is undone'}, each cell is brought to a "
            f"total of {_TARGET_SUM:,.0f} and rounded. Pass `layer=` with counts to `setup_anndata` if you have them."
        )
        blocks = [_as_counts(block, is_linear=features.scale.is_linear) for block in blocks]
    counts = sparse.vstack([block[:, columns] for block in blocks], format="csr")
    counts.eliminate_zeros()
    return counts


def _taken(reader: "ExpressionReader", rows: "IntArray") -> Iterator[sparse.csr_matrix]:
    for part in np.array_split(rows, max(1, len(rows) // 2048)):
        yield reader.take(part).matrix.astype(np.float64)


def _as_counts(block: sparse.csr_matrix, *, is_linear: bool) -> sparse.csr_matrix:
    values = block.data if is_linear else np.expm1(block.data)
    linear = sparse.csr_matrix((values, block.indices, block.indptr), block.shape)
    totals = np.asarray(linear.sum(axis=1)).ravel()
    scale = np.repeat(_TARGET_SUM / np.maximum(totals, 1e-12), np.diff(linear.indptr))
    return sparse.csr_matrix((np.rint(linear.data * scale), linear.indices, linear.indptr), linear.shape)


def _mean_shares(counts: sparse.csr_matrix, types: "IntArray", n_types: int) -> "FloatArray":
    """Mean share of each gene in the counts of the cells of each type, shape `(n_types, n_genes)`."""
    totals = np.maximum(np.asarray(counts.sum(axis=1)).ravel(), 1)
    shares = sparse.diags(1 / totals) @ counts
    return np.stack([np.asarray(shares[types == code].mean(axis=0)).ravel() for code in range(n_types)])


def _warn_of_names(texts: "Texts") -> None:
    """Warn of labels whose text is nothing but the label."""
    bare = [
        name
        for name, term, wordings in zip(texts.names, texts.terms, texts.wordings, strict=True)
        if term is None and len(wordings) == 1
    ]
    if bare:
        warn_user(
            f"Nothing is known of {list_some(bare)} but the name, so other words for it will not find it. Describe it: "
            f"`texts={{{bare[0]!r}: ...}}`."
        )
