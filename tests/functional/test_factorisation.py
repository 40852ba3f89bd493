"""HALS against hand numbers, against scikit-learn from the same start, and on bad classes."""

import itertools

import numpy as np
import pytest
import torch
from reference.parts import hals_round
from scipy.optimize import nnls
from sklearn.decomposition import NMF

from likethat.functional.factorisation import (
    _solve_parts,
    encode,
    factorise,
    non_negative,
    regions_of,
    relative_error,
    singular_parts,
)
from likethat.functional.starts import start_parts


def mixtures(seed: int = 0, n_classes: int = 3, n_cells: int = 200, n_channels: int = 24) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    parts = torch.rand(n_classes, 5, n_channels, generator=rng) ** 4
    occurrence = torch.rand(n_classes, n_cells, 5, generator=rng) ** 4
    noise = 0.02 * torch.rand(n_classes, n_cells, n_channels, generator=rng)
    return occurrence @ parts + noise


def start(cells: torch.Tensor, n_parts: int, seed: int = 1) -> torch.Tensor:
    return start_parts(cells, torch.rand(len(cells), n_parts, generator=torch.Generator().manual_seed(seed)))


def test_encode_by_hand() -> None:
    # (3, 2) = 1 * (1, 0) + 2 * (1, 1); (-1, 5): the first part would be negative, the second alone gives (5 - 1) / 2.
    found = encode(torch.tensor([[3.0, 2.0], [-1.0, 5.0]]), torch.tensor([[1.0, 0.0], [1.0, 1.0]]), sweeps=200)
    assert torch.allclose(found, torch.tensor([[1.0, 2.0], [0.0, 2.0]]), atol=1e-4)


def test_relative_error_by_hand() -> None:
    # cells (3, 0), (0, 4): 25 in all; the second is not reconstructed: 16 / 25.
    cells = torch.tensor([[3.0, 0.0], [0.0, 4.0]])
    assert float(relative_error(cells, torch.tensor([[3.0], [0.0]]), torch.tensor([[1.0, 0.0]]))) == pytest.approx(0.64)
    assert float(relative_error(0 * cells, torch.zeros(2, 1), torch.zeros(1, 2))) == 0.0


def test_rounds_lower_the_error_as_the_slow_twin_does() -> None:
    """Our limit may not lie above where 400 rounds of the textbook's loops arrive."""
    cells = mixtures(n_classes=1, n_cells=30, n_channels=8)
    first = start(cells, 3)
    e, p = encode(cells, first)[0].double().numpy(), first[0].double().numpy().copy()
    x = cells[0].double().numpy()
    errors = []
    for _ in range(400):
        e, p = hals_round(x, e, p)
        errors.append(float(((x - e @ p) ** 2).sum() / (x**2).sum()))
    assert all(later <= earlier + 1e-12 for earlier, later in itertools.pairwise(errors))
    ours = factorise(cells, first, rounds=2000, tolerance=1e-7)
    assert float(ours.error[0]) <= 1.01 * errors[-1]


@pytest.mark.filterwarnings("ignore:Maximum number of iterations")
@pytest.mark.parametrize("n_parts", [2, 4])
def test_error_is_no_higher_than_scikit_learns_from_the_same_start(n_parts: int) -> None:
    cells = mixtures()
    first = start(cells, n_parts) + 1e-6
    occurrence = encode(cells, first) + 1e-6
    ours = factorise(cells, first, occurrence=occurrence, rounds=3000, tolerance=1e-7)
    for place in range(len(cells)):
        theirs = NMF(n_parts, init="custom", max_iter=3000, tol=1e-6)
        x = cells[place].numpy()
        w = theirs.fit_transform(x, W=occurrence[place].numpy().copy(), H=first[place].numpy().copy())
        error = ((x - w @ theirs.components_) ** 2).sum() / (x**2).sum()
        assert float(ours.error[place]) <= error * 1.001


def test_parts_and_occurrence_are_what_they_say() -> None:
    cells = mixtures()
    found = factorise(cells, start(cells, 4))
    assert float(found.occurrence.min()) >= 0
    assert float(found.parts.min()) >= 0
    assert torch.allclose(found.parts.norm(dim=2), torch.ones(3, 4), atol=1e-5)
    assert torch.allclose(found.error, relative_error(cells, found.occurrence, found.parts))


def test_planted_parts_are_found() -> None:
    planted = torch.zeros(1, 3, 9)
    for part in range(3):
        planted[0, part, 3 * part : 3 * part + 3] = 1 / np.sqrt(3)
    occurrence = torch.rand(1, 60, 3, generator=torch.Generator().manual_seed(0)) ** 3
    cells = occurrence @ planted
    found = factorise(cells, start(cells, 3), rounds=2000, tolerance=1e-8)
    assert float((found.parts[0] @ planted[0].T).amax(1).min()) > 0.99


