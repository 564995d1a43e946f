"""Shapley values of modalities against their definition, as a mean over orders."""

from itertools import combinations, permutations

import pytest
import torch

from scmpt_scverse.trust import contributions, logits_by_coalition


@pytest.mark.parametrize("n_modalities", [1, 2, 3, 4])
def test_values_are_the_mean_gain_over_all_orders(n_modalities: int) -> None:
    names = tuple("abcd"[:n_modalities])
    generator = torch.Generator().manual_seed(0)
    logits = {
        coalition: torch.randn(6, 3, generator=generator, dtype=torch.float64)
        for size in range(n_modalities + 1)
        for coalition in combinations(names, size)
    }
    labels = torch.arange(6) % 3
    values = {frozenset(key): each.log_softmax(1)[torch.arange(6), labels] for key, each in logits.items()}
    expected = torch.zeros(6, n_modalities, dtype=torch.float64)
    orders = list(permutations(names))
    for order in orders:
        for place, name in enumerate(order):
            gain = values[frozenset(order[: place + 1])] - values[frozenset(order[:place])]
            expected[:, names.index(name)] += gain / len(orders)
    found = contributions(logits, names, labels)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(found.sum(dim=1), values[frozenset(names)] - values[frozenset()])


def test_coalitions_see_only_their_modalities_and_none_means_the_mean() -> None:
    seen: list[dict[str, torch.Tensor]] = []

    def logits(inputs: "dict[str, torch.Tensor]") -> torch.Tensor:
        seen.append(dict(inputs))
        return torch.zeros(2, 3)

    standardised = {"a": torch.ones(2, 4), "b": torch.ones(2, 5)}
    found = logits_by_coalition(logits, standardised)  # type: ignore[arg-type]
    assert list(found) == [(), ("a",), ("b",), ("a", "b")]
    assert [sorted(inputs) for inputs in seen] == [["a", "b"], ["a"], ["b"], ["a", "b"]]
    assert all((values == 0).all() for values in seen[0].values())
    assert all((values == 1).all() for inputs in seen[1:] for values in inputs.values())
