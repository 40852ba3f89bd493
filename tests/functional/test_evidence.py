"""A linear function read from few values: its weights, and whether what is said of their errors holds."""

import pytest
import torch

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
