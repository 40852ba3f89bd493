"""Where a channel is strongest, and which pixels that is."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def peak_cells(maps: Float[Tensor, "*batch row column"], *, lowest: bool = False) -> Int[Tensor, "*batch 2"]:
    """Return row and column of each map's highest (or lowest) cell; the first of equals.

    Example:
        >>> peak_cells(torch.tensor([[0.0, 1.0], [5.0, 2.0]]))
        tensor([1, 0])
    """
    flat = maps.flatten(-2)
    position = flat.argmin(-1) if lowest else flat.argmax(-1)
    columns = maps.shape[-1]
    return torch.stack([position // columns, position % columns], dim=-1)


def cell_box(cell: tuple[int, int], *, grid: tuple[int, int], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the pixels (left, top, right, bottom) that a cell of the feature map stands on.

    Args:
        cell: row and column.
        grid: rows and columns of the feature map.
        size: height and width of the image in pixels.

    Returns:
        At least one pixel wide and high; right and bottom are exclusive.

    Example:
        >>> cell_box((1, 2), grid=(7, 7), size=(224, 224))
        (64, 32, 96, 64)
    """
    (row, column), (rows, columns), (height, width) = cell, grid, size
    top, left = row * height // rows, column * width // columns
    bottom = max((row + 1) * height // rows, top + 1)
    right = max((column + 1) * width // columns, left + 1)
    return left, top, right, bottom
