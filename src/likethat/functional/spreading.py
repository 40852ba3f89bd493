"""A coarse map laid over finer cells, without anything lost on the way."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate


def spread(
    maps: Float[Tensor, "*n height width"], size: tuple[int, int], *, sigma: float = 0.0
) -> Float[Tensor, "*n high wide"]:
    """Return maps of at least as many cells with the same mean: each cell is spread over the finer cells around it.

    Args:
        maps: of cells, the last two axes.
        size: of the finer grid, at least as large along both axes.
        sigma: standard deviation, in finer cells, of a Gaussian that spreads each further; at the border too nothing
            leaves the map.

    Example:
        >>> spread(torch.tensor([[0.0, 4.0]]), (1, 4))
        tensor([[0., 1., 3., 4.]])
    """
    down, across = (
        _spreading(given, wanted, sigma).to(maps) for given, wanted in zip(maps.shape[-2:], size, strict=True)
    )
    return down @ maps @ across.T


def _spreading(given: int, wanted: int, sigma: float) -> Float[Tensor, "wanted given"]:
    """Return how one axis is spread: columns that add up to wanted / given keep the mean."""
    ones = torch.eye(given, dtype=torch.float64)[:, None]
    matrix = interpolate(ones, size=wanted, mode="linear", align_corners=False)[:, 0].T
    if sigma:
        apart = torch.arange(wanted, dtype=torch.float64)
        matrix = torch.exp(-0.5 * ((apart[:, None] - apart) / sigma) ** 2) @ matrix
    return matrix * (wanted / given / matrix.sum(0))
