"""The Fréchet distance, by hand and beside SciPy's matrix root."""

import numpy as np
import pytest
import scipy.linalg
import torch

from likethat.errors import InputError, NonFiniteError
from likethat.metrics import frechet_distance


def test_by_hand() -> None:
    # means 1 and 4, variances 1 and 1: (4 - 1)^2 + (1 - 1)^2
    assert frechet_distance(torch.tensor([[0.0], [2.0]]), torch.tensor([[3.0], [5.0]])) == pytest.approx(9.0)
    # equal means, deviations 1 and 3: (3 - 1)^2
    assert frechet_distance(torch.tensor([[-1.0], [1.0]]), torch.tensor([[-3.0], [3.0]])) == pytest.approx(4.0)


def test_as_with_a_general_matrix_root() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(200, 6)) @ rng.normal(size=(6, 6)), rng.normal(size=(150, 6)) + 1
    a, b = np.cov(first.T, bias=True), np.cov(second.T, bias=True)
    expected = ((first.mean(0) - second.mean(0)) ** 2).sum() + np.trace(a + b - 2 * scipy.linalg.sqrtm(a @ b).real)
    found = frechet_distance(torch.from_numpy(first), torch.from_numpy(second))
    assert found == pytest.approx(float(expected), rel=1e-6)


def test_nothing_between_a_set_and_itself() -> None:
    rows = torch.randn(5, 20)  # fewer rows than channels: a singular covariance
    assert frechet_distance(rows, rows) == pytest.approx(0.0, abs=1e-6)


def test_bad_calls() -> None:
    with pytest.raises(InputError, match=r"at least two rows, got \(1, 3\) and \(2, 3\)"):
        frechet_distance(torch.zeros(1, 3), torch.zeros(2, 3))
    with pytest.raises(NonFiniteError, match="`second` must be finite"):
        frechet_distance(torch.zeros(2, 3), torch.full((2, 3), float("nan")))
