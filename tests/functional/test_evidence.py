"""A linear function read from few values: its weights, and whether what is said of their errors holds."""

import numpy as np
import pytest
import torch
from scipy.linalg import null_space
from scipy.stats import multivariate_normal
from sklearn.linear_model import Ridge

from likethat.functional.evidence import linear_fit


def draws(*size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_linear_function_is_found() -> None:
    x, weight = draws(200, 6), draws(6, seed=4)
    fit = linear_fit(x, x @ weight + 3 + 0.5 * draws(200, seed=5))
    assert fit.noise == pytest.approx(0.25, rel=0.3)
    torch.testing.assert_close(fit.mean, weight, atol=0.15, rtol=0)


def test_draws_have_the_mean_of_the_fit_and_the_error_of_least_squares_where_there_is_much_data() -> None:
    x = draws(300, 5)
    fit = linear_fit(x, x @ draws(5, seed=1) + 0.5 * draws(300, seed=2))
    drawn = fit.draws(draws(4000, 5, seed=3), rng=torch.Generator().manual_seed(4))
    torch.testing.assert_close(drawn.mean(dim=0), fit.mean, atol=0.005, rtol=0)
    centred = x - x.mean(dim=0)
    least_squares = (fit.noise * torch.linalg.inv(centred.T @ centred).diagonal()).sqrt()
    torch.testing.assert_close(drawn.std(dim=0), least_squares, atol=0, rtol=0.06)


@pytest.mark.parametrize("n", [12, 40])
def test_nine_in_ten_true_weights_lie_within_the_draws_errors(n: int) -> None:
    """With fewer values than weights too, and with weights that hang together."""
    root = torch.linalg.cholesky(torch.exp(-0.5 * (torch.arange(20)[:, None] - torch.arange(20)).double() ** 2 / 4)
                                 + 1e-6 * torch.eye(20))  # fmt: skip
    within = []
    for seed in range(60):
        weight, x = root @ draws(20, seed=seed), draws(n, 20, seed=1000 + seed)
        fit = linear_fit(x, x @ weight + draws(n, seed=2000 + seed), smoothed=x @ root @ root.T)
        prior = draws(200, 20, seed=3000 + seed) @ root.T
        error = (fit.draws(prior, rng=torch.Generator().manual_seed(seed)) - fit.mean).square().mean(dim=0).sqrt()
        within.append(((fit.mean - weight).abs() <= 1.645 * error).double().mean())
    assert 0.85 < float(torch.stack(within).mean()) < 0.95


def test_draws_can_be_repeated() -> None:
    x = draws(10, 3)
    fit = linear_fit(x, x[:, 0])
    first, second = (fit.draws(draws(4, 3), rng=torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize(("n_rows", "n_features"), [(9, 4), (8, 30)])
def test_the_variances_are_the_likeliest_and_the_weights_those_of_their_ridge(n_rows: int, n_features: int) -> None:
    """By the density of the values under the whole covariance matrix, with what all rows have in common taken out."""
    x = 5 + draws(n_rows, n_features) * 3
    y = x @ draws(n_features, seed=1) + 40 + draws(n_rows, seed=2)
    fit = linear_fit(x, y)
    contrasts = null_space(np.ones((1, n_rows)))  # (row, row - 1): differences between rows alone
    observed, gram = contrasts.T @ y.numpy(), contrasts.T @ (x @ x.T).numpy() @ contrasts
    best, logs = [], []
    for ratio in fit.seen.ratios.tolist():
        shape = gram + ratio * np.eye(n_rows - 1)
        spread = observed @ np.linalg.solve(shape, observed) / (n_rows - 1)
        best.append(spread)
        logs.append(multivariate_normal(np.zeros(n_rows - 1), spread * shape).logpdf(observed))
    place = int(np.argmax(logs))
    ratio = float(fit.seen.ratios[place])
    np.testing.assert_allclose(fit.seen.chance, np.exp(logs) / np.exp(logs).sum(), atol=1e-8)
    np.testing.assert_allclose(fit.seen.spreads, best, rtol=1e-8)
    assert (fit.spread, fit.noise) == pytest.approx((best[place], best[place] * ratio))
    np.testing.assert_allclose(fit.mean, Ridge(alpha=ratio).fit(x.numpy(), y.numpy()).coef_, rtol=1e-6, atol=1e-8)


def test_noises_from_a_millionth_to_a_thousand_times_the_largest_direction_are_tried() -> None:
    x = draws(12, 3)
    ratios = linear_fit(x, x[:, 0]).seen.ratios / torch.linalg.svdvals(x - x.mean(dim=0))[0] ** 2
    assert (float(ratios[0]), float(ratios[-1])) == pytest.approx((1e-6, 1e3))
    torch.testing.assert_close(ratios[1:] / ratios[:-1], torch.full((45,), 10**0.2, dtype=torch.float64))


def test_weights_that_hang_together_are_those_of_features_mixed_by_their_root() -> None:
    """Values = x @ w with w ~ N(0, R R') are values = (x R) @ u with u ~ N(0, I), and w = R u."""
    x, root = 2 + draws(7, 5), draws(5, 5, seed=1)
    y = x @ draws(5, seed=2) + draws(7, seed=3)
    mixed, plain = linear_fit(x, y, smoothed=x @ root @ root.T), linear_fit(x @ root, y)
    assert (mixed.noise, mixed.spread) == pytest.approx((plain.noise, plain.spread))
    torch.testing.assert_close(mixed.mean, root @ plain.mean)


def test_values_that_never_vary_have_no_weights() -> None:
    fit = linear_fit(draws(6, 2), torch.full((6,), 3.0, dtype=torch.float64))
    assert fit.mean.abs().max() < 1e-12
    assert fit.noise < 1e-12
