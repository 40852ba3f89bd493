"""Maps laid over finer cells: nothing is lost; torch's interpolation and scipy's blur are met where they lose none."""

import pytest
import torch
from scipy.ndimage import gaussian_filter

from likethat.functional.spreading import spread


def _maps(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("sigma", [0.0, 0.7, 3.0])
@pytest.mark.parametrize("size", [(3, 5), (7, 5), (8, 13), (12, 20)])
def test_the_mean_stays(size: tuple[int, int], sigma: float) -> None:
    maps = _maps(2, 4, 3, 5)
    found = spread(maps, size, sigma=sigma)
    assert found.shape == (2, 4, *size)
    torch.testing.assert_close(found.mean((2, 3)), maps.mean((2, 3)), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("times", [(2, 2), (4, 3)])
def test_whole_multiples_are_bilinear_interpolation(times: tuple[int, int]) -> None:
    maps = _maps(1, 2, 3, 5)
    size = [3 * times[0], 5 * times[1]]
    theirs = torch.nn.functional.interpolate(maps, size=size, mode="bilinear", align_corners=False)
    torch.testing.assert_close(spread(maps, (size[0], size[1])), theirs, rtol=1e-12, atol=1e-14)


def test_a_cell_far_from_the_border_becomes_a_gaussian() -> None:
    maps = torch.zeros(25, 31, dtype=torch.float64)
    maps[12, 15] = 1.0
    theirs = torch.from_numpy(gaussian_filter(maps.numpy(), 1.5, mode="constant", radius=12))
    torch.testing.assert_close(spread(maps, (25, 31), sigma=1.5), theirs, rtol=0, atol=1e-9)


def test_a_cell_at_the_border_loses_nothing() -> None:
    maps = torch.zeros(4, 4, dtype=torch.float64)
    maps[0, 0] = 1.0
    found = spread(maps, (4, 4), sigma=1.5)
    assert float(found.sum()) == pytest.approx(1.0)
    assert float(found[0, 0]) == float(found.max())