def test_signed_cells_need_signed_parts() -> None:
    cells = mixtures() - 0.05
    cells[:, :, ::2] *= -1
    first = start(cells, 4)
    signed = factorise(cells, first, signed=True)
    assert float(signed.occurrence.min()) >= 0
    assert float(signed.parts.min()) < 0
    assert bool((signed.error < 0.35).all())


def test_a_class_does_not_depend_on_its_neighbours() -> None:
    cells = mixtures()
    padded = torch.cat([cells, torch.zeros(3, 50, 24)], dim=1)
    padded[2] = 0.0
    first = start(cells, 3)
    alone, beside = factorise(cells[:1], first[:1]), factorise(padded, first)
    assert torch.allclose(alone.parts[0], beside.parts[0], atol=1e-4)
    assert float(beside.occurrence[0, 200:].abs().max()) == 0.0


@pytest.mark.parametrize("signed", [False, True])
def test_cells_of_zeros_and_more_parts_than_cells_are_finite(signed: bool) -> None:
    zeros = torch.zeros(1, 4, 3)
    found = factorise(zeros, start(zeros, 2), signed=signed)
    assert float(found.error[0]) == 0.0
    assert bool(torch.isfinite(found.parts).all())
    one = torch.ones(1, 1, 3)
    found = factorise(one, start(one, 3), signed=signed)
    assert bool(torch.isfinite(found.parts).all())
    assert float(found.error[0]) < 1e-4


def test_singular_parts_start_as_well_as_scikit_learns() -> None:
    cells = mixtures()
    ours = factorise(cells, singular_parts(cells, 4))
    for place in range(len(cells)):
        theirs = NMF(4, max_iter=2000, tol=1e-4).fit(cells[place].numpy())
        assert float(ours.error[place]) <= 1.01 * theirs.reconstruction_err_**2 / float(cells[place].square().sum())


def test_singular_parts_of_a_rank_too_low_are_padded() -> None:
    found = singular_parts(torch.ones(1, 2, 3), 3)
    assert found.shape == (1, 3, 3)
    assert bool(torch.isfinite(found).all())


def test_sweeps_by_hand() -> None:
    # Parts (1, 0) and (1, 1), cell (3, 2): first e1 = 3 / 1, then e2 = (5 - 3) / 2; the next sweep 3 - 1, (5 - 2) / 2.
    cells, parts = torch.tensor([[3.0, 2.0]]), torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    assert [encode(cells, parts, sweeps=sweeps).tolist() for sweeps in (0, 1, 2)] == [
        [[0.0, 0.0]], [[3.0, 1.0]], [[2.0, 1.5]]]  # fmt: skip
    assert torch.equal(encode(cells, parts), encode(cells, parts, sweeps=30))


@pytest.mark.slow
def test_encode_is_scipys_non_negative_least_squares() -> None:
    rng = np.random.default_rng(0)
    cells, parts = rng.normal(size=(2, 9, 6)) + 0.3, rng.normal(size=(2, 4, 6))
    found = encode(torch.from_numpy(cells), torch.from_numpy(parts), sweeps=3000)
    for place in range(2):
        expected = np.stack([nnls(parts[place].T, cell)[0] for cell in cells[place]])
        np.testing.assert_allclose(found[place], expected, atol=1e-6)


