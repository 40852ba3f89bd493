"""Partners of units, beside all ways there are to give them."""

from itertools import permutations

import numpy as np
import pytest
import torch
from torch import Tensor

from likethat.functional.matching import correlations, match_units


def responses(n: int = 400, *, seed: int = 0) -> Tensor:
    """Four units, and the same in another order with noise; the last is another."""
    rng = torch.Generator().manual_seed(seed)
    first = torch.randn(n, 4, generator=rng, dtype=torch.float64)
    second = first[:, [2, 0, 1, 3]] + 0.1 * torch.randn(n, 4, generator=rng, dtype=torch.float64)
    second[:, 3] = torch.randn(n, generator=rng, dtype=torch.float64)
    return torch.cat([first, second], 1)


def groups() -> list[tuple[Tensor, Tensor]]:
    return [(torch.arange(4), torch.arange(4, 8))]


def test_the_best_of_all_ways() -> None:
    correlation = correlations(torch.cov(responses().T))
    assert correlation.numpy() == pytest.approx(np.corrcoef(responses().T.numpy()))
    pairs = match_units(correlation, groups(), rng=torch.Generator().manual_seed(0))
    best = max(permutations(range(4)), key=lambda way: sum(float(correlation[i, 4 + j]) for i, j in enumerate(way)))
    assert (pairs.second - 4).tolist() == list(best)
    assert pairs.first.tolist() == [0, 1, 2, 3]
    clear = pairs.correlation >= pairs.clear_from
    assert clear.tolist() == [True, True, True, False]


def test_units_turned_at_random_are_the_null() -> None:
    """All units share most of their variance: any turned unit is like any other, and .9 is nothing."""
    common = torch.randn(400, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    alike = common + 0.3 * responses()
    pairs = match_units(correlations(torch.cov(alike.T)), groups(), rng=torch.Generator().manual_seed(0))
    assert pairs.clear_from > 0.9
    apart = match_units(correlations(torch.cov(responses().T)), groups(), rng=torch.Generator().manual_seed(0))
    assert apart.clear_from < pairs.clear_from + 0.1


def test_of_two_units_that_are_alike_each_is_its_own_partner() -> None:
    values = responses()[:, [0, 1, 1, 1, 0, 1, 1, 1]]
    pairs = match_units(correlations(torch.cov(values.T)), groups(), rng=torch.Generator().manual_seed(0))
    assert (pairs.second - pairs.first).tolist() == [4, 4, 4, 4]
    assert (pairs.correlation >= pairs.clear_from).all()


def test_groups_keep_to_themselves_and_one_unit_alone_needs_half_its_variance() -> None:
    correlation = correlations(torch.cov(responses().T))
    one = [(torch.tensor([0]), torch.tensor([5])), (torch.tensor([3]), torch.tensor([7]))]
    pairs = match_units(correlation, one, rng=torch.Generator().manual_seed(0))
    assert (pairs.first.tolist(), pairs.second.tolist(), pairs.clear_from) == ([0, 3], [5, 7], 0.7)
    assert len(match_units(correlation, [], rng=torch.Generator().manual_seed(0)).first) == 0
