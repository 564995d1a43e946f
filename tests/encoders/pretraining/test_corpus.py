from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

from scmpt_scverse.encoders._scgpt_checkpoint import SPECIAL_TOKENS
from scmpt_scverse.encoders.pretraining._corpus import Corpus, open_corpus

BATCH_SIZE = 32


@contextmanager
def corpus_of(*data: Any, **options: Any) -> Iterator[Corpus]:
    defaults: dict[str, Any] = {
        "special_tokens": SPECIAL_TOKENS,
        "layer": None,
        "gene_symbols": None,
        "organism": "human",
        "vocabulary": None,
        "initial_vocabulary": None,
        "min_cells": 5,
        "heldout_size": 0.1,
        "seed": 0,
    }
    with open_corpus(data, **(defaults | options)) as corpus:
        yield corpus


def all_rows(batches: list[tuple[int, Any]], study: int) -> list[int]:
    return [row for index, rows in batches if index == study for row in rows.tolist()]


@pytest.fixture(scope="module")
def halves(_pbmc: AnnData) -> list[AnnData]:
    return [_pbmc[:300, :500].copy(), _pbmc[300:, 200:].copy()]


@pytest.fixture(scope="module")
def corpus(halves: list[AnnData]) -> Iterator[Corpus]:
    with corpus_of(*halves) as opened:
        yield opened


def test_an_epoch_is_a_function_of_seed_and_number(corpus: Corpus) -> None:
    def epoch(number: int, seed: int) -> list[tuple[int, list[int]]]:
        return [(study, rows.tolist()) for study, rows in corpus.epoch(number, batch_size=BATCH_SIZE, seed=seed)]

    assert epoch(1, 0) == epoch(1, 0)
    assert epoch(1, 0) != epoch(2, 0)
    assert epoch(1, 0) != epoch(1, 1)
    # Not only the order of batches changes: other cells are together.
    assert {tuple(rows) for _, rows in epoch(1, 0)}.isdisjoint(tuple(rows) for _, rows in epoch(2, 0))


def test_an_epoch_has_every_training_row_at_most_once(corpus: Corpus) -> None:
    seen: dict[int, set[int]] = {0: set(), 1: set()}
    for number in range(3):
        batches = corpus.epoch(number, batch_size=BATCH_SIZE, seed=0)
        assert {index for index, _ in batches} == {0, 1}
        for _, rows in batches:
            assert len(rows) == BATCH_SIZE
            assert np.all(np.diff(rows) > 0)
        for index, study in enumerate(corpus.studies):
            in_all = all_rows(batches, index)
            assert len(in_all) == len(set(in_all)) == len(study.training_rows) // BATCH_SIZE * BATCH_SIZE
            assert set(in_all) <= set(study.training_rows.tolist())
            seen[index] |= set(in_all)
    for index, study in enumerate(corpus.studies):  # what one epoch leaves over comes in another
        assert len(seen[index]) > 0.98 * len(study.training_rows)


def test_studies_take_turns(corpus: Corpus) -> None:
    order = [index for index, _ in corpus.epoch(0, batch_size=BATCH_SIZE, seed=0)]

    assert order != sorted(order)


def test_batches_mix_distant_cells(corpus: Corpus) -> None:
    for _, rows in corpus.epoch(0, batch_size=BATCH_SIZE, seed=0):
        assert rows[-1] - rows[0] > BATCH_SIZE


def test_a_study_smaller_than_a_batch_is_one_batch(corpus: Corpus) -> None:
    batches = corpus.epoch(0, batch_size=1000, seed=0)

    assert sorted(index for index, _ in batches) == [0, 1]
    for index, rows in batches:
        np.testing.assert_array_equal(rows, corpus.studies[index].training_rows)


def test_held_out_cells_are_a_share_that_is_never_trained_on(corpus: Corpus, halves: list[AnnData]) -> None:
    batches = corpus.heldout(batch_size=BATCH_SIZE)

    for index, study in enumerate(corpus.studies):
        held_out = all_rows(batches, index)
        assert held_out == study.heldout_rows.tolist()
        assert set(held_out).isdisjoint(study.training_rows.tolist())
        assert len(held_out) + len(study.training_rows) == study.reader.n_obs
        assert 0.05 < len(held_out) / study.reader.n_obs < 0.2
    assert all(1 < len(rows) <= BATCH_SIZE for _, rows in batches)
    with corpus_of(*halves, seed=1) as other:
        assert other.studies[1].heldout_rows.tolist() != corpus.studies[1].heldout_rows.tolist()


