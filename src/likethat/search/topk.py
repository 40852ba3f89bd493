"""The images of highest activation, from cached vectors and one matrix product."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = ["top_rows", "varying_units"]

_BLOCK = 2**26  # activations held at a time: 256 MiB in float32


def top_rows(
    vectors: Float[Tensor, "image channel"],
    detectors: Float[Tensor, "unit channel"],
    n: int,
    *,
    lowest: bool = False,
) -> tuple[Int[Tensor, "unit rank"], Float[Tensor, "unit rank"]]:
    """Return for each unit the rows of `vectors` with the highest (or lowest) inner product, strongest first.

    Equal activations are ranked by row, so that the result depends on nothing but the vectors.

    Args:
        vectors: cached vectors, one an image.
        detectors: one direction a unit.
        n: how many; at most the number of rows are returned.
        lowest: the smallest instead of the largest.

    Returns:
        Row numbers and their activations.

    Source:
        Borycki et al. (2026), EPIC: prototypes of a channel are the images with the largest summed activation.
        Because summing over cells and mixing commute, one cached vector an image serves every mixing.

    Example:
        >>> rows, values = top_rows(torch.tensor([[1.0], [3.0], [2.0]]), torch.ones(1, 1), 2)
        >>> rows.tolist(), values.tolist()
        ([[1, 2]], [[3.0, 2.0]])
    """
    n = min(n, len(vectors))
    block = max(1, _BLOCK // max(len(vectors), 1))
    found = [
        _top_of_block(vectors, detectors[start : start + block], n, lowest) for start in range(0, len(detectors), block)
    ]
    return torch.cat([rows for rows, _ in found]), torch.cat([values for _, values in found])


def varying_units(
    vectors: Float[Tensor, "image channel"], detectors: Float[Tensor, "unit channel"]
) -> Bool[Tensor, " unit"]:
    """Return which units' activation differs between images, beyond a millionth of the most varying unit's.

    Example:
        >>> varying_units(torch.tensor([[1.0, 5.0], [2.0, 5.0]]), torch.eye(2))
        tensor([ True, False])
    """
    block = max(1, _BLOCK // max(len(vectors), 1))
    spread = torch.cat([(part @ vectors.T).std(1, correction=0) for part in detectors.split(block)])
    return spread > 1e-6 * spread.max()


def _top_of_block(vectors: Tensor, detectors: Tensor, n: int, lowest: bool) -> tuple[Tensor, Tensor]:
    activation = detectors @ vectors.T
    if lowest:
        activation = -activation
    threshold = activation.topk(n, dim=1).values[:, -1:]
    # Among equals at the threshold the lowest rows win: everything above it, then equals in order.
    above = activation > threshold
    equal = activation == threshold
    wanted = above | (equal & (equal.cumsum(1) <= n - above.sum(1, keepdim=True)))
    rows = wanted.nonzero()[:, 1].reshape(len(detectors), n)
    values = activation.gather(1, rows)
    order = values.sort(dim=1, descending=True, stable=True).indices
    rows, values = rows.gather(1, order), values.gather(1, order)
    return rows, -values if lowest else values
