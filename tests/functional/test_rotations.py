"""Polar factors, exponentials and whitening."""

import math

import pytest
import torch
from torch import Tensor

from likethat.functional import polar_factor, random_rotation, rotation_from, whitening


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_polar_factor_by_hand() -> None:
    # diag(2, -3) = diag(1, -1) @ diag(2, 3): the orthogonal factor is diag(1, -1).
    torch.testing.assert_close(
        polar_factor(torch.diag(torch.tensor([2.0, -3.0]))), torch.diag(torch.tensor([1.0, -1.0]))
    )


def test_polar_factor_beats_other_rotations() -> None:
    matrix = torch.randn(6, 6, generator=_rng())
    best = float((polar_factor(matrix) * matrix).sum())
    for seed in range(50):
        assert float((random_rotation(6, rng=_rng(seed)) * matrix).sum()) <= best + 1e-5


def _dense(matrix: Tensor) -> Tensor:
    left, _, right = torch.linalg.svd(matrix.double())
    return left @ right


@pytest.mark.parametrize("size", [1, 2, 7, 60])
@pytest.mark.parametrize("decades", [0, 1, 3, 6, 9])
def test_polar_factor_is_the_dense_one(size: int, decades: int) -> None:
    """Whatever the condition: by inverses up to 3 decades, by the decomposition beyond."""
    spread = torch.logspace(0, -decades, size, dtype=torch.float64)
    matrix = (random_rotation(size, rng=_rng(1)).double() * spread) @ random_rotation(size, rng=_rng(2)).double()
    torch.testing.assert_close(polar_factor(matrix), _dense(matrix), atol=1e-6, rtol=0)
    if decades <= 3:
        torch.testing.assert_close(polar_factor(matrix.float()).double(), _dense(matrix), atol=1e-5, rtol=0)
        compared = polar_factor(matrix.float(), precision=torch.float32).double()
        torch.testing.assert_close(compared, _dense(matrix), atol=1e-3, rtol=0)


@pytest.mark.parametrize("shrinkage", [0.0, 0.1, 0.3, 1e6])
@pytest.mark.parametrize("images", [2, 10, 100])
def test_polar_factor_of_few_images_and_many_channels(shrinkage: float, images: int) -> None:
    """Patches of fewer images than channels have no rank; beside lambda they need none."""
    draws = torch.randn(2, 40, images, generator=_rng(images))
    matrix = draws[0] @ draws[1].T + shrinkage * torch.eye(40)
    factor = polar_factor(matrix)
    torch.testing.assert_close(factor @ factor.T, torch.eye(40), atol=1e-6, rtol=0)
    best = float(torch.linalg.svdvals(matrix.double()).sum())  # no rotation has more
    assert float((factor.double() * matrix).sum()) == pytest.approx(best, rel=1e-6)
    if shrinkage or images > 40:
        torch.testing.assert_close(factor.double(), _dense(matrix), atol=1e-5, rtol=0)


def test_polar_factor_of_nothing_and_of_numbers_that_are_none() -> None:
    torch.testing.assert_close(polar_factor(torch.zeros(3, 3)), torch.eye(3))
    with pytest.raises(RuntimeError):
        polar_factor(torch.full((3, 3), torch.nan))


def test_polar_factor_of_an_ill_conditioned_matrix_is_orthogonal() -> None:
    left, right = random_rotation(64, rng=_rng(1)), random_rotation(64, rng=_rng(2))
    matrix = left @ torch.diag(torch.logspace(0, -6, 64)) @ right
    factor = polar_factor(matrix)
    torch.testing.assert_close(factor @ factor.T, torch.eye(64), atol=2e-6, rtol=0)


def test_rotation_by_hand() -> None:
    # R - R^T = ((0, -a), (a, 0)), whose exponential turns by a.
    angle = 0.3
    turned = rotation_from(torch.tensor([[0.0, -angle], [0.0, 0.0]]), orthogonal=True)
    expected = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    torch.testing.assert_close(turned, expected)


def test_invertible_by_hand() -> None:
    stretched = rotation_from(torch.diag(torch.tensor([math.log(2.0), 0.0])), orthogonal=False)
    torch.testing.assert_close(stretched, torch.diag(torch.tensor([2.0, 1.0])))


def test_random_rotation_is_orthogonal_and_repeatable() -> None:
    first, second = random_rotation(20, rng=_rng(3)), random_rotation(20, rng=_rng(3))
    assert torch.equal(first, second)
    torch.testing.assert_close(first @ first.T, torch.eye(20), atol=1e-6, rtol=0)


def test_whitening_whitens_where_it_may() -> None:
    data = torch.randn(5000, 4, generator=_rng()) * torch.tensor([1.0, 2.0, 3.0, 0.5])
    moment = data.T @ data / len(data)
    matrix = whitening(moment, condition=1e6)
    white = matrix @ moment @ matrix.T
    torch.testing.assert_close(white / white[0, 0], torch.eye(4), atol=1e-3, rtol=0)


@pytest.mark.parametrize("condition", [1.0, 3.0, 10.0])
def test_whitening_keeps_its_condition(condition: float) -> None:
    moment = torch.diag(torch.tensor([100.0, 1.0, 1e-8]))
    singular = torch.linalg.svdvals(whitening(moment, condition=condition))
    assert float(singular.max() / singular.min()) <= condition * (1 + 1e-5)


def test_a_random_rotation_is_the_orthogonal_factor_whose_triangle_has_a_positive_diagonal() -> None:
    gaussian = torch.randn(6, 6, generator=_rng(3), dtype=torch.float64)
    triangle = random_rotation(6, rng=_rng(3)).double().T @ gaussian
    assert float(triangle.tril(-1).abs().max()) < 1e-5
    assert float(triangle.diagonal().min()) > 0


def test_whitening_by_hand() -> None:
    # Variances 4 and 1: scales 1/2 and 1, whose squares have the mean 5/8. A condition of 1.6 clips 1 to .8.
    moment = torch.diag(torch.tensor([4.0, 1.0]))
    free, clipped = (whitening(moment, condition=condition).diagonal() for condition in (3.0, 1.6))
    assert free.tolist() == pytest.approx([0.5 / 0.625**0.5, 1 / 0.625**0.5])
    assert clipped.tolist() == pytest.approx([0.5 / 0.445**0.5, 0.8 / 0.445**0.5])  # (.25 + .64) / 2
    torch.testing.assert_close(whitening(moment, condition=1.0), torch.eye(2))


def test_whitening_of_directions_without_variance_is_finite() -> None:
    white = whitening(torch.diag(torch.tensor([1.0, 0.0])), condition=3.0)
    assert white.diagonal().tolist() == pytest.approx([1 / 5**0.5, 3 / 5**0.5])  # 1 and 3, squares of mean 5


@pytest.mark.parametrize("precision", [torch.float64, torch.float32])
@pytest.mark.parametrize("mixed", [0.3, 0.7, 0.95])
def test_one_singular_value_far_from_all_others_is_brought_to_one_too(mixed: float, precision: torch.dtype) -> None:
    matrix = 0.8 * torch.eye(400)
    matrix[0, 1] = matrix[1, 0] = 0.8 * mixed  # its factor is the identity
    off = (polar_factor(matrix, precision=precision) - torch.eye(400)).abs().max()
    assert float(off) < (1e-6 if precision == torch.float64 else 1e-3)
