"""What a step from cells to texts sees: labels of every study evenly, cells of each, and distinct texts."""

from dataclasses import replace
from itertools import islice

import numpy as np
import torch

from scmpt_scverse.module import CellTokens, QFormerOptions, TokenStudy
from scmpt_scverse.module._token_steps import TokenStep, TokenSteps

OPTIONS = QFormerOptions(cells_per_step=6, n_genes=3)


def tokens_of(codes: np.ndarray, n_tokens: np.ndarray) -> CellTokens:
    """Tokens that say which cell and which of its tokens they are."""
    values = np.zeros((len(codes), n_tokens.max(), 2))
    values[..., 0], values[..., 1] = np.arange(len(codes))[:, None], np.arange(n_tokens.max())
    return CellTokens.of([(values, np.arange(n_tokens.max()) < n_tokens[:, None])])


def study(codes: list[int], types: list[int], n_tokens: list[int]) -> TokenStudy:
    numbers = np.array(codes)
    return TokenStudy(tokens_of(numbers, np.array(n_tokens)), numbers, np.array(types))


def steps(*studies: TokenStudy, n: int = 40, options: QFormerOptions = OPTIONS) -> list[TokenStep]:
    return list(islice(TokenSteps(studies, 2, options), n))


def test_cells_of_every_label_in_equal_parts_with_their_text() -> None:
    """Cells 0 to 3 have the first label, cell 4 the second, cell 5 none; cell 6 has no token; the last type no cell."""
    codes = [0, 0, 0, 0, 1, -1, 0]
    one = study(codes, [7, 3, 9], [5, 5, 5, 5, 2, 5, 0])
    assert TokenSteps([one], 2, OPTIONS).types == [3, 7]
    seen: set[int] = set()
    for step in steps(one):
        cells = step.tokens[:, 0, 0].long()
        assert len(cells) == 4  # six cells for two labels: three of one, and all that there are of the other
        assert step.types.tolist() == [3, 7]
        assert sorted(step.types[step.positives].tolist()) == [3, 7, 7, 7]
        assert (step.types[step.positives] == torch.tensor([7, 3])[torch.tensor(codes)[cells]]).all()
        assert len(set(cells.tolist())) == 4
        seen |= set(cells.tolist())
        lengths = torch.where(cells == 4, 2, 4)
        assert (step.is_token.sum(dim=1) == lengths).all()
        assert not step.tokens[~step.is_token].any()
        assert step.tokens.shape == (4, 4, 2)
        assert (step.tokens[:, 0, 1] == 0).all()  # the whole cell comes first
    assert seen == {0, 1, 2, 3, 4}


def test_wordings_are_any_of_those_there_are() -> None:
    one = study([0, 1, 1], [0, 1], [3, 3, 3])
    found = torch.stack([step.wordings for step in steps(one)])
    assert found.shape == (40, 2)
    assert found.unique().tolist() == [0, 1]
    assert 0.25 < found.float().mean() < 0.75


def test_more_labels_than_cells_in_a_step_take_turns() -> None:
    labels = list(range(9))
    one = study(labels, labels, [2] * 9)
    found = [step.types.tolist() for step in steps(one)]
    assert {len(each) for each in found} == {6}
    assert set(np.concatenate(found)) == set(labels)


def test_studies_stand_side_by_side_and_share_texts() -> None:
    one, other = study([0, 1] * 2, [5, 8], [4] * 4), study([0, 0], [5], [2] * 2)
    without = study([-1, -1], [2], [3] * 2)
    for step in steps(one, other, without, n=5):
        assert step.types.tolist() == [5, 8]
        assert step.types[step.positives].tolist().count(5) == 4
        assert step.tokens.shape[:2] == step.is_token.shape == (6, 4)
        assert step.is_token.sum(dim=1).tolist() == [4] * 4 + [2] * 2


def test_steps_come_from_the_seed_alone() -> None:
    one = study([0, 1] * 20, [0, 1], [9] * 40)
    first, again, other = (steps(one, n=2, options=replace(OPTIONS, seed=seed)) for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first[1], again[1], strict=True))
    assert not torch.equal(first[1].tokens, other[1].tokens)
    assert not torch.equal(first[0].tokens, first[1].tokens)