def test_a_part_of_zeros_occurs_nowhere() -> None:
    found = encode(torch.tensor([[3.0, 2.0]]), torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
    assert found.tolist() == [[3.0, 0.0]]


def test_the_error_of_faint_cells_is_that_of_bright_ones() -> None:
    cells, occurrence, parts = torch.rand(2, 5, 4), torch.rand(2, 5, 2), torch.rand(2, 2, 4)
    bright = relative_error(cells, occurrence, parts)
    torch.testing.assert_close(relative_error(1e-3 * cells, 1e-3 * occurrence, parts), bright)


@pytest.mark.parametrize("signed", [False, True])
def test_a_round_is_the_textbooks(signed: bool) -> None:
    """Given an occurrence: four sweeps of it, an extrapolation of half a step, the best parts for that."""
    rng = np.random.default_rng(0)
    x, e, p = rng.random((12, 6)), rng.random((12, 3)), rng.random((3, 6))
    given = [torch.from_numpy(each)[None] for each in (x, p, e)]
    found = factorise(given[0], given[1], occurrence=given[2], rounds=1, signed=signed)

    def swept(values: np.ndarray, others: np.ndarray, goal: np.ndarray) -> np.ndarray:
        values = values.copy()
        for _ in range(4):
            for k in range(values.shape[1]):
                rest = goal - values @ others + np.outer(values[:, k], others[k])
                values[:, k] = np.maximum(rest @ others[k] / (others[k] @ others[k]), 0)
        return values

    once = swept(e, p, x)
    ahead = np.maximum(once + 0.5 * (once - e), 0)
    parts = np.linalg.lstsq(ahead, x, rcond=None)[0] if signed else swept(p.T, ahead.T, x.T).T
    lengths = np.linalg.norm(parts, axis=1)
    np.testing.assert_allclose(found.parts[0], parts / lengths[:, None], rtol=2e-5, atol=1e-5)
    np.testing.assert_allclose(found.occurrence[0], swept(ahead, parts, x) * lengths, rtol=1e-4, atol=1e-4)
    assert found.rounds == 1


@pytest.mark.parametrize("n_channels", [24, 90])  # without a sketch, and with one: 90 > 4 * (3 + 12)
def test_more_rounds_are_better_and_counted(n_channels: int) -> None:
    cells = mixtures(n_channels=n_channels)
    first = start(cells, 3)
    none, few, all_ = (factorise(cells, first, rounds=rounds, tolerance=1e-4) for rounds in (0, 4, 500))
    assert none.rounds == 0
    assert few.rounds == 4 * (1 if n_channels == 24 else 2)
    assert bool((few.error < none.error).all())
    assert bool((all_.error <= few.error).all())
    assert few.rounds < all_.rounds < 500


def test_a_looser_tolerance_stops_earlier() -> None:
    cells = mixtures()
    rounds = [factorise(cells, start(cells, 4), tolerance=tolerance).rounds for tolerance in (1e-1, 1e-2)]
    rounds.append(factorise(cells, start(cells, 4), tolerance=1e-4).rounds)
    assert rounds == sorted(set(rounds))
    assert rounds[2] == factorise(cells, start(cells, 4)).rounds < 200


def test_signed_parts_are_the_best_there_are_for_their_occurrence() -> None:
    cells = mixtures() - 0.3
    found = factorise(cells, start(cells, 3), signed=True, rounds=400, tolerance=1e-7)
    for place in range(len(cells)):
        best = np.linalg.lstsq(found.occurrence[place].numpy(), cells[place].numpy(), rcond=None)[0]
        np.testing.assert_allclose(found.parts[place], best, atol=2e-2)


def test_singular_parts_are_the_signs_that_dominate_in_singular_vectors() -> None:
    """Beside numpy's decomposition: of each pair the sign whose non-negative halves are larger together."""
    cells = np.random.default_rng(0).random((1, 30, 8)) ** 3
    left, _, right = np.linalg.svd(cells[0], full_matrices=False)
    expected = []
    for u, v in zip(left.T[:3], right[:3], strict=True):
        sizes = [np.linalg.norm(np.maximum(s * u, 0)) * np.linalg.norm(np.maximum(s * v, 0)) for s in (1, -1)]
        expected.append(np.maximum(v if sizes[0] >= sizes[1] else -v, 0))
    np.testing.assert_allclose(singular_parts(torch.from_numpy(cells), 3)[0], expected, atol=1e-8)


def test_singular_parts_of_signed_cells_are_the_singular_vectors() -> None:
    cells = torch.randn(2, 40, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = singular_parts(cells, 2)
    for place in range(2):
        expected = torch.linalg.svd(cells[place], full_matrices=False).Vh[:2]
        torch.testing.assert_close((found[place] @ expected.T).abs(), torch.eye(2, dtype=torch.float64))


def test_singular_parts_of_wide_cells_are_found_by_a_sketch_that_grows_with_their_number() -> None:
    cells = mixtures(n_channels=200)
    found = singular_parts(cells, 2)
    exact = torch.linalg.svd(cells, full_matrices=False).Vh[:, :1]
    assert float((found[:, :1] * exact).sum(2).abs().min()) > 0.9999  # of cells of positive numbers: all one sign


def test_parts_of_faint_cells_are_those_of_bright_ones() -> None:
    rng = torch.Generator().manual_seed(0)
    occurrence, cells = torch.rand(1, 40, 3, generator=rng), torch.rand(1, 40, 8, generator=rng)
    gram, product = occurrence.mT @ occurrence, occurrence.mT @ cells
    for scale in (1e-6, 1.0, 1e6):
        found = _solve_parts(scale * gram, scale * product)
        torch.testing.assert_close(found, torch.linalg.lstsq(occurrence, cells).solution, rtol=1e-3, atol=1e-4)
    gram[:, 2], gram[:, :, 2], product[:, 2] = 0, 0, 0
    assert _solve_parts(gram, product)[0, 2].tolist() == [0.0] * 8  # a part that never occurs


def test_signed_cells_become_twice_as_many_channels_whatever_they_are_stacked_in() -> None:
    cells = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    wide = non_negative(cells, signed=True)
    assert wide.shape == (2, 5, 6)
    torch.testing.assert_close(wide[..., :3] - wide[..., 3:], cells)
    assert torch.equal(non_negative(cells, signed=False), cells.clamp_min(0))


def test_regions_come_the_largest_first() -> None:
    cells = torch.cat([torch.tensor([[0.0, 0.0, 1.0]]).repeat(3, 1), torch.tensor([[1.0, 0.0, 0.0]]).repeat(9, 1)])
    (found,) = regions_of(cells[None], 2)
    assert found.argmax(1).tolist() == [0, 2]
