"""Blurring, beside scipy's."""

import pytest
import torch
from scipy.ndimage import gaussian_filter

from likethat.functional.blur import gaussian_blur


@pytest.mark.parametrize(("repeat_edges", "mode"), [(True, "nearest"), (False, "constant")])
@pytest.mark.parametrize("sigma", [0.8, 2.0])
def test_every_channel_of_a_picture_that_is_not_square(repeat_edges: bool, mode: str, sigma: float) -> None:
    images = torch.rand(2, 3, 5, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    blurred = gaussian_blur(images, sigma, repeat_edges=repeat_edges)
    theirs = gaussian_filter(images.numpy(), (0, 0, sigma, sigma), mode=mode, radius=round(3 * sigma))
    torch.testing.assert_close(blurred, torch.from_numpy(theirs), rtol=1e-9, atol=1e-12)


def test_a_blur_reaches_the_next_pixel_however_small() -> None:
    images = torch.zeros(1, 1, 3, 5, dtype=torch.float64)
    images[0, 0, 1, 2] = 1.0
    theirs = gaussian_filter(images.numpy(), (0, 0, 0.15, 0.15), mode="constant", radius=1)
    assert theirs[0, 0, 1, 1] > 0
    torch.testing.assert_close(gaussian_blur(images, 0.15), torch.from_numpy(theirs), rtol=1e-9, atol=0)


def test_beyond_the_edges_nothing_is_seen_unless_asked() -> None:
    images = torch.ones(1, 1, 6, 6)
    assert float(gaussian_blur(images, 1.0)[0, 0, 0, 0]) < 0.6
