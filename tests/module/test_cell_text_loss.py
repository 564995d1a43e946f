"""The loss from cells to texts, against its definition in a few lines of torch."""

from itertools import islice

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from scmpt_scverse.module import CellTokens, QFormerOptions, TokenStudy
from scmpt_scverse.module._cell_text_loss import CellTextLoss, contrast, similarities, wrong_pairs
from scmpt_scverse.module._qformer import LinearProjector, QFormer
from scmpt_scverse.module._token_steps import TokenStep, TokenSteps

TOKEN_DIM, TEXT_DIM, N_TYPES = 6, 5, 4
OPTIONS = QFormerOptions(n_queries=3, width=8, n_layers=2, n_heads=2, dim=4, dropout=0.0, cells_per_step=16)


@pytest.fixture
def step() -> TokenStep:
    """Sixteen cells of four types."""
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(N_TYPES), 6)
    tokens = CellTokens.of([(rng.normal(size=(24, 5, TOKEN_DIM)), np.ones((24, 5), dtype=bool))])
    found = next(islice(TokenSteps([TokenStudy(tokens, codes, np.arange(N_TYPES))], 2, OPTIONS), 1))
    assert len(found.positives) == 16
    return found


def loss_of(network: QFormer | LinearProjector, affinity: Tensor, **options: float) -> CellTextLoss:
    texts = torch.randn(N_TYPES, 2, TEXT_DIM, generator=torch.Generator().manual_seed(1))
    return CellTextLoss(network, texts, affinity, **{"noise": 0.0, "temperature": 0.2, "matching": 0.0, **options})


def qformer() -> QFormer:
    torch.manual_seed(0)
    return QFormer(TOKEN_DIM, TEXT_DIM, OPTIONS)


def test_a_cell_is_as_similar_to_a_text_as_its_nearest_query() -> None:
    cells = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.6, 0.8], [-1.0, 0.0]]])
    texts = torch.tensor([[1.0, 0.0], [0.8, 0.6], [-1.0, 0.0]])
    expected = torch.tensor([[1.0, 0.8, 0.0], [0.6, 0.96, 1.0]])
    torch.testing.assert_close(similarities(cells, texts), expected)


def test_contrast_of_single_pairs_is_symmetric_cross_entropy() -> None:
    similarity = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    own = torch.arange(4)
    expected = (functional.cross_entropy(similarity, own) + functional.cross_entropy(similarity.T, own)) / 2
    torch.testing.assert_close(contrast(similarity, own, torch.eye(4)), expected)


def test_contrast_by_hand() -> None:
    """Cells 0 and 1 have the first text, cell 2 the second, which means the same by a quarter."""
    e = np.exp
    similarity = torch.tensor([[2.0, 1.0], [0.5, -1.0], [0.0, 3.0]])
    affinity = torch.tensor([[1.0, 0.25], [0.25, 1.0]])
    by_cell = [np.log(1 + 0.75 * e(1 - 2.0)), np.log(1 + 0.75 * e(-1 - 0.5)), np.log(1 + 0.75 * e(0 - 3.0))]
    by_text = [np.log(1 + 0.75 * e(0 - 2.0)), np.log(1 + 0.75 * e(0 - 0.5)), np.log(1 + 0.75 * (e(1 - 3.0) + e(-4.0)))]
    found = contrast(similarity, torch.tensor([0, 0, 1]), affinity)
    assert found.item() == pytest.approx((np.mean(by_cell) + np.mean(by_text)) / 2, rel=1e-5)


def test_wrong_pairs_are_drawn_by_probability_and_weight() -> None:
    """Of the first text: the second half as often as the third, which is as similar but unrelated."""
    similarity = torch.zeros(3, 3)
    affinity = torch.tensor([[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]])
    torch.manual_seed(0)
    drawn = wrong_pairs(similarity.repeat(1000, 1), torch.arange(3).repeat(1000), affinity, torch.arange(0, 3000, 3))
    assert (drawn.texts == 1).float().mean().item() == pytest.approx(1 / 3, abs=0.05)
    assert (drawn.texts == 2).float().mean().item() == pytest.approx(2 / 3, abs=0.05)
    assert (drawn.others % 3 == 1).float().mean().item() == pytest.approx(1 / 3, abs=0.05)
    assert (drawn.cells == torch.arange(0, 3000, 3)).all()


def test_texts_are_drawn_by_the_cell_and_cells_by_the_text() -> None:
    """Wrong texts in proportion to the cell's own probabilities of them, wrong cells to those that the text has."""
    similarity = torch.randn(4, 4, generator=torch.Generator().manual_seed(2)) * 1.5
    weight = 1 - torch.eye(4)
    torch.manual_seed(0)
    for cell in range(4):
        drawn = wrong_pairs(similarity, torch.arange(4), torch.eye(4), torch.full((8000,), cell))
        for found, logits in ((drawn.texts, similarity[cell]), (drawn.others, similarity[:, cell])):
            expected = logits.exp() * weight[cell]
            torch.testing.assert_close(
                torch.bincount(found, minlength=4) / 8000, expected / expected.sum(), atol=0.03, rtol=0
            )


