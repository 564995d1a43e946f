import numpy as np
import numpy.typing as npt
import pytest
from anndata import AnnData
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from scmpt_scverse.pp._gene_tokens import GeneTokens, bin_spans, tokenize_genes, vocabulary_ids

N_GENES = 90
#: Many zeros and many ties, as in counts.
COUNTS = hnp.arrays(np.float32, (5, N_GENES), elements=st.sampled_from([0.0, 0.0, 0.0, 1.0, 1.0, 2.0, 3.0, 7.0]))
#: Vocabulary ids out of order; the last three genes are not in the vocabulary.
IDS = np.concatenate([np.random.default_rng(0).permutation(N_GENES - 3) * 11, [-1, -1, -1]])


def cells_of(tokens: GeneTokens) -> list[tuple[list[int], list[int]]]:
    pieces = [slice(start, stop) for start, stop in zip(tokens.indptr[:-1], tokens.indptr[1:], strict=True)]
    return [(tokens.gene_ids[piece].tolist(), tokens.bins[piece].tolist()) for piece in pieces]


def numpy_spans(values: npt.NDArray[np.float32], n_bins: int) -> tuple[list[int], list[int]]:
    """Lowest and highest bin of the official `_digitize`, which draws from just above one count up to the other."""
    edges = np.quantile(values, np.linspace(0, 1, n_bins - 1))
    not_above, below = np.digitize(values, edges), np.digitize(values, edges, right=True)
    return np.minimum(below + 1, not_above).tolist(), not_above.tolist()


@given(
    hnp.arrays(
        np.float32,
        st.integers(1, 200),
        elements=st.sampled_from([1.0, 2.0, 3.0]) | st.floats(2**-20, 2**20, width=32),
    ),
    st.integers(2, 60),
)
def test_spans_are_those_of_numpy_quantiles(values: npt.NDArray[np.float32], n_bins: int) -> None:
    lowest, highest = bin_spans(values, np.array([0, values.size]), n_bins)

    assert (lowest.tolist(), highest.tolist()) == numpy_spans(values, n_bins)


@given(COUNTS)
def test_bins_lie_in_the_span_of_their_cell(counts: npt.NDArray[np.float32]) -> None:
    tokens = tokenize_genes(sparse.csr_matrix(counts), np.arange(N_GENES))

    for row, (gene_ids, bins) in zip(counts, cells_of(tokens), strict=True):
        assert gene_ids == np.flatnonzero(row).tolist()
        if gene_ids:
            lowest, highest = numpy_spans(row[gene_ids], 51)
            assert all(low <= bin_ <= high for low, bin_, high in zip(lowest, bins, highest, strict=True))


def test_ties_are_spread_evenly_over_their_span() -> None:
    rng = np.random.default_rng(0)
    counts = (rng.random((400, 300)) < 0.3).astype(np.float32)  # every expressed gene of a cell ties

    tokens = tokenize_genes(sparse.csr_matrix(counts), np.arange(300))

    shares = np.bincount(tokens.bins, minlength=51)[1:] / tokens.bins.size
    np.testing.assert_allclose(shares, 1 / 50, rtol=0.1)
    by_seed = tokenize_genes(sparse.csr_matrix(counts), np.arange(300), seed=1)
    assert np.corrcoef(tokens.bins, by_seed.bins)[0, 1] == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("selection", ["highest", "sample"])
@given(counts=COUNTS, seed=st.integers(0, 3), data=st.data())
def test_order_of_cells_and_columns_does_not_matter(
    selection: str, counts: npt.NDArray[np.float32], seed: int, data: st.DataObject
) -> None:
    rows = data.draw(st.permutations(range(len(counts))))
    columns = data.draw(st.permutations(range(N_GENES)))
    options = {"max_genes": 20, "selection": selection, "seed": seed}

    tokens = tokenize_genes(sparse.csr_matrix(counts), IDS, **options)  # type: ignore[arg-type]
    permuted = tokenize_genes(sparse.csr_matrix(counts[rows][:, columns]), IDS[columns], **options)  # type: ignore[arg-type]

    assert cells_of(permuted) == [cells_of(tokens)[row] for row in rows]


@pytest.mark.parametrize("selection", ["highest", "sample"])
def test_chunks_do_not_matter(pbmc: AnnData, selection: str) -> None:
    matrix, ids = pbmc.X, np.arange(pbmc.n_vars)
    options = {"max_genes": 200, "selection": selection}

    whole = cells_of(tokenize_genes(matrix, ids, **options))  # type: ignore[arg-type]

    for size in (1, 77, 256, 300):
        chunks = [matrix[start : start + size] for start in range(0, pbmc.n_obs, size)]
        cut = [cell for chunk in chunks for cell in cells_of(tokenize_genes(chunk, ids, **options))]  # type: ignore[arg-type]
        assert cut == whole


