"""Cells into the space of texts: a signal that only genes hold, negatives that are none, the matching head."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from tests._zero_shot import TYPES, WordEncoder

from scmpt_scverse.module import CellTokens, CellToText, QFormerOptions, TokenStudy, TrainingRun
from scmpt_scverse.module._cell_text_loss import contrast, wrong_pairs
from scmpt_scverse.module._cell_to_text import _affinity
from scmpt_scverse.module._qformer import QFormer

TOKEN_DIM, N_GENES = 16, 12
SMALL = QFormerOptions(
    n_queries=4, width=32, n_layers=2, n_heads=2, dim=16, n_steps=120, cells_per_step=16, n_genes=8, lr=5e-3
)


@pytest.fixture(scope="module")
def texts() -> np.ndarray:
    """Two wordings of eight types."""
    encode = WordEncoder().encode_texts
    return np.stack([encode(TYPES), encode([f"{name}, a kind of cell" for name in TYPES])], axis=1)


def planted(codes: np.ndarray, seed: int) -> CellTokens:
    """Random tokens; half of the genes of a cell, but not the token of the whole cell, point to its type."""
    rng = np.random.default_rng(seed)
    directions = np.random.default_rng(0).normal(size=(len(TYPES), TOKEN_DIM))
    values = rng.normal(size=(len(codes), 1 + N_GENES, TOKEN_DIM))
    values[:, 1 : 1 + N_GENES // 2] += 2 * directions[codes][:, None]
    values /= np.linalg.norm(values, axis=2, keepdims=True)
    lengths = rng.integers(N_GENES - 2, N_GENES + 2, len(codes))  # cells have different numbers of genes
    return CellTokens.of([(values, np.arange(1 + N_GENES) < lengths[:, None])])


@pytest.fixture(scope="module")
def studies() -> list[TokenStudy]:
    """Two studies, of the types 0 to 4 and 3 to 7."""
    found = []
    for number, types in enumerate((np.arange(5), np.arange(3, 8))):
        codes = np.repeat(np.arange(5), 30)
        found.append(TokenStudy(planted(types[codes], seed=number + 1), codes, types))
    return found


@pytest.fixture(scope="module")
def trained(texts: np.ndarray, studies: list[TokenStudy]) -> CellToText:
    return CellToText.fit(texts, studies, SMALL, run=TrainingRun("cpu"))


def mean_texts(texts: np.ndarray, trained: CellToText) -> np.ndarray:
    return texts.mean(axis=1) - trained.center


def accuracy(trained: CellToText, texts: np.ndarray, **options: Any) -> float:
    codes = np.repeat(np.arange(8), 15)
    scores = trained.scores(planted(codes, seed=9), mean_texts(texts, trained), **options)
    return float((scores.argmax(axis=1) == codes).mean())


def test_new_cells_find_their_text_by_tokens_of_genes(
    trained: CellToText, texts: np.ndarray, studies: list[TokenStudy]
) -> None:
    assert accuracy(trained, texts, n_matched=0) > 0.8
    assert accuracy(trained, texts) > 0.8
    assert trained.has_matching
    # The token of the whole cell says nothing here, and the linear map sees no other.
    linear = CellToText.fit(texts, studies, SMALL, reader="linear", run=TrainingRun("cpu"))
    assert accuracy(linear, texts) < 0.35
    assert not linear.has_matching


def test_cells_of_one_description_are_never_negatives() -> None:
    similarity = torch.tensor([[2.0, 0.0], [5.0, 0.0], [0.0, 1.0]], requires_grad=True)
    positives = torch.tensor([0, 0, 1])
    contrast(similarity, positives, torch.eye(2)).backward()
    gradient = similarity.grad
    assert gradient is not None
    # A true pair is pulled together, whatever other true pairs there are; a wrong one is pushed apart.
    is_true = torch.tensor([[True, False], [True, False], [False, True]])
    assert (gradient[is_true] < 0).all()
    assert (gradient[~is_true] > 0).all()
    # With nothing but cells of one description, there is nothing to tell apart.
    alone = contrast(torch.tensor([[2.0], [5.0]]), torch.tensor([0, 0]), torch.eye(1))
    assert alone == 0


def test_related_descriptions_are_pushed_apart_less() -> None:
    similarity = torch.zeros((2, 2))
    positives = torch.arange(2)
    losses = [
        float(contrast(similarity, positives, torch.tensor([[1.0, shared], [shared, 1.0]])))
        for shared in (0.0, 0.5, 1.0)
    ]
    np.testing.assert_allclose(losses, np.log([2.0, 1.5, 1.0]), atol=1e-6)


def test_wrong_pairs_are_wrong_and_hard() -> None:
    positives = torch.tensor([0, 0, 1, 2])
    similarity = torch.tensor([[9.0, 8.0, 0.0], [9.0, 0.0, 8.0], [0.0, 9.0, 0.0], [9.0, 0.0, 0.0]])
    affinity = torch.eye(3)
    torch.manual_seed(0)
    draws = [wrong_pairs(similarity, positives, affinity, torch.arange(4)) for _ in range(20)]
    for drawn in draws:
        assert (drawn.texts != positives[drawn.cells]).all()
        assert (positives[drawn.others] != positives[drawn.cells]).all()
    texts = torch.stack([drawn.texts for drawn in draws])
    assert (texts[:, 0] == 1).all()  # what the first cell is nearly as similar to
    assert (texts[:, 1] == 2).all()
    same = torch.ones((3, 3))
    assert not len(wrong_pairs(similarity, positives, same, torch.arange(4)).cells)


def test_types_of_the_same_wordings_are_one_description(texts: np.ndarray, studies: list[TokenStudy]) -> None:
    """Two studies name the same two types in rows of their own; nothing may tell them apart."""
    doubled = np.concatenate([texts[:2], texts[:2]])
    codes = np.repeat([0, 1], 20)
    same = [TokenStudy(planted(codes, number), codes, np.array([0, 1]) + 2 * number) for number in range(2)]
    merged = CellToText.fit(doubled, same, SMALL, run=TrainingRun("cpu"))
    scores = merged.scores(planted(codes, 5), doubled.mean(axis=1) - merged.center, n_matched=0)
    np.testing.assert_array_equal(scores[:, :2], scores[:, 2:])
    assert (scores[:, :2].argmax(axis=1) == codes).mean() > 0.9
    one = [TokenStudy(planted(codes, 0), codes, np.array([0, 2]))]
    with pytest.raises(ValueError, match="at least two descriptions; found 2 label"):
        CellToText.fit(doubled, one, SMALL, run=TrainingRun("cpu"))


def test_the_matching_head_sees_the_best_labels_only(
    trained: CellToText, texts: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens, labels = planted(np.arange(8), 3), mean_texts(texts, trained)
    plain = trained.scores(tokens, labels, n_matched=0)
    n_pairs = []
    assert isinstance(trained.network, QFormer)
    matches = trained.network.matches

    def counted(values: torch.Tensor, is_token: torch.Tensor, pairs: torch.Tensor) -> torch.Tensor:
        n_pairs.append(len(pairs))
        return matches(values, is_token, pairs)

    monkeypatch.setattr(trained.network, "matches", counted)
    matched = trained.scores(tokens, labels, n_matched=3)
    assert n_pairs == [8 * 3]
    best = np.argsort(-plain, axis=1)[:, :3]
    others = np.ones_like(plain, dtype=bool)
    np.put_along_axis(others, best, values=False, axis=1)
    np.testing.assert_array_equal(matched[others], plain[others])
    assert not np.allclose(matched[~others], plain[~others])
    shares = [np.exp(np.take_along_axis(each, best, axis=1)).sum(axis=1) for each in (plain, matched)]
    np.testing.assert_allclose(shares[1], shares[0], rtol=1e-4)
    n_pairs.clear()
    trained.scores(tokens, labels[:2], n_matched=3)
    assert n_pairs == [8 * 2]


def test_the_matching_head_knows_true_pairs(trained: CellToText, texts: np.ndarray) -> None:
    codes = np.repeat(np.arange(8), 10)
    values, is_token = planted(codes, 11).padded(np.arange(80))
    labels = torch.from_numpy(mean_texts(texts, trained)).float()
    assert isinstance(trained.network, QFormer)
    with torch.inference_mode():
        true = trained.network.matches(values, is_token, labels[codes])
        wrong = trained.network.matches(values, is_token, labels[(codes + 3) % 8])
    assert (true > wrong).float().mean() > 0.8


def test_the_same_seed_gives_the_same_network(
    trained: CellToText, texts: np.ndarray, studies: list[TokenStudy]
) -> None:
    few = replace(SMALL, n_steps=3)
    state = torch.get_rng_state()
    first, again = (CellToText.fit(texts, studies, few, run=TrainingRun("cpu")) for _ in range(2))
    assert torch.equal(state, torch.get_rng_state())  # of the user
    for name, values in first.arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], values, err_msg=name)
    other = CellToText.fit(texts, studies, replace(few, seed=1), run=TrainingRun("cpu"))
    assert not np.allclose(other.arrays()["network.queries"], first.arrays()["network.queries"])


@pytest.mark.parametrize("reader", ["qformer", "linear"])
def test_arrays_round_trip_through_a_file(
    reader: Any, texts: np.ndarray, studies: list[TokenStudy], tmp_path: Path
) -> None:
    fit = CellToText.fit(texts, studies, replace(SMALL, n_steps=3), reader=reader, run=TrainingRun("cpu"))
    save_file(fit.arrays(), tmp_path / "model.safetensors")
    again = CellToText.from_arrays(load_file(tmp_path / "model.safetensors"))
    assert again.options == fit.options
    tokens, labels = planted(np.arange(8), 3), mean_texts(texts, fit)
    np.testing.assert_array_equal(again.scores(tokens, labels), fit.scores(tokens, labels))


def test_a_cell_without_tokens_has_no_score_and_company_does_not_matter(trained: CellToText, texts: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    lengths = np.array([5, 0, 13])
    tokens = CellTokens.of([(rng.normal(size=(3, 13, TOKEN_DIM)), np.arange(13) < lengths[:, None])])
    scores = trained.scores(tokens, mean_texts(texts, trained))
    assert np.isnan(scores).all(axis=1).tolist() == [False, True, False]
    alone = CellTokens(tokens.values[:5], tokens.indptr[:2])
    np.testing.assert_allclose(trained.scores(alone, mean_texts(texts, trained)), scores[:1], atol=1e-4)


def test_wrong_readers_are_named(texts: np.ndarray, studies: list[TokenStudy]) -> None:
    with pytest.raises(ValueError, match="Unknown `reader='qformr'`.*Did you mean 'qformer'"):
        CellToText.fit(texts, studies, SMALL, reader="qformr")  # type: ignore[arg-type]


def test_scores_are_cosines_over_the_temperature_batch_after_batch(trained: CellToText, texts: np.ndarray) -> None:
    """More cells than a batch of 128 holds, of which some cannot be read."""
    lengths = np.full(262, 6)
    lengths[[3, 200]] = 0
    values = np.random.default_rng(0).normal(size=(262, 6, TOKEN_DIM))
    tokens = CellTokens.of([(values, np.arange(6) < lengths[:, None])])
    labels = mean_texts(texts, trained)
    found = trained.scores(tokens, labels, n_matched=0)
    rows = np.flatnonzero(lengths)
    with torch.inference_mode():
        cells = trained.network.cells(*tokens.padded(rows))
        cosines = (cells @ trained.network.texts(torch.from_numpy(labels).float()).T).amax(dim=1)
    np.testing.assert_allclose(found[rows], cosines / SMALL.temperature, rtol=1e-4, atol=1e-4)
    assert np.isnan(found[[3, 200]]).all()
    # The only label that is judged has all of the probability of those that are.
    np.testing.assert_array_equal(trained.scores(tokens, labels, n_matched=1), found)
    two = trained.scores(tokens, labels, n_matched=2)[rows]
    assert ((two != found[rows]).sum(axis=1) == 2).all()


def test_a_matching_head_orders_labels_by_similarity_and_by_its_own_judgement(
    trained: CellToText, texts: np.ndarray
) -> None:
    labels = mean_texts(texts, trained)
    tokens = planted(np.arange(8), 3)
    assert isinstance(trained.network, QFormer)
    plain, matched = (torch.from_numpy(trained.scores(tokens, labels, n_matched=n)) for n in (0, 3))
    values, is_token = tokens.padded(np.arange(8))
    for cell in range(8):
        best = plain[cell].topk(3).indices
        pairs = torch.from_numpy(labels).float()[best]
        with torch.inference_mode():
            judged = trained.network.matches(values[[cell] * 3], is_token[[cell] * 3], pairs)
        expected = (plain[cell, best] + judged.sigmoid().log()).log_softmax(dim=0)
        torch.testing.assert_close(matched[cell, best].log_softmax(dim=0), expected, rtol=1e-3, atol=1e-3)


def test_a_given_affinity_counts_unless_wordings_are_the_same() -> None:
    texts = np.array([[[1.0], [2.0]], [[2.0], [1.0]], [[1.0], [2.0]]])
    np.testing.assert_array_equal(_affinity(texts, None), [[1, 0, 1], [0, 1, 0], [1, 0, 1]])
    given = np.array([[1.0, 0.5, 0.2], [0.5, 1.0, 0.3], [0.2, 0.3, 1.0]])
    np.testing.assert_allclose(_affinity(texts, given), [[1, 0.5, 1], [0.5, 1, 0.3], [1, 0.3, 1]])


def test_a_linear_map_is_trained_first_and_each_part_is_resumed_by_itself(
    texts: np.ndarray, studies: list[TokenStudy], tmp_path: Path
) -> None:
    options = replace(SMALL, n_steps=2, matching=0.0)
    fit = CellToText.fit(texts, studies, options, run=TrainingRun("cpu", folder=tmp_path))
    states = {path.parent.name: torch.load(path, weights_only=True) for path in tmp_path.glob("*/last.ckpt")}
    assert {name: state["global_step"] for name, state in states.items()} == {"linear": 200, "qformer": 2}
    # Without weight, no matching head is trained, nor asked.
    assert not fit.has_matching
    tokens, labels = planted(np.arange(8), 3), mean_texts(texts, fit)
    np.testing.assert_array_equal(fit.scores(tokens, labels), fit.scores(tokens, labels, n_matched=0))
