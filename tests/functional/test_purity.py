"""Purity, by hand and at its ends."""

import pytest
import torch

from likethat.functional import purity


def test_by_hand() -> None:
    # (3, 4): cosine with axis 0 is 3/5, with axis 1 is 4/5.
    vectors = torch.tensor([[3.0, 4.0], [3.0, 4.0]])
    assert purity(vectors, torch.tensor([0, 1])).tolist() == pytest.approx([0.6, 0.8])


@pytest.mark.parametrize(
    ("vector", "expected"), [([2.0, 0.0], 1.0), ([0.0, 5.0], 0.0), ([-1.0, 0.0], -1.0), ([0.0, 0.0], 0.0)]
)
def test_ends(vector: list[float], expected: float) -> None:
    assert float(purity(torch.tensor([vector]), torch.tensor([0]))[0]) == expected


def test_zero_vector_has_a_finite_gradient() -> None:
    vectors = torch.tensor([[0.0, 0.0], [1.0, 1.0]], requires_grad=True)
    purity(vectors, torch.tensor([0, 0])).sum().backward()
    assert vectors.grad is not None
    assert bool(torch.isfinite(vectors.grad).all())


def test_vectors_in_any_number_of_dimensions() -> None:
    # (3, 4) and (0, 2): cosines .6 and .8, 0 and 1.
    vectors = torch.tensor([[[3.0, 4.0], [0.0, 2.0]]]).expand(3, 2, 2)
    assert purity(vectors, torch.tensor([0, 1]).expand(3, 2)).tolist() == [pytest.approx([0.6, 1.0])] * 3
    assert float(purity(vectors[0, 0], torch.tensor(1))) == pytest.approx(0.8)