def test_cells_with_few_known_genes_are_left_out(pbmc: AnnData) -> None:
    values = pbmc.X.toarray()
    values[3] = 0
    expressed = np.flatnonzero(values[40])
    values[40, expressed[19:]] = 0
    values[41, np.flatnonzero(values[41])[20:]] = 0
    pbmc.X = sparse.csr_matrix(values)

    with corpus_of(pbmc, min_cells=1) as corpus:
        (study,) = corpus.studies

    used = {*study.training_rows.tolist(), *study.heldout_rows.tolist()}
    assert set(range(pbmc.n_obs)) - used == {3, 40}


def test_too_few_cells_are_refused(pbmc: AnnData) -> None:
    with pytest.raises(ValueError, match="Expected enough cells to hold some out; found 10"):
        corpus_of(pbmc[:10].copy(), min_cells=1).__enter__()
    with pytest.raises(ValueError, match=r"data\[0\]: expected cells with at least 20 expressed genes.*found 0 of 50"):
        corpus_of(pbmc[:50, :19].copy(), min_cells=1).__enter__()


@pytest.mark.parametrize("n_cells", [18, 33])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_few_cells_are_split_into_batches_of_two_at_least(pbmc: AnnData, n_cells: int, seed: int) -> None:
    with corpus_of(pbmc[:n_cells].copy(), min_cells=1, seed=seed) as corpus:
        (study,) = corpus.studies

    assert min(len(study.training_rows), len(study.heldout_rows)) >= 2
    assert len(study.training_rows) + len(study.heldout_rows) == n_cells


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_one_cell_more_than_a_run_is_too_few(pbmc: AnnData, seed: int) -> None:
    with pytest.raises(ValueError, match="found 17. Pass files with more than 17 cells"):
        corpus_of(pbmc[:17].copy(), min_cells=1, seed=seed).__enter__()


def test_cells_that_do_not_differ_are_refused(pbmc: AnnData) -> None:
    pbmc.X = pbmc.X[np.zeros(pbmc.n_obs, dtype=int)]

    with pytest.raises(
        ValueError, match=r"data\[0\]: expected cells that differ; found the same expression in all 700"
    ):
        corpus_of(pbmc).__enter__()


@pytest.mark.parametrize("form", ["csr", "csc", "dense"])
@pytest.mark.parametrize("backed", [False, True])
def test_rows_are_read_as_they_are(pbmc: AnnData, tmp_path: Path, form: str, backed: bool) -> None:
    expected = pbmc.X.toarray()
    pbmc.X = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "dense": np.asarray}[form](expected)
    data: Any = pbmc
    if backed:
        data = tmp_path / "cells.h5ad"
        pbmc.write_h5ad(data)
    rows = np.array([0, 1, 2, 9, 11, 12, 350, 698, 699])

    with corpus_of(data) as corpus:
        (study,) = corpus.studies
        found, one = study.reader.take(rows), study.reader.take(rows[3:4])

    assert found.genes.tolist() == study.reader.genes.tolist() == pbmc.var_names.tolist()
    np.testing.assert_array_equal(found.matrix.toarray(), expected[rows])
    np.testing.assert_array_equal(one.matrix.toarray(), expected[rows[3:4]])


def test_files_stay_as_they_are(pbmc: AnnData, tmp_path: Path) -> None:
    file = tmp_path / "cells.h5ad"
    pbmc.write_h5ad(file)
    content = file.read_bytes()

    with corpus_of(file):
        pass

    assert file.read_bytes() == content


def test_files_are_closed_after_use(pbmc: AnnData, tmp_path: Path) -> None:
    file = tmp_path / "cells.h5ad"
    pbmc.write_h5ad(file)

    with corpus_of(file) as corpus:
        with pytest.raises(OSError, match="already open"):
            pbmc.write_h5ad(file)
        reader = corpus.studies[0].reader
    pbmc[:300].copy().write_h5ad(file)

    assert reader.n_obs == 700  # it was not closed for want of readers
    assert anndata.read_h5ad(file).n_obs == 300


