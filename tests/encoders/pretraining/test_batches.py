from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from anndata import AnnData

from scmpt_scverse.encoders._scgpt_checkpoint import SPECIAL_TOKENS, ScGPTSettings
from scmpt_scverse.encoders.pretraining._batches import Batch, BatchMaker
from scmpt_scverse.encoders.pretraining._corpus import Corpus, open_corpus
from scmpt_scverse.encoders.pretraining._streams import HeldoutStream, TrainingStream
from scmpt_scverse.pp._gene_tokens import bin_spans

BATCH_SIZE = 32
#: More than half the genes of some cells, so that there is padding.
N_VISIBLE = 150
SETTINGS = ScGPTSettings(embsize=16, nheads=2, d_hid=32, nlayers=2, pad_token="<pad>", pad_value=-2)


@pytest.fixture(scope="module")
def studies(_pbmc: AnnData) -> list[AnnData]:
    return [_pbmc[:200, :600].copy(), _pbmc[200:400, 100:].copy()]


@pytest.fixture(scope="module")
def corpus(studies: list[AnnData]) -> Iterator[Corpus]:
    with open_corpus(
        studies,
        special_tokens=SPECIAL_TOKENS,
        layer=None,
        gene_symbols=None,
        organism="human",
        vocabulary=None,
        initial_vocabulary=None,
        min_cells=30,  # some genes of the cells have no token
        heldout_size=0.2,
        seed=0,
    ) as opened:
        yield opened


def maker(corpus: Corpus, **options: Any) -> BatchMaker:
    return BatchMaker(corpus, SETTINGS, **({"batch_size": BATCH_SIZE, "n_visible": N_VISIBLE, "seed": 0} | options))


def same(one: Batch, other: Batch) -> bool:
    return one.study == other.study and all(torch.equal(a, b) for a, b in zip(one[1:], other[1:], strict=True))


