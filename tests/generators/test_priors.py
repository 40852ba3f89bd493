import math

import pytest
import torch

from likethat.errors import InputError
from likethat.generators.priors import (
    Kernels,
    Mixture,
    StandardNormal,
    fit_kernels,
    fit_mixture,
    fit_prior,
    prior_from_state,
)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def two_clusters(n: int = 400) -> torch.Tensor:
    centres = torch.tensor([[4.0, 0.0], [-4.0, 1.0]]).repeat_interleave(n // 2, 0)
    return centres + 0.5 * torch.randn(n, 2, generator=rng())


def test_the_density_of_a_standard_normal_by_hand() -> None:
    # exp(-(1 + 4) / 2) / (2 pi) = 0.0130642
    assert StandardNormal(2).log_prob(torch.tensor([[1.0, 2.0]])).exp().item() == pytest.approx(0.0130642, rel=1e-4)


def test_the_density_of_a_mixture_by_hand() -> None:
    # 0.25 * N(1; 0, 1) + 0.75 * N(1; 2, 0.5) = 0.25 * 0.241971 + 0.75 * 0.107982 = 0.141479
    mixture = Mixture(torch.tensor([1.0, 3.0]), torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [0.5]]))
    assert mixture.log_prob(torch.tensor([[1.0]])).exp().item() == pytest.approx(0.141479, rel=1e-4)
    full = Mixture(mixture.weights, mixture.means, mixture.scales[:, :, None])
    assert full.log_prob(torch.tensor([[1.0]])).exp().item() == pytest.approx(0.141479, rel=1e-4)


def test_a_full_covariance_is_what_torch_says() -> None:
    triangle = torch.tensor([[[1.0, 0.0], [0.7, 0.4]]])
    mixture = Mixture(torch.ones(1), torch.tensor([[1.0, -1.0]]), triangle)
    points = torch.randn(9, 2, generator=rng())
    slow = torch.distributions.MultivariateNormal(mixture.means[0], scale_tril=triangle[0])
    assert torch.allclose(mixture.log_prob(points), slow.log_prob(points), atol=1e-5)
    drawn = mixture.sample(20_000, rng=rng())
    assert torch.allclose(drawn.T.cov(), triangle[0] @ triangle[0].T, atol=0.03)


def test_same_seed_same_samples_and_gradients_flow() -> None:
    mixture = fit_mixture(two_clusters(), 2)
    for prior in (StandardNormal(2), mixture):
        assert torch.equal(prior.sample(5, rng=rng(3)), prior.sample(5, rng=rng(3)))
        assert prior.sample(5, rng=rng()).dtype == torch.float32
        assert prior.sample(0, rng=rng()).shape == (0, 2)
        point = torch.zeros(1, 2, requires_grad=True)
        prior.log_prob(point).sum().backward()
        assert point.grad is not None
        assert torch.isfinite(point.grad).all()


def test_clusters_are_found_and_their_number() -> None:
    points = two_clusters()
    mixture = fit_prior(points)
    assert len(mixture.weights) > 1
    assert mixture.log_prob(points).mean() > fit_mixture(points, 1).log_prob(points).mean() + 0.5
    drawn = mixture.sample(4000, rng=rng())
    assert torch.allclose(drawn.mean(0), points.mean(0), atol=0.3)
    assert (drawn[:, 0].abs() < 1).float().mean() < 0.05  # nothing between the clusters


def test_fewer_latents_than_dimensions() -> None:
    points = torch.randn(12, 40, generator=rng())
    prior = fit_prior(points)
    assert torch.isfinite(prior.log_prob(points)).all()
    assert torch.isfinite(prior.sample(100, rng=rng())).all()
    same = fit_mixture(torch.ones(5, 3), 2)
    assert torch.isfinite(same.log_prob(torch.ones(1, 3))).all()


def test_a_prior_comes_back_from_its_state() -> None:
    points = torch.randn(7, 2, generator=rng())
    for prior in (StandardNormal(2), fit_mixture(two_clusters(), 3)):
        again = prior_from_state(prior.state())
        assert torch.equal(again.log_prob(points), prior.log_prob(points))
        assert torch.equal(again.sample(4, rng=rng()), prior.sample(4, rng=rng()))


def test_the_density_far_away_stays_finite() -> None:
    far = fit_mixture(two_clusters(), 2).log_prob(torch.full((1, 2), 1e4))
    assert math.isfinite(far.item())


def test_bad_priors() -> None:
    with pytest.raises(InputError, match=r"got \(2,\), \(3, 2\) and \(3, 2\)"):
        Mixture(torch.ones(2), torch.zeros(3, 2), torch.ones(3, 2))
    with pytest.raises(InputError, match="must be positive"):
        Mixture(torch.ones(1), torch.zeros(1, 2), torch.zeros(1, 2))
    with pytest.raises(InputError, match="at least 2 finite vectors"):
        fit_mixture(torch.zeros(1, 2), 1)
    with pytest.raises(InputError, match="at least 2 finite vectors"):
        fit_mixture(torch.full((9, 2), float("nan")), 1)
    with pytest.raises(InputError, match="a prior must have dim"):
        prior_from_state({"mean": torch.zeros(1)})
    with pytest.raises(InputError, match="`dim` must be a whole number"):
        StandardNormal(0)


def test_kernels_are_a_mixture_of_equal_gaussians() -> None:
    draw_from = rng()
    centres, scale = torch.randn(5, 3, generator=draw_from), torch.tensor([[1.0, 0, 0], [0.5, 2, 0], [0, 0, 0.1]])
    kernels = Kernels(centres, scale)
    mixture = Mixture(torch.ones(5), centres, scale.expand(5, 3, 3))
    latents = torch.randn(7, 3, generator=draw_from).requires_grad_()
    assert torch.allclose(kernels.log_prob(latents), mixture.log_prob(latents), atol=1e-3)
    kernels.log_prob(latents).sum().backward()
    assert torch.isfinite(latents.grad).all()
    again = prior_from_state(kernels.state())
    draw = kernels.sample(4, rng=torch.Generator().manual_seed(1))
    assert torch.equal(again.sample(4, rng=torch.Generator().manual_seed(1)), draw)
    with pytest.raises(InputError, match=r"`scale` must be a lower triangle \(3, 3\)"):
        Kernels(centres, torch.zeros(2, 2))


def test_kernels_follow_separate_clouds_that_few_components_bridge() -> None:
    draw_from = rng()
    places = 20 * torch.randn(40, 4, generator=draw_from)
    latents = places[torch.randint(40, (2000,), generator=draw_from)] + 0.3 * torch.randn(2000, 4, generator=draw_from)
    fitted = fit_kernels(latents, seed=0)
    draws = fitted.sample(300, rng=draw_from)
    assert float(torch.cdist(draws, latents).amin(1).median()) < 5
    bridged = fit_mixture(latents, 1, seed=0).sample(300, rng=draw_from)
    assert float(torch.cdist(bridged, latents).amin(1).median()) > 2 * float(
        torch.cdist(draws, latents).amin(1).median()
    )
    with pytest.raises(InputError, match="at least 4 finite vectors, got 2"):
        fit_kernels(latents[:2])
