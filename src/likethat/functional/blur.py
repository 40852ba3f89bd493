"""A Gaussian blur of images."""

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["gaussian_blur"]


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
    reach = max(1, round(3 * sigma))
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).to(images)
    flat = images.flatten(0, 1)[:, None]
    flat = torch.nn.functional.pad(flat, [reach] * 4, mode="replicate" if repeat_edges else "constant")
    across = torch.nn.functional.conv2d(flat, kernel[None, None, None, :])
    return torch.nn.functional.conv2d(across, kernel[None, None, :, None]).reshape(images.shape)
