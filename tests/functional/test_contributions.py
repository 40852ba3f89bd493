"""What each unit supplies, by hand."""

import pytest
import torch

from likethat.functional import contributions, coverage


def test_contributions_by_hand() -> None:
    # v = (2, 1): (1, 0).v = 2, (0, 3).v = 3; together (1, 3).v = 5.
    values = contributions(torch.tensor([2.0, 1.0]), torch.tensor([[1.0, 0.0], [0.0, 3.0]]))
    assert values.tolist() == [2.0, 3.0]


@pytest.mark.parametrize(
    ("values", "top", "expected"), [([4.0, 3.0, 1.0, -5.0], 2, 0.875), ([-1.0, -2.0], 1, 0.0), ([1.0], 9, 1.0)]
)
def test_coverage(values: list[float], top: int, expected: float) -> None:
    assert float(coverage(torch.tensor(values), top=top)) == pytest.approx(expected)


def test_rows_in_any_number_of_dimensions_are_worked_on_alone() -> None:
    rng = torch.Generator().manual_seed(0)
    pooled, summands = torch.rand(2, 3, 4, generator=rng), torch.randn(5, 4, generator=rng)
    values = contributions(pooled, summands)
    for row in range(2):
        for column in range(3):
            expected = [float(pooled[row, column].double() @ summand.double()) for summand in summands]
            assert values[row, column].tolist() == pytest.approx(expected)
            alone = coverage(values[row, column], top=2)
            assert float(coverage(values, top=2)[row, column]) == pytest.approx(float(alone))


def test_weak_evidence_is_covered_as_strong_is() -> None:
    strong = torch.tensor([[0.6, 0.3, 0.1, -9.0]])
    for strength in (1e-3, 1.0, 1e3):
        assert float(coverage(strength * strong, top=1)[0]) == pytest.approx(0.6)