@pytest.mark.parametrize("number", [0, 13])
def test_visible_and_hidden_genes_are_of_the_cell_and_disjoint(
    corpus: Corpus, studies: list[AnnData], number: int
) -> None:
    batches = maker(corpus)
    epoch, step = divmod(number, batches.steps_per_epoch)
    study, rows = corpus.epoch(epoch, batch_size=BATCH_SIZE, seed=0)[step]

    batch = batches.training(number)

    assert batch.study == study
    names = {index: token for token, index in corpus.vocabulary.items()}
    lengths = []
    for i, row in enumerate(rows):
        values = studies[study].X[int(row)].toarray().ravel()
        known = [
            (gene, value)
            for gene, value in zip(studies[study].var_names, values, strict=True)
            if value > 0 and gene in corpus.vocabulary
        ]
        lowest, highest = bin_spans(np.array([value for _, value in known]), np.array([0, len(known)]), SETTINGS.n_bins)
        span = {gene: (low, high) for (gene, _), low, high in zip(known, lowest, highest, strict=True)}
        chosen = []
        for ids, bins, is_token in (
            (batch.gene_ids[i, 1:], batch.bins[i, 1:], batch.is_token[i, 1:]),
            (batch.hidden_ids[i], batch.hidden_bins[i], batch.is_hidden[i]),
        ):
            genes = [names[index] for index in ids[is_token].tolist()]
            for gene, value in zip(genes, bins[is_token].tolist(), strict=True):
                assert span[gene][0] <= value <= span[gene][1]
            chosen.append(genes)
        visible, hidden = map(set, chosen)
        assert visible.isdisjoint(hidden)
        assert [len(visible), len(hidden)] == [len(chosen[0]), len(chosen[1])]
        assert len(visible) == len(hidden) == min(len(known) // 2, N_VISIBLE)
        lengths.append(len(visible))
    assert min(lengths) < max(lengths)


def test_cls_is_first_and_padding_is_marked(corpus: Corpus) -> None:
    batch = maker(corpus).training(0)

    assert (batch.gene_ids[:, 0] == corpus.vocabulary["<cls>"]).all()
    assert (batch.bins[:, 0] == 0).all()
    assert batch.is_token[:, 0].all()
    pad = corpus.vocabulary["<pad>"]
    for ids, bins, is_token in (
        (batch.gene_ids[:, 1:], batch.bins[:, 1:], batch.is_token[:, 1:]),
        (batch.hidden_ids, batch.hidden_bins, batch.is_hidden),
    ):
        assert not is_token.all()  # there is padding
        assert is_token.any(dim=0).all()  # but no more than needed
        assert torch.equal(ids == pad, ~is_token)
        assert torch.equal(bins == 0, ~is_token)


def test_few_visible_genes_need_no_padding(corpus: Corpus) -> None:
    batch = maker(corpus, n_visible=8).training(0)

    assert batch.gene_ids.shape == batch.is_token.shape == (BATCH_SIZE, 9)
    assert batch.hidden_ids.shape == (BATCH_SIZE, 8)
    assert batch.is_token.all()
    assert batch.is_hidden.all()


def test_a_batch_is_the_same_whenever_it_is_asked_for(corpus: Corpus) -> None:
    numbers = range(2 * maker(corpus).steps_per_epoch + 3)
    in_order = list(map(maker(corpus).training, numbers))
    batches = maker(corpus)

    for number in np.random.default_rng(0).permutation(len(numbers)).tolist():
        assert same(batches.training(number), in_order[number])
    assert not any(same(in_order[0], other) for other in in_order[1:])
    assert not same(maker(corpus, seed=1).training(0), in_order[0])


def test_held_out_batches_are_the_same_each_time(corpus: Corpus) -> None:
    stream = HeldoutStream(maker(corpus))

    first, again = list(stream), list(stream)

    assert len(first) == len(stream) == len(corpus.heldout(batch_size=BATCH_SIZE)) > 1
    assert all(map(same, first, again))
    # Same number, other cells and other random numbers.
    assert not same(first[0], maker(corpus).training(0))


@pytest.mark.parametrize("study", [0, 1])
def test_what_is_asked_about_is_the_expression(corpus: Corpus, studies: list[AnnData], study: int) -> None:
    plan = corpus.epoch(0, batch_size=BATCH_SIZE, seed=0)
    number = next(number for number, (index, _) in enumerate(plan) if index == study)
    cells = studies[study]
    values = cells.X.toarray().astype(np.float64)

    batch = maker(corpus).training(number)

    genes = [list(corpus.vocabulary)[index] for index in batch.asked_ids.tolist()]
    assert len(set(genes)) == len(genes) == 256
    assert set(genes).isdisjoint(SPECIAL_TOKENS)
    columns = cells.var_names.get_indexer(genes)
    standardised = (values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 0.1)
    expected = np.clip(standardised, -5, 5)[plan[number][1]][:, columns]
    np.testing.assert_allclose(batch.asked_expression.numpy(), expected, atol=1e-3)
    assert batch.asked_expression.dtype == batch.summary.dtype == torch.float32
    expected = corpus.studies[study].summary(cells.X[plan[number][1]])
    np.testing.assert_allclose(batch.summary.numpy(), expected, atol=1e-4)


def test_a_stream_begins_where_training_stands(corpus: Corpus) -> None:
    batches, step = maker(corpus), 0
    stream = TrainingStream(batches, lambda: step, rank=0, world_size=1)
    step = 5

    found = list(islice(stream, 3))

    assert all(map(same, found, map(batches.training, (5, 6, 7))))


def test_processes_share_batches_without_overlap(corpus: Corpus) -> None:
    asked: list[int] = []

    class Numbers(BatchMaker):
        def training(self, number: int) -> Batch:
            asked.append(number)
            return super().training(number)

    batches = Numbers(corpus, SETTINGS, batch_size=BATCH_SIZE, n_visible=N_VISIBLE, seed=0)
    for rank in range(3):
        list(islice(TrainingStream(batches, lambda: 2, rank=rank, world_size=3), 4))

    assert asked[:4] == [6, 9, 12, 15]
    assert sorted(asked) == list(range(6, 18))
