"""Shares of the residual, and ownership regression."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.parts import ownership_loss

from likethat.functional.sharing import (
    centroid_detectors,
    closed_form_shares,
    equal_shares,
    least_squares_parts,
    nelder_mead_shares,
    ownership_regression,
    ownership_shares,
    share_objective,
)


def test_least_squares_by_hand() -> None:
    # v = (2, 4), p = (1, 1): alpha = (2 + 4) / 2 = 3.
    assert torch.allclose(
        least_squares_parts(torch.tensor([2.0, 4.0]), torch.tensor([[1.0, 1.0]])), torch.tensor([[3.0, 3.0]])
    )


def test_least_squares_of_a_part_twice_is_finite() -> None:
    twice = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    assert torch.allclose(least_squares_parts(torch.tensor([2.0, 4.0]), twice).sum(0), torch.tensor([2.0, 0.0]))


def test_objective_and_closed_form_by_hand() -> None:
    # sizes 1 and 3: shares 1/4 and 3/4 give 1/16 + 9/48 = 1/4 = 1 / (1 + 3); equal shares 1/4 + 1/12 = 1/3.
    sizes = torch.tensor([1.0, 3.0])
    assert float(share_objective(closed_form_shares(sizes), sizes)) == pytest.approx(0.25)
    assert float(share_objective(equal_shares(sizes), sizes)) == pytest.approx(1 / 3)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0.05, 20.0), min_size=1, max_size=5))
def test_nelder_mead_reaches_the_closed_forms_optimum(values: list[float]) -> None:
    sizes = torch.tensor(values, dtype=torch.float64)
    exact, searched = closed_form_shares(sizes), nelder_mead_shares(sizes)
    assert float(searched.sum()) == pytest.approx(1.0)
    assert float(share_objective(searched, sizes)) == pytest.approx(float(share_objective(exact, sizes)), rel=1e-6)
    assert torch.allclose(exact, searched, atol=2e-3)


@pytest.mark.parametrize("share", [closed_form_shares, nelder_mead_shares, equal_shares])
def test_shares_of_silent_parts_sum_to_one(share: object) -> None:
    assert float(share(torch.zeros(3)).sum()) == pytest.approx(1.0)  # type: ignore[operator]
    assert float(share(torch.tensor([0.0, 2.0])).sum()) == pytest.approx(1.0)  # type: ignore[operator]


def regression_case(n_cells: int, n_channels: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    cells = torch.rand(n_cells, n_channels, generator=rng)
    shares = ownership_shares(torch.rand(n_cells, 3, generator=rng) ** 3)
    return cells, shares, torch.randn(n_channels, generator=rng)


@pytest.mark.parametrize(("n_cells", "n_channels"), [(40, 6), (6, 40), (12, 12)])
def test_regression_sums_to_the_head_vector_and_minimises_its_loss(n_cells: int, n_channels: int) -> None:
    cells, shares, head_vector = regression_case(n_cells, n_channels)
    parts = ownership_regression(cells, shares, head_vector, ridge=0.01)
    assert torch.allclose(parts.sum(0), head_vector.double(), atol=1e-9)
    f, s, v = cells.double().numpy(), shares.double().numpy(), head_vector.double().numpy()
    strength = 0.01 * float((f**2).mean()) * n_cells
    best = ownership_loss(f, s, v, parts.numpy(), strength)
    rng = np.random.default_rng(0)
    for _ in range(20):
        moved = parts.numpy() + 1e-3 * rng.standard_normal(parts.shape)
        assert ownership_loss(f, s, v, moved, strength) > best


def test_parts_of_separate_channels_are_told_apart() -> None:
    """Cells of part i use channels of their own: the regression gives each part its channels of v."""
    cells = torch.zeros(40, 4)
    cells[:20, :2] = torch.rand(20, 2, generator=torch.Generator().manual_seed(0))
    cells[20:, 2:] = torch.rand(20, 2, generator=torch.Generator().manual_seed(1))
    shares = torch.zeros(40, 2)
    shares[:20, 0] = shares[20:, 1] = 1.0
    parts = ownership_regression(cells, shares, torch.tensor([1.0, -2.0, 3.0, 4.0]), ridge=1e-9)
    assert torch.allclose(parts.float(), torch.tensor([[1.0, -2.0, 0, 0], [0, 0, 3.0, 4.0]]), atol=1e-4)


def test_no_cells_or_cells_of_zeros_share_alike() -> None:
    for cells in (torch.zeros(0, 3), torch.zeros(5, 3)):
        parts = ownership_regression(cells, torch.full((len(cells), 2), 0.5), torch.tensor([2.0, 4.0, 6.0]))
        assert torch.allclose(parts.float(), torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]))


def test_readers_by_hand() -> None:
    # Unit looks (1, 0) and (.6, .8) have the products [[1, .6], [.6, 1]]; with ridge 1: inverse of [[2, .6], [.6, 2]]
    # is [[2, -.6], [-.6, 2]] / 3.64. First row: (2 * (1, 0) - .6 * (.6, .8)) / 3.64 = (1.64, -.48) / 3.64.
    found = centroid_detectors(torch.tensor([[3.0, 0.0], [0.6, 0.8]]), ridge=1.0)
    assert torch.allclose(found[0], torch.tensor([1.64, -0.48]).double() / 3.64, atol=1e-6)


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 8), st.integers(1, 6))
def test_a_reader_is_positive_at_its_own_look(seed: int, n_parts: int, n_channels: int) -> None:
    centroids = torch.randn(n_parts, n_channels, generator=torch.Generator().manual_seed(seed))
    found = centroid_detectors(centroids)
    assert bool(((found * centroids.double()).sum(1) > 0).all())


def test_a_look_twice_is_read_alike_and_zeros_read_nothing() -> None:
    found = centroid_detectors(torch.tensor([[1.0, 2.0], [1.0, 2.0], [0.0, 0.0]]))
    assert torch.allclose(found[0], found[1])
    assert not found[2].any()


@pytest.mark.parametrize("n_cells", [3, 12])
def test_the_ridge_of_a_regression_by_its_normal_equations(n_cells: int) -> None:
    # fewer cells than channels, and more: (F'F + r I) (q - v/k) = F'(s (F v) - F v/k), r = ridge mean(F²) n
    rng = torch.Generator().manual_seed(0)
    f, v = torch.rand(n_cells, 6, generator=rng, dtype=torch.float64), torch.rand(6, generator=rng, dtype=torch.float64)
    shares = torch.rand(n_cells, 2, generator=rng, dtype=torch.float64)
    shares = shares / shares.sum(1, keepdim=True)
    strength = 0.2 * float((f**2).mean()) * n_cells
    for part, q in enumerate(ownership_regression(f, shares, v, ridge=0.2)):
        left = (f.T @ f + strength * torch.eye(6, dtype=torch.float64)) @ (q - v / 2)
        torch.testing.assert_close(left, f.T @ (shares[:, part] * (f @ v) - f @ (v / 2)))


def test_a_silent_part_takes_nothing_and_the_others_share_by_their_size() -> None:
    sizes = torch.tensor([2.0, 0.0, 6.0])
    for share in (closed_form_shares, nelder_mead_shares):
        assert share(sizes).tolist() == pytest.approx([0.25, 0.0, 0.75], abs=1e-6)
    assert closed_form_shares(torch.zeros(4)).tolist() == [0.25] * 4
    assert nelder_mead_shares(torch.tensor([5.0])).tolist() == [1.0]
    small = closed_form_shares(torch.tensor([1e-6, 3e-6]))
    assert small.tolist() == pytest.approx([0.25, 0.75])


def test_the_ridge_of_detectors_is_three_tenths() -> None:
    # one centroid of unit length c: c / (1 + ridge)
    assert centroid_detectors(torch.tensor([[0.0, 2.0]])).tolist() == [[0.0, pytest.approx(1 / 1.3)]]


def test_the_ridge_of_a_regression_is_a_thousandth_of_a_channels_mean_square() -> None:
    # one channel: (F'F + r)(q - v/2) = F'(s F v - F v/2), r = .001 mean(F²) n, so q = v/2 + (S - v F'F/2) / (1.001 F'F)
    cells, shares = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    first = (1 * 1.0 + 4 * 0.5) * 2  # sum of s F² v, v = 2
    expected = 1 + (first - 14) / (1.001 * 14)
    parts = ownership_regression(cells, shares, torch.tensor([2.0]))
    assert parts[:, 0].tolist() == pytest.approx([expected, 2 - expected], rel=1e-9)


def parts_with_eigenvalues_in_the_ratio(ratio: float) -> torch.Tensor:
    """Return two parts of length 1: their products have the eigenvalues 1 + c and 1 - c."""
    cosine = (1 - ratio) / (1 + ratio)
    return torch.tensor([[1.0, 0.0], [cosine, (1 - cosine**2) ** 0.5]], dtype=torch.float64)


def test_parts_that_differ_by_less_than_a_thousandth_are_taken_for_one() -> None:
    head = torch.tensor([1.0, 2.0], dtype=torch.float64)
    apart = least_squares_parts(head, parts_with_eigenvalues_in_the_ratio(1.5e-3))
    torch.testing.assert_close(apart.sum(0), head)  # two directions of the plane give any vector of it
    same = least_squares_parts(head, parts_with_eigenvalues_in_the_ratio(0.7e-3))
    lengths = same.norm(dim=1)
    assert float(lengths[0]) == pytest.approx(float(lengths[1]))
    assert float(same.sum(0).norm()) == pytest.approx(float(head @ same.sum(0)) / float(same.sum(0).norm()))
    assert float(same.sum(0).norm()) < 1.2  # what of (1, 2) lies along the parts' common direction


def test_cells_in_which_no_part_occurs_belong_to_all_alike() -> None:
    found = ownership_shares(torch.tensor([[1e-20, 3e-20, 0.0], [0.0, 0.0, 0.0], [2.0, 2.0, 4.0]]))
    torch.testing.assert_close(found, torch.tensor([[0.25, 0.75, 0.0], [1 / 3] * 3, [0.25, 0.25, 0.5]]))


def test_nelder_mead_shares_do_not_depend_on_the_unit() -> None:
    sizes = torch.tensor([1.0, 2.0, 5.0])
    torch.testing.assert_close(nelder_mead_shares(1e4 * sizes), nelder_mead_shares(sizes), rtol=1e-3, atol=1e-4)