def test_a_wrong_pair_is_found_where_the_contrast_is_sure_of_all_others() -> None:
    """In float32, their probability is 0."""
    similarity = torch.tensor([[500.0, 0.0], [0.0, 500.0]])
    drawn = wrong_pairs(similarity, torch.arange(2), torch.eye(2), torch.arange(2))
    assert drawn.texts.tolist() == drawn.others.tolist() == [1, 0]


def test_only_cells_with_negatives_are_paired() -> None:
    affinity = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 1.0]])
    drawn = wrong_pairs(torch.zeros(3, 3), torch.arange(3), affinity, torch.arange(3))
    assert (drawn.cells.tolist(), drawn.texts.tolist(), drawn.others.tolist()) == ([0, 2], [2, 0], [2, 0])


def test_without_noise_and_matching_the_loss_is_the_contrast(step: TokenStep) -> None:
    affinity = torch.eye(N_TYPES) + 0.3 * (1 - torch.eye(N_TYPES))
    for network in (qformer(), LinearProjector(TOKEN_DIM, TEXT_DIM, OPTIONS)):
        loss = loss_of(network, affinity)
        cells, texts = network.cells(step.tokens, step.is_token), network.texts(loss.texts[step.types, step.wordings])
        expected = contrast(similarities(cells, texts) / 0.2, step.positives, affinity)
        torch.testing.assert_close(loss.training_loss(step), expected)
        assert loss.n_cells(step) == 16
        assert loss.validation_metrics(step) == {}


def test_affinity_is_that_of_the_types_of_the_step(step: TokenStep) -> None:
    """A step holds some of the types, in an order of its own."""
    affinity = torch.rand(N_TYPES, N_TYPES, generator=torch.Generator().manual_seed(0))
    affinity = (affinity + affinity.T).clamp(max=2) / 2
    affinity.fill_diagonal_(1)
    some = step.positives < 2
    moved = step._replace(
        tokens=step.tokens[some],
        is_token=step.is_token[some],
        positives=step.positives[some],
        types=torch.tensor([3, 1]),
        wordings=step.wordings[:2],
    )
    network = qformer()
    loss = loss_of(network, affinity)
    cells, texts = network.cells(moved.tokens, moved.is_token), network.texts(loss.texts[moved.types, moved.wordings])
    own = torch.tensor([[1.0, affinity[3, 1]], [affinity[1, 3], 1.0]])
    expected = contrast(similarities(cells, texts) / 0.2, moved.positives, own)
    torch.testing.assert_close(loss.training_loss(moved), expected)


def test_noise_is_in_units_of_the_spread_of_texts(step: TokenStep, monkeypatch: pytest.MonkeyPatch) -> None:
    network = LinearProjector(TOKEN_DIM, TEXT_DIM, OPTIONS)
    loss = loss_of(network, torch.eye(N_TYPES), noise=0.5)
    seen, texts_of = [], network.texts

    def noted(texts: Tensor) -> Tensor:
        seen.append(texts)
        return texts_of(texts)

    monkeypatch.setattr(network, "texts", noted)
    torch.manual_seed(0)
    for _ in range(300):
        loss.training_loss(step)
    noise = torch.stack(seen) - loss.texts[step.types, step.wordings]
    assert noise.std().item() == pytest.approx(0.5 * loss.texts.std(dim=0).mean().item(), rel=0.03)
    assert noise.mean().abs() < 0.02


@pytest.mark.parametrize("weight", [1.0, 0.25])
def test_true_pairs_are_told_from_wrong_ones(weight: float, step: TokenStep, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter of the cells: each with its text, with a wrong text, and its text with a wrong cell."""
    network = qformer()
    pairs = []
    matches = network.matches

    def noted(tokens: Tensor, is_token: Tensor, texts: Tensor) -> Tensor:
        logits = matches(tokens, is_token, texts)
        pairs.append((tokens, texts, logits))
        return logits

    monkeypatch.setattr(network, "matches", noted)
    plain = loss_of(network, torch.eye(N_TYPES)).training_loss(step)
    loss = loss_of(network, torch.eye(N_TYPES), matching=weight)
    found = loss.training_loss(step) - plain
    ((tokens, texts, logits),) = pairs
    assert len(tokens) == len(texts) == 3 * 4
    of_cell = (tokens[:, None] == step.tokens).all(dim=(2, 3)).long().argmax(dim=1)
    of_text = (texts[:, None] == loss.texts[step.types, step.wordings]).all(dim=2).long().argmax(dim=1)
    is_true = step.positives[of_cell] == of_text
    assert is_true.tolist() == [True] * 4 + [False] * 8
    assert of_cell[:4].tolist() == of_cell[4:8].tolist()
    assert of_text[:4].tolist() == of_text[8:].tolist()
    expected = weight * functional.binary_cross_entropy_with_logits(logits, is_true.float())
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_of_few_cells_one_is_matched_and_of_one_description_none(step: TokenStep) -> None:
    loss = loss_of(qformer(), torch.eye(N_TYPES), matching=1.0)
    assert len(loss._wrong_pairs(torch.zeros(2, 2), torch.arange(2), torch.eye(2)).cells) == 1
    alone = step._replace(types=step.types[:1], wordings=step.wordings[:1], positives=torch.zeros_like(step.positives))
    assert loss.training_loss(alone) == 0
