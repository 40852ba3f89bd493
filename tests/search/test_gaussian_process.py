"""The process that is chosen, and what is drawn from it; scikit-learn's beside it is in test_search.py."""

import math

import pytest
import torch
from scipy.stats import multivariate_normal

from likethat.search.gaussian_process import Posterior, fit_gaussian_process


def draws(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("roughness", [0.0, 0.6, 2.0, 6.0])
@pytest.mark.parametrize("dim", [1, 3])
def test_length_and_noise_are_the_likeliest_under_the_belief_about_lengths(dim: int, roughness: float) -> None:
    points = draws(14, dim)
    outputs = torch.stack([(roughness * points).sin().sum(1), points[:, 0]], 1) + 0.1 * draws(14, 2, seed=1)
    chosen = fit_gaussian_process(points, outputs)
    scores = {}
    for scale in (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0):
        for noise in (1e-4, 1e-2, 1e-1):
            fit = fit_gaussian_process(points, outputs, lengths=(scale * math.sqrt(dim),), noises=(noise,))
            belief = -((math.log(scale) - math.log(0.7)) ** 2) / (2 * 0.5**2)  # log-normal around .7
            scores[scale * math.sqrt(dim), noise] = fit.log_likelihood + belief
    assert (chosen.length, chosen.noise) == max(scores, key=lambda key: scores[key])


def test_lengths_of_ones_own_are_weighed_by_the_outputs_alone() -> None:
    points = draws(10, 2)
    outputs = points[:, :1].sin()
    fits = [fit_gaussian_process(points, outputs, lengths=(length,)) for length in (0.1, 1.0, 30.0)]
    best = fit_gaussian_process(points, outputs, lengths=(0.1, 1.0, 30.0))
    assert best.log_likelihood == max(fit.log_likelihood for fit in fits)


def test_outputs_that_never_vary_have_a_little_variance() -> None:
    points = draws(5, 2)
    fit = fit_gaussian_process(points, torch.full((5, 1), 3.0, dtype=torch.float64))
    assert fit.variance.tolist() == [1e-4]
    assert fit.mean.tolist() == [3.0]
    believed = fit.posterior(torch.tensor([[100.0, 100.0]]).double())
    assert (believed.mean.item(), believed.variance.item()) == (3.0, pytest.approx(1e-4))


def test_at_what_was_seen_without_noise_nothing_is_open() -> None:
    points = torch.tensor([[0.0], [1.0], [3.0]], dtype=torch.float64)
    fit = fit_gaussian_process(points, points.sin(), lengths=(1.0,), noises=(1e-13,))
    believed = fit.posterior(points)
    torch.testing.assert_close(believed.mean, points.sin(), atol=1e-9, rtol=0)
    assert 0 < float(believed.variance.min()) <= float(believed.variance.max()) < 1e-9


def test_draws_have_the_mean_and_the_variance() -> None:
    believed = Posterior(mean=torch.tensor([[1.0, -2.0]]).double(), variance=torch.tensor([[4.0, 0.25]]).double())
    drawn = believed.sample(20000, rng=torch.Generator().manual_seed(0))
    assert drawn.shape == (20000, 1, 2)
    assert drawn.mean(0)[0].tolist() == pytest.approx([1.0, -2.0], abs=0.05)
    assert drawn.var(0)[0].tolist() == pytest.approx([4.0, 0.25], rel=0.05)


def test_what_changes_quickly_has_a_quarter_of_the_roots_length() -> None:
    points = torch.linspace(-1.5, 1.5, 40, dtype=torch.float64)[:, None]
    assert fit_gaussian_process(points, (8 * points).sin()).length == 0.25


def test_the_likelihood_is_that_of_normal_outputs_up_to_a_constant() -> None:
    points, outputs = draws(6, 2), draws(6, 3, seed=1)
    found = []
    for length in (0.5, 2.0):
        fit = fit_gaussian_process(points, outputs, lengths=(length,), noises=(1e-2,))
        kernel = torch.exp(-0.5 * (torch.cdist(points, points) / length) ** 2) + 1e-2 * torch.eye(
            6, dtype=torch.float64
        )
        theirs = sum(
            multivariate_normal(fit.mean[k].repeat(6), fit.variance[k] * kernel).logpdf(outputs[:, k]) for k in range(3)
        )
        found.append(fit.log_likelihood - float(theirs))
    assert found[0] == pytest.approx(found[1], abs=1e-6)
