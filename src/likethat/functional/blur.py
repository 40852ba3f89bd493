"""A Gaussian blur of images."""

import torch
from jaxtyping import Float
from torch import Tensor


def gaussian_blur(
    images: Float[Tensor, "n channel height width"], sigma: float, *, repeat_edges: bool = False
) -> Float[Tensor, "n channel height width"]:
    """Blur each channel.

    Args:
        images: what is blurred.
        sigma: standard deviation in pixels.
        repeat_edges: outside the picture its edges go on; else there is nothing, and the blur is a symmetric matrix.

    Example:
        >>> gaussian_blur(torch.ones(1, 1, 4, 4), 1.0, repeat_edges=True).allclose(torch.ones(1, 1, 4, 4))
        True
    """
    down, across = (
        _matrix(side, sigma, repeat_edges=repeat_edges).to(images) for side in (images.shape[-2], images.shape[-1])
    )
    return down @ images @ across.T


def _matrix(side: int, sigma: float, *, repeat_edges: bool) -> Float[Tensor, "side side"]:
    """Return the blur of one axis: a few large products are many times faster than convolutions of one channel."""
    reach = max(1, round(3 * sigma))
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=torch.float64) / sigma) ** 2)
    kernel = kernel / kernel.sum()
    seen = torch.arange(side)[:, None] + torch.arange(-reach, reach + 1)
    is_inside = (seen >= 0) & (seen < side)
    weights = kernel.expand(side, -1) if repeat_edges else kernel * is_inside
    return torch.zeros(side, side, dtype=torch.float64).scatter_add_(1, seen.clamp(0, side - 1), weights.contiguous())
