"""Whether the parts an explanation points at are those the logit depends on, by drawing pictures without them."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from likethat._session import in_own_session
from likethat.metrics.deletion import rank_agreement


@in_own_session
def importance_of(
    heat_map: Float[NDArray[np.float32], "row column"], mask: Bool[NDArray[np.bool_], "height width"]
) -> float:
    """Return how much of a heat map lies on a part: each cell's value, spread evenly over the cell's pixels.

    The importances of all parts and of the surroundings add up to the heat map's sum.

    Example:
        >>> importance_of(np.array([[4.0, 1.0]]), np.array([[True, True, False, False], [True, False, True, True]]))
        3.5
    """
    (rows, columns), (height, width) = heat_map.shape, mask.shape
    of_row, of_column = np.arange(height) * rows // height, np.arange(width) * columns // width
    cells = (of_row[:, None] * columns + of_column).ravel()
    pixels = np.bincount(cells, minlength=rows * columns)
    inside = np.bincount(cells, weights=mask.ravel(), minlength=rows * columns)
    return float((heat_map.ravel() * inside / np.maximum(pixels, 1)).sum())


@in_own_session
def single_deletion(importances: Sequence[Sequence[float]], drops: Sequence[Sequence[float]]) -> float:
    """Return the mean over images of Spearman's correlation between parts' importances and drops of the logit.

    1: the logit falls most without the parts said to matter most; 0: no relation; -1: the reverse.

    Args:
        importances: for each image, one a part that can be left out.
        drops: for each image, how far the logit falls when the picture is drawn without each of these parts.

    Source:
        Hesse et al. (2023), FunnyBirds, ICCV: single deletion.

    Differs:
        The correlation itself, not rescaled. Images with fewer than two such parts have no order and are left out.

    Example:
        >>> single_deletion([[3.0, 1.0], [5.0, 2.0]], [[0.9, 0.1], [0.2, 0.4]])
        0.0
    """
    found = [rank_agreement(*pair) for pair in zip(importances, drops, strict=True) if len(pair[0]) > 1]
    return float(np.mean(found)) if found else 0.0
