"""Candidates: how many, how typical, and from which neighbourhood."""

import numpy as np
import pytest
import torch
from torch import Tensor

from likethat.generators.priors import StandardNormal
from likethat.search.candidates import Candidates


class Flat:
    """Normal samples of which none is less typical than another: every candidate is kept."""

    dim = 2

    def sample(self, n: int, *, rng: torch.Generator) -> Tensor:
        """Draw."""
        return torch.randn(n, 2, generator=rng)

    def log_prob(self, latents: Tensor) -> Tensor:
        """Return the same for all."""
        return torch.zeros(len(latents))


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.9])
def test_a_share_of_2000_samples_counts_as_untypical(share: float) -> None:
    prior = StandardNormal(3)
    made = Candidates.of(prior, rng(), typical=share)
    samples = prior.sample(2000, rng=rng())
    assert made.floor == pytest.approx(np.quantile(prior.log_prob(samples).double().numpy(), share))
    assert made.pool.shape == (2000, 3)
    torch.testing.assert_close(made.whitening.back(made.pool), samples.double())
    kept = made.typical(made.pool)
    assert len(kept) == pytest.approx(2000 * (1 - share), abs=2)
    assert prior.log_prob(made.whitening.back(kept).float()).min() >= made.floor - 1e-5


def test_fresh_ones_are_the_priors_next_samples_whitened() -> None:
    made, again = Candidates.of(Flat(), rng(), typical=0.25), rng()
    Flat().sample(2000, rng=again)
    torch.testing.assert_close(made.fresh(7), made.whitening.to(Flat().sample(7, rng=again)))


@pytest.mark.parametrize("step", [0.3, 0.8])
def test_a_step_has_the_mean_and_the_spread_of_the_50_nearest(step: float) -> None:
    made = Candidates.of(Flat(), rng(), typical=0.25)
    at = torch.tensor([[0.5, -1.0], [2.0, 0.0]], dtype=torch.float64)
    moved = made.near(at, step=step, each=20000).reshape(2, 20000, 2)
    for point, steps in zip(at.numpy(), moved.numpy(), strict=True):
        pool = made.pool.numpy()
        nearest = pool[np.argsort(((pool - point) ** 2).sum(1))[:50]]
        expected = nearest.mean(0) + (1 - step**2) ** 0.5 * (point - nearest.mean(0))
        spread = step**2 * np.cov(nearest.T, bias=True)
        np.testing.assert_allclose(steps.mean(0), expected, atol=5 * np.sqrt(spread.diagonal() / 20000).max())
        np.testing.assert_allclose(np.cov(steps.T), spread, rtol=0.05, atol=0.01 * spread.diagonal().max())
        assert len(np.unique(steps.round(9), axis=0)) == pytest.approx(50 * 49 + 1, abs=5)  # pairs of the 50, and none


def test_rows_of_steps_belong_to_their_points() -> None:
    made = Candidates.of(Flat(), rng(), typical=0.25)
    at = torch.tensor([[1.0, 1.0], [-1.0, 0.0], [0.0, -1.0]], dtype=torch.float64)
    moved = made.near(at, step=0.05, each=4)
    assert torch.cdist(moved, at).argmin(1).tolist() == [0] * 4 + [1] * 4 + [2] * 4


def test_ways_end_at_both_ends_and_lie_evenly_between() -> None:
    made = Candidates.of(Flat(), rng(), typical=0.25)
    first = torch.tensor([[1.0, 0.0], [2.0, 0.0]], dtype=torch.float64)
    second = torch.tensor([[4.0, 0.0], [8.0, 0.0]], dtype=torch.float64)
    on_a_line = made.between(first, second, 4000)
    assert on_a_line.shape == (4000, 2)
    assert float(on_a_line[:, 1].abs().max()) == 0.0
    along = on_a_line[:, 0]
    assert 1.0 <= float(along.min()) < 1.05
    assert 7.9 < float(along.max()) <= 8.0
    assert float(along.mean()) == pytest.approx((1.5 + 6) / 2, abs=0.12)  # the middles of both groups
    turned = made.between(first[:1], torch.tensor([[0.0, 3.0]]).double(), 500)
    straight_share = turned[:, 1] / 3 / (turned[:, 1] / 3 + turned[:, 0])  # of the straight line's point below it
    torch.testing.assert_close(turned.norm(dim=1), 1 + 2 * straight_share)
    through_the_middle = made.between(first[:1], -first[:1], 50)
    assert bool(torch.isfinite(through_the_middle).all())
    torch.testing.assert_close(through_the_middle.norm(dim=1), torch.ones(50).double())
