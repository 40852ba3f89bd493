"""Which of many points are distinct, and how far apart a few lie."""

import torch
from jaxtyping import Float
from torch import Tensor


def distinct_rows(
    points: Float[Tensor, "n dim"], order: list[int], *, radius: float, n: int, kept: Float[Tensor, "m dim"]
) -> list[int]:
    """Return the first `n` rows of `order` that keep their distance from each other and from `kept`.

    Args:
        points: all points.
        order: row numbers, best first.
        radius: the least distance between two that count as distinct.
        n: how many at most.
        kept: points that were chosen before.

    Example:
        >>> points = torch.tensor([[0.0], [0.1], [2.0]])
        >>> distinct_rows(points, [1, 0, 2], radius=1.0, n=2, kept=torch.zeros(0, 1))
        [1, 2]
    """
    chosen: list[int] = []
    taken = kept.to(points)
    for row in order:
        if len(chosen) == n:
            break
        if not len(taken) or bool((torch.cdist(points[row][None], taken) >= radius).all()):
            chosen.append(row)
            taken = torch.cat([taken, points[row][None]])
    return chosen


def mean_distance(points: Float[Tensor, "n dim"]) -> float:
    """Return the mean Euclidean distance between two different rows; NaN for fewer than two.

    Example:
        >>> mean_distance(torch.tensor([[0.0], [1.0], [3.0]]))
        2.0
    """
    if len(points) < 2:
        return float("nan")
    return float(torch.pdist(points.double()).mean())


def quantile_among(values: Float[Tensor, " n"], reference: Float[Tensor, " m"]) -> Float[Tensor, " n"]:
    """Return the share of `reference` that lies below each value, ties counted half: 0 is below all, 1 above all.

    Example:
        >>> quantile_among(torch.tensor([0.0, 2.0, 9.0]), torch.tensor([1.0, 2.0, 3.0, 4.0])).tolist()
        [0.0, 0.375, 1.0]
    """
    below = (reference[None] < values[:, None]).double().mean(1)
    return below + 0.5 * (reference[None] == values[:, None]).double().mean(1)
