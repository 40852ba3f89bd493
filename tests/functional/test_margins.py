"""How far an answer is on the side of a class, by hand."""

import math

import pytest
import torch

from likethat.functional.margins import margins_of

ANSWERS = torch.tensor([[0.1, 0.2, 0.7], [0.6, 0.1, 0.3]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("target", "source_class", "ratios"),
    [
        (0, 2, [1 / 7, 2.0]),  # .1 to the best other .7; .6 to .3
        (1, 0, [2 / 7, 1 / 6]),
        (2, 0, [7 / 2, 1 / 2]),
        (None, 2, [2 / 7, 2.0]),  # the best that is not class 2: .2 to .7; .6 to .3
        (None, 0, [7.0, 1 / 2]),
    ],
)
def test_by_hand(target: int | None, source_class: int, ratios: list[float]) -> None:
    margins = margins_of(ANSWERS, target=target, source_class=source_class)
    assert margins.exp().tolist() == pytest.approx(ratios)


def test_an_impossible_class_has_a_finite_margin() -> None:
    margins = margins_of(torch.tensor([[0.0, 1.0]]).double(), target=0, source_class=1)
    assert float(margins[0]) == pytest.approx(math.log(1e-6))
