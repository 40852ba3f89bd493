"""Probabilities by hand, and which classes are given."""

import math

import torch

from likethat.functional.links import probabilities_of


def test_softmax_by_hand() -> None:
    got = probabilities_of(torch.tensor([math.log(1.0), math.log(3.0)]), "softmax")
    assert torch.allclose(got, torch.tensor([0.25, 0.75], dtype=torch.float64))  # 1 / (1 + 3), 3 / (1 + 3)


def test_sigmoids_by_hand() -> None:
    got = probabilities_of(torch.tensor([math.log(3.0), -math.log(4.0)]), "sigmoid")
    assert torch.allclose(got, torch.tensor([0.75, 0.2], dtype=torch.float64))  # 3 / (1 + 3), 1 / (1 + 4)


def test_logits_30_apart_are_not_certain() -> None:
    assert float(probabilities_of(torch.tensor([30.0, 0.0]), "softmax")[0]) < 1.0


def test_rows_in_any_number_of_dimensions() -> None:
    logits = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    of_softmax, of_sigmoid = (probabilities_of(logits, outputs) for outputs in ("softmax", "sigmoid"))
    torch.testing.assert_close(of_softmax.sum(2), torch.ones(2, 3, dtype=torch.float64))
    torch.testing.assert_close(of_softmax[1, 2], probabilities_of(logits[1, 2], "softmax"))
    torch.testing.assert_close(of_sigmoid, 1 / (1 + (-logits.double()).exp()))
