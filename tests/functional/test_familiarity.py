"""Whether a vector is unlike those seen."""

import pytest
import torch

from likethat.functional.familiarity import familiar


def test_as_far_as_mahalanobis_where_the_directions_are_all_there_are() -> None:
    rng = torch.Generator().manual_seed(0)
    seen = torch.randn(400, 3, generator=rng) @ torch.tensor([[2.0, 0, 0], [0, 1, 0], [0, 0, 0.5]])
    found = familiar(seen)
    assert found is not None
    fitted = seen[1::2].double()
    inverse = torch.linalg.inv(torch.cov(fitted.T))
    asked = torch.tensor([[1.0, 2.0, 3.0], [-4.0, 0.5, 0.0]])
    apart = asked.double() - fitted.mean(0)
    expected = (apart @ inverse * apart).sum(1).sqrt()
    torch.testing.assert_close(found.distance(asked), expected, rtol=1e-4, atol=0)


def test_few_of_the_same_kind_are_unlike_and_others_are() -> None:
    rng = torch.Generator().manual_seed(0)
    mixing = torch.randn(50, 50, generator=rng)
    kind = torch.randn(3000, 50, generator=rng) @ mixing
    found = familiar(kind[:1000])
    assert found is not None
    assert sum(map(found.is_unlike, kind[1000:])) <= 10  # of 2,000: half a percent
    assert all(map(found.is_unlike, kind[:100] + 6 * 50**0.5 * mixing[0]))


def test_more_channels_than_pictures() -> None:
    kind = torch.randn(600, 300, generator=torch.Generator().manual_seed(1))
    found = familiar(kind[:100])
    assert found is not None
    assert found.directions.shape == (12, 300)
    assert sum(map(found.is_unlike, kind[100:])) <= 5
    assert found.is_unlike(3 * kind[200])


def test_says_nothing_of_too_few_or_of_one() -> None:
    assert familiar(torch.rand(39, 4)) is None
    assert familiar(torch.ones(100, 4)) is None


def test_what_lies_across_the_main_directions_is_measured_by_its_own_spread() -> None:
    rng = torch.Generator().manual_seed(0)
    scale = torch.tensor([3.0] * 3 + [0.1] * 57)
    seen = familiar(torch.randn(4000, 60, generator=rng) * scale)
    assert seen is not None
    assert len(seen.directions) == 32  # the other 28 of 60 have a variance of .01 each
    assert seen.rest == pytest.approx(0.008, rel=0.1)  # less the largest, which were taken for directions
