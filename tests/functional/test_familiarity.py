"""Whether a vector is unlike those seen."""

import numpy as np
import pytest
import torch

from likethat.functional.familiarity import Familiar, familiar


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


@pytest.mark.slow
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


@pytest.mark.parametrize(("n", "dim"), [(48, 4), (60, 70), (300, 40)])
def test_distance_and_limit_are_those_of_the_whole_covariance_matrix(n: int, dim: int) -> None:
    """Beside numpy: every second row fitted, a quarter of these or 32 directions, the mean variance across them."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(n, dim)) @ rng.normal(size=(dim, dim)) + 3
    found = familiar(torch.from_numpy(rows).float())
    assert found is not None
    fitted, held = rows[1::2], rows[::2]
    values, vectors = np.linalg.eigh(np.cov(fitted.T))
    r = max(1, min(32, len(fitted) // 4, dim - 1))
    rest = values[:-r].sum() / (dim - r)
    main = vectors[:, -r:]
    covariance = main @ np.diag(np.maximum(values[-r:], rest) - rest) @ main.T + rest * np.eye(dim)
    assert found.directions.shape == (r, dim)
    assert found.rest == pytest.approx(rest, rel=1e-4)
    asked = np.concatenate([held, 5 * rng.normal(size=(3, dim))])
    apart = asked - fitted.mean(0)
    distance = np.sqrt((apart * np.linalg.solve(covariance, apart.T).T).sum(1))
    np.testing.assert_allclose(found.distance(torch.from_numpy(asked)), distance, rtol=1e-3)
    logs = np.log(distance[: len(held)])
    limit = max(logs.max(), logs.mean() + (3 + 30 / len(logs)) * logs.std(ddof=1))
    assert found.limit == pytest.approx(np.exp(limit), rel=2e-3)


def test_forty_rows_say_something_and_of_many_2048_are_looked_at() -> None:
    rows = torch.randn(9000, 2, generator=torch.Generator().manual_seed(0))
    assert familiar(rows[:40]) is not None
    looked_at = rows[np.linspace(0, 8999, 2048).astype(int)]
    few, many = familiar(looked_at), familiar(rows)
    assert few is not None
    assert many is not None
    assert torch.equal(few.mean, many.mean)
    assert few.limit == many.limit


def test_the_limit_itself_is_still_familiar() -> None:
    seen = Familiar(mean=torch.zeros(2), directions=torch.eye(2)[:1], variances=torch.ones(1), rest=1.0, limit=2.0)
    assert not seen.is_unlike(torch.tensor([2.0, 0.0]))
    assert seen.is_unlike(torch.tensor([2.1, 0.0]))
    assert not Familiar(**{**vars(seen), "limit": float("inf")}).is_unlike(torch.tensor([1e30, 0.0]))


def test_rows_along_one_line_leave_a_little_variance_across_it() -> None:
    rows = torch.linspace(-1, 1, 80, dtype=torch.float64)[:, None] * torch.tensor([[3.0, 4.0]]).double()
    found = familiar(rows.float())
    assert found is not None
    assert found.directions.abs().flatten().tolist() == pytest.approx([0.6, 0.8])
    assert found.rest == pytest.approx(1e-9 * float(found.variances[0]), rel=1e-3)


def test_the_farthest_that_was_held_out_is_familiar_however_far_it_is() -> None:
    rows = torch.randn(300, 5, generator=torch.Generator().manual_seed(0))
    rows[0] = 1000.0  # of the half that is not fitted
    found = familiar(rows)
    assert found is not None
    assert found.limit == pytest.approx(float(found.distance(rows[:1])), rel=1e-9)
    assert found.is_unlike(1.01 * rows[0])
