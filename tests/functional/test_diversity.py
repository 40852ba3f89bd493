"""Distinct points, distances and ranks, by hand and beside scipy."""

import math

import pytest
import torch
from scipy.stats import percentileofscore

from likethat.functional.diversity import distinct_rows, mean_distance, quantile_among

POINTS = torch.tensor([[0.0, 0.0], [3.0, 4.0], [3.0, 0.0], [9.0, 0.0]])
NONE = torch.zeros(0, 2)


@pytest.mark.parametrize(
    ("order", "radius", "n", "rows"),
    [
        ([0, 1, 2, 3], 3.5, 4, [0, 1, 3]),  # 2 lies 3 from 0
        ([0, 1, 2, 3], 3.0, 4, [0, 1, 2, 3]),  # as far as the radius is far enough
        ([2, 0, 3, 1], 4.5, 4, [2, 3]),
        ([0, 1, 2, 3], 3.5, 2, [0, 1]),
        ([3, 1], 0.0, 1, [3]),
        ([], 1.0, 3, []),
    ],
)
def test_distinct_rows(order: list[int], radius: float, n: int, rows: list[int]) -> None:
    assert distinct_rows(POINTS, order, radius=radius, n=n, kept=NONE) == rows


def test_rows_keep_their_distance_from_what_was_kept_before() -> None:
    kept = torch.tensor([[0.0, 1.0], [9.0, 1.0]])
    assert distinct_rows(POINTS, [0, 1, 2, 3], radius=2.0, n=4, kept=kept) == [1, 2]


def test_mean_distance() -> None:
    assert math.isnan(mean_distance(POINTS[:1]))
    assert mean_distance(POINTS[:2]) == 5.0
    assert mean_distance(POINTS[:3]) == pytest.approx(4.0)  # 5, 3, 4


def test_ranks_are_scipys() -> None:
    reference = torch.tensor([1.0, 2.0, 2.0, 2.0, 5.0, 7.0])
    values = torch.tensor([0.0, 1.0, 2.0, 3.0, 7.0, 8.0])
    expected = [percentileofscore(reference, value, kind="mean") / 100 for value in values.tolist()]
    assert quantile_among(values, reference).tolist() == pytest.approx(expected)