@given(COUNTS)
def test_scale_does_not_matter(counts: npt.NDArray[np.float32]) -> None:
    tokens = tokenize_genes(sparse.csr_matrix(counts), IDS, max_genes=20)

    # A power of two, which changes no digit of the quantiles.
    assert cells_of(tokenize_genes(sparse.csr_matrix(4 * counts), IDS, max_genes=20)) == cells_of(tokens)


def test_logarithms_do_not_matter_but_for_rounded_quantiles() -> None:
    counts = sparse.csr_matrix(np.random.default_rng(0).poisson(1, (200, 300)).astype(np.float32))

    tokens, of_logs = tokenize_genes(counts, np.arange(300)), tokenize_genes(counts.log1p(), np.arange(300))

    assert of_logs.gene_ids.tolist() == tokens.gene_ids.tolist()
    assert np.mean(of_logs.bins == tokens.bins) > 0.999


def test_genes_outside_the_vocabulary_are_dropped_before_binning(pbmc: AnnData) -> None:
    known = np.arange(pbmc.n_vars) % 3 != 0

    tokens = tokenize_genes(pbmc.X, np.where(known, np.arange(pbmc.n_vars), -1))

    assert cells_of(tokens) == cells_of(tokenize_genes(pbmc.X[:, known], np.flatnonzero(known)))


def test_values_that_hardly_differ_are_no_tie() -> None:
    value = np.float32(1.5)
    cell = sparse.csr_matrix(np.array([[value, np.nextafter(value, np.float32(2)), value]], dtype=np.float32))
    for seed in range(10):
        tokens = tokenize_genes(cell, np.array([3, 4, 5]), n_bins=51, max_genes=1, selection="highest", seed=seed)
        assert tokens.gene_ids.tolist() == [4]


def test_highest_keeps_the_most_expressed_and_the_bins_of_the_whole_cell(pbmc: AnnData) -> None:
    ids = np.arange(pbmc.n_vars)
    whole, cut = tokenize_genes(pbmc.X, ids), tokenize_genes(pbmc.X, ids, max_genes=100)

    assert cut.lengths.tolist() == np.minimum(whole.lengths, 100).tolist()
    dense = pbmc.X.toarray()
    for row, (all_ids, all_bins), (kept_ids, kept_bins) in zip(dense, cells_of(whole), cells_of(cut), strict=True):
        dropped = sorted(set(all_ids) - set(kept_ids))
        assert not dropped or row[dropped].max() <= row[kept_ids].min()
        bin_of = dict(zip(all_ids, all_bins, strict=True))
        assert kept_bins == [bin_of[gene] for gene in kept_ids]


def test_the_highest_tokens_of_each_cell() -> None:
    bins = np.array([5, 9, 7, 9, 1, 2, 8, 8, 8], dtype=np.int16)
    tokens = GeneTokens(np.array([0, 4, 4, 6, 9]), np.arange(9), bins)
    assert tokens.highest(2).tolist() == [1, 3, 4, 5, 6, 7]  # of equal bins, the first
    assert tokens.highest(1).tolist() == [1, 5, 6]
    assert tokens.highest(4).tolist() == list(range(9))


def test_which_of_tied_genes_stay_depends_on_neither_vocabulary_order_nor_bin() -> None:
    counts = np.ones((300, 400), dtype=np.float32)
    counts[:, :300] = (np.random.default_rng(0).random((300, 300)) < 0.5).astype(np.float32)  # cells differ

    tokens = tokenize_genes(sparse.csr_matrix(counts), np.arange(400), max_genes=100)

    kept_share = np.bincount(tokens.gene_ids, minlength=400) / counts.sum(axis=0)
    np.testing.assert_allclose(kept_share.mean(), 100 / counts.sum(axis=1).mean(), rtol=0.02)
    assert np.corrcoef(kept_share, np.arange(400))[0, 1] == pytest.approx(0, abs=0.15)
    assert np.bincount(tokens.bins, minlength=51)[1:] / tokens.bins.size == pytest.approx(1 / 50, rel=0.15)


def test_a_sample_is_of_all_expressed_genes(pbmc: AnnData) -> None:
    ids = np.arange(pbmc.n_vars)
    whole, sample = tokenize_genes(pbmc.X, ids), tokenize_genes(pbmc.X, ids, max_genes=100, selection="sample")

    assert sample.lengths.tolist() == np.minimum(whole.lengths, 100).tolist()
    longer = np.repeat(whole.lengths > 100, sample.lengths)
    assert sample.bins[longer].mean() == pytest.approx(whole.bins.mean(), rel=0.02)


