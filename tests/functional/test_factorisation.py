"""HALS against hand numbers, against scikit-learn from the same start, and on bad classes."""

import itertools

import numpy as np
import pytest
import torch
from reference.parts import hals_round
from sklearn.decomposition import NMF

from likethat.functional.factorisation import encode, factorise, relative_error, singular_parts
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
