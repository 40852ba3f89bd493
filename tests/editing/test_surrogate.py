"""The linear surrogate, against the formula of Bayesian linear regression."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from likethat.editing.surrogate import _SLOPE, _SLOPE_SPREAD, Belief, LinearBelief


def belief_of(rows: torch.Tensor, values: torch.Tensor, expected: torch.Tensor) -> LinearBelief:
    belief = LinearBelief(Belief(expected=expected))
    belief.add(list(rows), values.tolist())
    return belief


@pytest.mark.slow
def test_the_mean_is_that_of_bayesian_regression() -> None:
    rng = torch.Generator().manual_seed(0)
    rows = (torch.rand(12, 5, generator=rng, dtype=torch.float64) < 0.4).double()
    expected = torch.randn(5, generator=rng, dtype=torch.float64)
    values = rows @ torch.randn(5, generator=rng, dtype=torch.float64)
    belief = belief_of(rows, values, expected)
    prior = belief._spread**2 * torch.eye(5, dtype=torch.float64) + _SLOPE_SPREAD**2 * torch.outer(expected, expected)
    noise = torch.diag(1 / (belief._noise**2 * rows.sum(1).clamp_min(1) + 1e-9))
    precision = torch.linalg.inv(prior) + rows.T @ noise @ rows
    slow = torch.linalg.solve(precision, torch.linalg.inv(prior) @ (_SLOPE * expected) + rows.T @ noise @ values)
    torch.testing.assert_close(belief.mean(), slow)
    draws = torch.stack([belief.draw(rng) for _ in range(1000)])
    torch.testing.assert_close(draws.T.cov(), torch.linalg.inv(precision), atol=0.1, rtol=0.25)
    others = torch.rand(7, 5, generator=rng, dtype=torch.float64)
    mean, deviation = belief.outcomes(csr_matrix(others.numpy()))
    np.testing.assert_allclose(mean, (others @ slow).numpy())
    np.testing.assert_allclose(deviation**2, (others @ torch.linalg.inv(precision) @ others.T).diagonal().numpy())


def test_what_is_known_before_is_scaled_to_the_model() -> None:
    rng = torch.Generator().manual_seed(1)
    expected = torch.randn(30, generator=rng, dtype=torch.float64)
    rows = torch.eye(30, dtype=torch.float64)[:10]
    belief = belief_of(rows, rows @ (1.5 * expected), expected)
    torch.testing.assert_close(belief.mean()[10:], 1.5 * expected[10:], atol=0.2, rtol=0.2)


def test_nothing_asked_nothing_learned() -> None:
    belief = LinearBelief(Belief(expected=torch.ones(3, dtype=torch.float64)))
    assert belief.mean().tolist() == [_SLOPE] * 3
    mean, deviation = belief.outcomes(csr_matrix(np.eye(3)))
    assert mean.tolist() == [_SLOPE] * 3
    np.testing.assert_allclose(deviation, np.hypot(belief._spread, _SLOPE_SPREAD))
