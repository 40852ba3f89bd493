"""The gradient from outputs alone."""

import numpy as np
import pytest
import torch
from reference import freemcg as slow

from likethat.errors import NonFiniteError
from likethat.functional.blur import gaussian_blur
from likethat.functional.kalman import anomalies, cross_covariance, ensemble_gradient, kalman_gain, kalman_move
from likethat.functional.tweedie import denoised, tweedie_particles
from likethat.papers.freemcg import release_direction


def draws(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_slow_twins() -> None:
    x, f = draws(6, 5), draws(6, 3, seed=1)
    logs = f.log_softmax(1)
    np.testing.assert_allclose(cross_covariance(x, f), slow.cross_covariance(x.numpy(), f.numpy()), atol=1e-12)
    np.testing.assert_allclose(ensemble_gradient(x, f, 2)[0], slow.gradient(x.numpy(), f.numpy(), 2), atol=1e-12)
    np.testing.assert_allclose(
        release_direction(x, logs, 1), slow.release_direction(x.numpy(), logs.numpy(), 1), atol=1e-12
    )


def test_of_a_linear_model_it_is_the_ensemble_covariance_times_the_weight() -> None:
    x, weight = draws(7, 4), draws(3, 4, seed=2)
    logits = x @ weight.T + 5
    p = logits.softmax(1).mean(0)
    covariance = anomalies(x).T @ anomalies(x) / 7
    expected = covariance @ weight.T @ (torch.eye(3, dtype=x.dtype)[1] - p)
    torch.testing.assert_close(ensemble_gradient(x, logits, 1)[0], expected)


def test_a_constant_added_to_all_logits_of_a_particle_cancels() -> None:
    x, f = draws(6, 2, 3, 3), draws(6, 4, seed=1)
    torch.testing.assert_close(ensemble_gradient(x, f, 0), ensemble_gradient(x, f.log_softmax(1), 0))


def test_one_move_gives_every_particle_of_a_linear_model_its_margin() -> None:
    x, weight = draws(8, 1, 2, 3), draws(6, seed=3)
    margins = x.flatten(1) @ weight
    wanted = float(margins.mean()) + 1
    moved = kalman_move(x, margins, wanted, ridge=0.0, trust=100)
    after = moved.flatten(1) @ weight
    torch.testing.assert_close(after, margins.clamp_min(wanted))
    back = kalman_move(x, margins, wanted, ridge=0.0, trust=100, back=True).flatten(1) @ weight
    torch.testing.assert_close(back, torch.full_like(back, wanted))


def test_a_move_goes_no_further_than_it_is_trusted() -> None:
    x, weight = draws(8, 5), draws(5, seed=3)
    margins = x @ weight
    gained = kalman_move(x, margins, 1e6, ridge=0.0, trust=0.5) @ weight - margins
    torch.testing.assert_close(gained, torch.full_like(gained, 0.5 * float(margins.std(correction=0))))


def test_the_gain_by_hand_and_of_a_collapsed_ensemble() -> None:
    gain = kalman_gain(torch.tensor([[0.0], [2.0]]), torch.tensor([[0.0], [6.0]]), ridge=0.5)
    assert float(gain) == pytest.approx(3 / (9 + 4.5))
    assert float(kalman_gain(torch.ones(3, 1), torch.ones(3, 1))) == 0.0


class Shrink:
    """The exact denoiser of images that are N(0.5, 0.2²) in every pixel."""

    def denoise(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        share = 0.04 / (0.04 + sigma**2)
        return 0.5 + share[:, None, None, None] * (x - 0.5)


def test_particles_of_a_gaussian() -> None:
    image = torch.full((1, 8, 8), 0.7)
    rng = torch.Generator().manual_seed(0)
    particles = tweedie_particles(Shrink(), image, 0.2, n=400, rng=rng)
    assert float(particles.mean()) == pytest.approx(0.6, abs=0.005)  # halfway to the mean of all images
    assert float(particles.std()) == pytest.approx(0.1, abs=0.005)


def test_a_denoiser_that_breaks_is_named() -> None:
    class Broken:
        def denoise(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
            return x * torch.nan

    with pytest.raises(NonFiniteError, match=r"sigma = 0\.5"):
        denoised(Broken(), torch.zeros(1, 1, 2, 2), 0.5)


def test_the_blur_is_symmetric() -> None:
    first, second = draws(1, 1, 7, 7).float(), draws(1, 1, 7, 7, seed=1).float()
    one, other = (gaussian_blur(first, 1.5) * second).sum(), (gaussian_blur(second, 1.5) * first).sum()
    torch.testing.assert_close(one, other)


def test_the_gain_of_several_outputs_is_that_of_numpy() -> None:
    x, f = draws(9, 2, 3), draws(9, 3, seed=1)
    flat, observed = x.flatten(1).numpy(), f.numpy()
    joint = np.cov(np.hstack([flat, observed]).T, bias=True)
    C_ff, C_fx = joint[6:, 6:], joint[6:, :6]
    for ridge in (0.0, 0.1, 0.7):
        expected = np.linalg.inv(C_ff + ridge * np.trace(C_ff) / 3 * np.eye(3)) @ C_fx
        gain = kalman_gain(x, f, ridge=ridge)
        np.testing.assert_allclose(gain.flatten(1), expected, rtol=1e-9)
    torch.testing.assert_close(kalman_gain(x, f), kalman_gain(x, f, ridge=0.1))


def test_the_gradient_at_points_of_ones_own() -> None:
    x, f, at = draws(6, 5), draws(6, 3, seed=1), draws(2, 3, seed=2)
    C_fx = np.cov(np.hstack([x.numpy(), f.numpy()]).T, bias=True)[5:, :5]
    wanted = np.eye(3)[2] - torch.softmax(at, 1).numpy()
    np.testing.assert_allclose(ensemble_gradient(x, f, 2, at=at), wanted @ C_fx, rtol=1e-9)


def test_a_move_by_hand() -> None:
    # Margins 0, 2, 4 at 0, 1, 2: half a step for one unit of margin, and a spread of root 8/3.
    x, margins = torch.tensor([[0.0], [1.0], [2.0]]).double(), torch.tensor([0.0, 2.0, 4.0]).double()
    spread = (8 / 3) ** 0.5

    def moved(wanted: float, **options: float | bool) -> list[float]:
        return (kalman_move(x, margins, wanted, ridge=0.0, **options) - x)[:, 0].tolist()  # type: ignore[arg-type]

    assert moved(3.0) == pytest.approx([spread / 2, 0.5, 0.0])
    assert moved(3.0, trust=0.5) == pytest.approx([spread / 4, spread / 4, 0.0])
    assert moved(3.0, trust=2.0) == pytest.approx([1.5, 0.5, 0.0])
    assert moved(1.0, back=True) == pytest.approx([0.5, -0.5, -spread / 2])
    # a ridge of a tenth, as by default, takes an eleventh of the way
    after = kalman_move(x, margins, 1.0)
    torch.testing.assert_close(after[:, 0] - x[:, 0], torch.tensor([0.5 / 1.1, 0.0, 0.0]).double())
