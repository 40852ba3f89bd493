"""The images of highest activation, from cached vectors and one matrix product."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from likethat._vectors import blocks, is_on_disk

_BLOCK = 2**23  # activations held at a time: with what ranks them 160 MiB, and larger blocks are no quicker


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
    best: tuple[Tensor, Tensor] | None = None
    for start, part in blocks(vectors):
        rows, values = _top_of_part(part, detectors, min(n, len(part)), lowest)
        best = (rows + start, values) if best is None else _merged(best, (rows + start, values), n, lowest)
    assert best is not None  # vectors in memory are one block, however few
    return best


def _top_of_part(vectors: Tensor, detectors: Tensor, n: int, lowest: bool) -> tuple[Tensor, Tensor]:
    """Return the top of vectors that are in memory, a block of units at a time."""
    block = max(1, _BLOCK // max(len(vectors), 1))
    found = [
        _top_of_block(vectors, detectors[start : start + block], n, lowest) for start in range(0, len(detectors), block)
    ]
    return torch.cat([rows for rows, _ in found]), torch.cat([values for _, values in found])


def _merged(best: tuple[Tensor, Tensor], found: tuple[Tensor, Tensor], n: int, lowest: bool) -> tuple[Tensor, Tensor]:
    """Return the top of two tops; among equals the earlier rows, which come first, stay before the others."""
    rows, values = (torch.cat(pair, dim=1) for pair in zip(best, found, strict=True))
    order = values.sort(dim=1, descending=not lowest, stable=True).indices[:, :n]
    return rows.gather(1, order), values.gather(1, order)


def varying_units(
    vectors: Float[Tensor, "image channel"], detectors: Float[Tensor, "unit channel"]
) -> Bool[Tensor, " unit"]:
    """Return which units' activation differs between images, beyond a millionth of the most varying unit's.

    Example:
        >>> varying_units(torch.tensor([[1.0, 5.0], [2.0, 5.0]]), torch.eye(2))
        tensor([ True, False])
    """
    if is_on_disk(vectors):
        spread = _spread_in_blocks(vectors, detectors)
    else:
        block = max(1, _BLOCK // max(len(vectors), 1))
        spread = torch.cat([(part @ vectors.T).std(1, correction=0) for part in detectors.split(block)])
    return spread > 1e-6 * spread.max()


def _spread_in_blocks(vectors: Tensor, detectors: Tensor) -> Tensor:
    """Return the deviation of each unit's activation, by the covariance of the channels: one pass over the vectors."""
    origin = vectors[:1].clone()  # near the mean, beside which the squares would lose their digits
    total = torch.zeros(vectors.shape[1], dtype=torch.float64)
    squares = torch.zeros(vectors.shape[1], vectors.shape[1], dtype=torch.float64)
    for _, part in blocks(vectors):
        apart = part - origin
        total += apart.sum(0)
        squares += apart.T @ apart
    mean = total / len(vectors)
    covariance = squares / len(vectors) - mean[:, None] * mean
    along = detectors.double()
    return ((along @ covariance) * along).sum(1).clamp_min(0).sqrt().float()


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