def test_the_global_random_state_is_neither_read_nor_moved(pbmc: AnnData) -> None:
    np.random.seed(1)  # noqa: NPY002
    first = tokenize_genes(pbmc.X, np.arange(pbmc.n_vars), max_genes=50)
    drawn = np.random.rand()  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    assert np.random.rand() == drawn  # noqa: NPY002
    assert cells_of(tokenize_genes(pbmc.X, np.arange(pbmc.n_vars), max_genes=50)) == cells_of(first)


@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (3, 4)])
def test_without_any_expressed_gene_there_are_no_tokens(shape: tuple[int, int]) -> None:
    tokens = tokenize_genes(sparse.csr_matrix(shape, dtype=np.float32), np.arange(shape[1]))

    assert len(tokens) == shape[0]
    assert tokens.lengths.tolist() == [0] * shape[0]
    assert tokens.gene_ids.dtype == np.int64
    assert tokens.bins.dtype == np.int16


def test_vocabulary_ids_are_minus_one_where_a_symbol_is_unknown() -> None:
    genes = np.array(["CD3D", "cd3d", "LYZ"], dtype=object)

    assert vocabulary_ids(genes, {"LYZ": 7, "CD3D": 2}).tolist() == [2, -1, 7]


def test_some_cells_are_taken_with_their_tokens(pbmc: AnnData) -> None:
    tokens = tokenize_genes(pbmc.X[:9], np.arange(pbmc.n_vars))
    cells = cells_of(tokens)
    for rows in ([4, 0, 4, 8], [2], []):
        taken = tokens.take(np.array(rows, dtype=int))
        assert cells_of(taken) == [cells[row] for row in rows]
        assert len(taken) == len(rows)
        assert taken.lengths.tolist() == [len(cells[row][0]) for row in rows]


def test_contents_differ_by_gene_and_by_bin() -> None:
    def content(gene_ids: list[int], bins: list[int]) -> bytes:
        return next(GeneTokens(np.array([0, 2]), np.array(gene_ids), np.array(bins, dtype=np.int16)).contents())

    assert len({content([1, 2], [3, 4]), content([1, 2], [4, 3]), content([1, 5], [3, 4])}) == 3
    assert content([1, 2], [3, 4]) == content([1, 2], [3, 4])


def test_limits_are_those_of_scgpt() -> None:
    """1,199 genes beside the token of the cell, and bins 1 to 50 beside the one of genes that are not expressed."""
    values = np.arange(1.0, 1501.0, dtype=np.float32)
    tokens = tokenize_genes(sparse.csr_matrix(values), np.arange(1500))
    assert tokens.gene_ids.tolist() == list(range(301, 1500))
    assert tokens.bins.max() == 50
    assert tokens.bins.dtype == np.int16
    whole = tokenize_genes(sparse.csr_matrix(values), np.arange(1500), max_genes=1500)
    assert (whole.bins.min(), whole.bins.max()) == (1, 50)
    assert np.bincount(whole.bins, minlength=51)[1:50].tolist() == pytest.approx([1500 / 49] * 49, abs=1.5)


def test_a_draw_among_ties_is_fair_within_one_cell() -> None:
    """Of 400 genes that tie, any hundred may stay, whatever their number or place."""
    counts = sparse.csr_matrix(np.ones((1, 400), dtype=np.float32))
    kept = [tokenize_genes(counts, np.arange(400), max_genes=100, seed=seed).gene_ids for seed in range(60)]
    assert {len(genes) for genes in kept} == {100}
    times = np.bincount(np.concatenate(kept), minlength=400)
    assert times.mean() == 15
    assert 8 < times.var() < 15  # 11.25 by chance
    assert np.corrcoef(times, np.arange(400))[0, 1] == pytest.approx(0, abs=0.15)


def test_a_cell_of_exactly_the_limit_keeps_all() -> None:
    counts = sparse.csr_matrix(np.array([[3, 1, 2, 1], [1, 1, 0, 0], [4, 3, 2, 1]], dtype=np.float32))
    for max_genes, kept in ((4, [4, 2, 4]), (3, [3, 2, 3]), (2, [2, 2, 2])):
        for selection in ("highest", "sample"):
            tokens = tokenize_genes(counts, np.arange(4), max_genes=max_genes, selection=selection)
            assert tokens.lengths.tolist() == kept
    assert cells_of(tokenize_genes(counts, np.arange(4), max_genes=2))[2][0] == [0, 1]