def test_files_are_closed_after_an_error(pbmc: AnnData, tmp_path: Path) -> None:
    file = tmp_path / "cells.h5ad"
    pbmc.write_h5ad(file)

    with pytest.raises(FileNotFoundError, match="missing.h5ad") as caught:
        corpus_of(file, tmp_path / "missing.h5ad").__enter__()
    pbmc[:300].copy().write_h5ad(file)

    assert caught.traceback
    assert anndata.read_h5ad(file).n_obs == 300


def test_the_vocabulary_is_special_tokens_then_genes_in_alphabetical_order(corpus: Corpus, pbmc: AnnData) -> None:
    is_expressed = (pbmc.X > 0).toarray()
    n_cells = np.zeros(pbmc.n_vars)
    n_cells[:500] += is_expressed[:300, :500].sum(axis=0)
    n_cells[200:] += is_expressed[300:, 200:].sum(axis=0)
    genes = sorted(pbmc.var_names[n_cells >= 5])

    assert list(corpus.vocabulary) == [*SPECIAL_TOKENS, *genes]
    assert list(corpus.vocabulary.values()) == list(range(len(corpus.vocabulary)))
    assert 0 < len(genes) < pbmc.n_vars
    for study in corpus.studies:
        expected = [corpus.vocabulary.get(gene, -1) for gene in study.reader.genes]
        assert study.gene_ids.tolist() == expected


def test_cells_that_express_a_gene_are_counted_over_all_files(pbmc: AnnData) -> None:
    values = pbmc.X.toarray()
    values[:, :2] = 0
    values[[0, 1, 400], 0] = 1.5
    values[[0, 400], 1] = 1.5
    pbmc.X = sparse.csr_matrix(values)
    enough, too_few = pbmc.var_names[:2]

    with corpus_of(pbmc[:300].copy(), pbmc[300:].copy(), min_cells=3) as corpus:
        vocabulary = corpus.vocabulary

    assert enough in vocabulary
    assert too_few not in vocabulary


def test_a_given_vocabulary_wins(pbmc: AnnData) -> None:
    given = [*pbmc.var_names[:100][::-1], "NOT-IN-THE-DATA"]

    with corpus_of(pbmc, vocabulary=given, min_cells=10_000) as corpus:
        assert list(corpus.vocabulary) == [*SPECIAL_TOKENS, *sorted(given)]
        assert np.count_nonzero(corpus.studies[0].gene_ids >= 0) == 100


def test_ids_of_an_initial_vocabulary_are_kept(pbmc: AnnData) -> None:
    initial = {"CD3D": 0, "<cls>": 1, "<pad>": 2, "NOT-IN-THE-DATA": 3} | {
        gene: 4 + i for i, gene in enumerate(pbmc.var_names[300:400])
    }

    with corpus_of(pbmc, initial_vocabulary=initial) as corpus:
        vocabulary = corpus.vocabulary

    assert list(vocabulary.items())[: len(initial)] == list(initial.items())
    new = list(vocabulary)[len(initial) :]
    assert new[0] == "<eoc>"
    assert new[1:] == sorted(new[1:])
    assert len(new) > 300
    assert list(vocabulary.values()) == list(range(len(vocabulary)))


def test_genes_are_drawn_once_each_among_the_known(corpus: Corpus) -> None:
    study = corpus.studies[0]
    varied = np.flatnonzero((study.gene_ids >= 0) & (study.summary.genes.std > 0))

    drawn = study.draw_genes(50, np.random.default_rng(0))

    assert len(drawn) == len(set(drawn.tolist())) == 50
    assert set(drawn.tolist()) <= set(varied.tolist())
    everything = study.draw_genes(10_000, np.random.default_rng(0))
    assert sorted(everything.tolist()) == varied.tolist()


def test_the_digest_tells_studies_apart(halves: list[AnnData]) -> None:
    def digest(cells: AnnData) -> str:
        with corpus_of(cells) as corpus:
            return corpus.studies[0].digest()

    cells = halves[0]
    changed, renamed = cells.copy(), cells.copy()
    changed.X.data[7] += 1
    renamed.var_names = ["OTHER", *cells.var_names[1:]]

    others = [digest(other) for other in (changed, renamed, cells[:299].copy(), cells[:, :499].copy())]

    assert digest(cells) == digest(cells.copy())
    assert len({digest(cells), *others}) == 5
