import torch

from scmpt_scverse.module._log_odds import log_odds


def test_log_odds_are_those_of_the_probabilities() -> None:
    logits = torch.randn(50, 6, generator=torch.Generator().manual_seed(0)) * 3
    assert torch.allclose(log_odds(logits), logits.double().softmax(1).logit(), atol=1e-9)


def test_probabilities_that_round_to_one_are_told_apart() -> None:
    logits = torch.tensor([[40.0, 0.0, 0.0], [60.0, 0.0, 0.0]])
    assert (logits.double().softmax(1)[:, 0] == 1).all()
    first, second = log_odds(logits)[:, 0].tolist()
    assert second - first == 20


def test_nan_stays_nan() -> None:
    odds = log_odds(torch.tensor([[float("nan")] * 3, [0.0, 1.0, 2.0]]))
    assert odds.isnan().all(dim=1).tolist() == [True, False]
    assert log_odds(torch.zeros(0, 3)).shape == (0, 3)
