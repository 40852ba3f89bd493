"""Rectangles of cells: which a mark stands on, and where a map looks most like a vector."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from likethat.errors import InputError


def marked_cells(
    mark: tuple[float, float, float, float], *, grid: tuple[int, int]
) -> tuple[tuple[int, int, int, int], Bool[Tensor, "row column"]]:
    """Return the cells of a feature map whose middle lies in a mark; the cell under its middle where none does.

    Args:
        mark: left, top, right and bottom, as shares of the picture in [0, 1].
        grid: rows and columns of the feature map.

    Returns:
        The rectangle that they are, first row, first column, and those after the last; and the cells.

    Raises:
        InputError: the mark is no rectangle in the picture.

    Example:
        >>> marked_cells((0.3, 0.0, 0.9, 0.5), grid=(2, 4))[0]
        (0, 1, 1, 4)
    """
    left, top, right, bottom = mark
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        shown = ", ".join(f"{100 * side:.4g}" for side in mark)
        raise InputError(
            "`mark` must be left, top, right and bottom from 0 to 100 % of the picture, left before right and top "
            f"before bottom, got {shown}. Mark a part of the picture."
        )
    rows, columns = (_span(*ends, size) for ends, size in zip(((top, bottom), (left, right)), grid, strict=True))
    cells = torch.zeros(grid, dtype=torch.bool)
    cells[slice(*rows), slice(*columns)] = True
    return (rows[0], columns[0], rows[1], columns[1]), cells


def _span(start: float, end: float, n_cells: int) -> tuple[int, int]:
    """Return the first cell whose middle, at (index + 1/2) / n_cells, lies from `start` on, and that from `end` on."""
    first, last = math.ceil(start * n_cells - 0.5), math.ceil(end * n_cells - 0.5)
    if first < last:
        return first, last
    middle = min(int((start + end) / 2 * n_cells), n_cells - 1)
    return middle, middle + 1


def likest_window(
    feature_map: Float[Tensor, "channel row column"],
    vector: Float[Tensor, " channel"],
    *,
    window: tuple[int, int],
) -> tuple[float, tuple[int, int, int, int]]:
    """Return where a map looks most like a vector: the cosine of the window's mean vector, and the window.

    Args:
        feature_map: of a picture.
        vector: mean of the cells that are looked for.
        window: their rows and columns; cut where the map has fewer.

    Returns:
        The cosine, in [-1, 1], 0 where either is zero; first row, first column, and those after the last. The first of
        equals.
    """
    size = (min(window[0], feature_map.shape[1]), min(window[1], feature_map.shape[2]))
    means = torch.nn.functional.avg_pool2d(feature_map[None].double(), size, stride=1)[0]
    cosines = torch.nn.functional.cosine_similarity(means, vector.double()[:, None, None], dim=0)
    row, column = divmod(int(cosines.argmax()), cosines.shape[1])
    return float(cosines[row, column]), (row, column, row + size[0], column + size[1])
