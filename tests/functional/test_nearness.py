"""Near cells go together, and more so those of one colour: by hand."""

import math

import pytest
import torch

from likethat.functional.nearness import nearness


def test_a_covariance_is_that_of_place_times_that_of_colour() -> None:
    cells = torch.zeros(2, 2, 4)
    cells[0, :, 2:] = 3.0  # variances .5² · 3² and, below, 1²
    cells[1, 0] = 2.0
    found = nearness(cells)
    place = math.exp(-(0.5**2) / (2 * 0.25**2))  # one cell of two a side
    colour = math.exp(-(3.0**2) / (2 * 0.6**2 * (2.25 + 1)))
    assert float(found[1, 2]) == pytest.approx(place * (0.25 + 0.75 * colour), rel=1e-5)
    assert float(found[0, 1]) == pytest.approx(place, rel=1e-5)
    assert torch.allclose(found, found.T)
    assert torch.allclose(found.diagonal(), torch.ones(8))
    assert float(torch.linalg.eigvalsh(found.double()).min()) > -1e-6


def test_units_of_colour_do_not_matter_and_one_colour_leaves_the_place_alone() -> None:
    cells = torch.rand(3, 5, 5, generator=torch.Generator().manual_seed(0))
    found = nearness(cells)
    assert torch.allclose(found, nearness(7 * cells + 2), atol=1e-5)
    plain = torch.full((3, 5, 5), 0.25)
    assert float(nearness(plain)[0, 1]) == pytest.approx(math.exp(-0.5 * (0.2 / 0.25) ** 2))
