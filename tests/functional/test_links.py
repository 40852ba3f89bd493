"""Probabilities by hand, and which classes are given."""

import math

import torch

from likethat.functional.links import given_classes, probabilities_of


def test_softmax_by_hand() -> None:
    got = probabilities_of(torch.tensor([math.log(1.0), math.log(3.0)]), "softmax")
    assert torch.allclose(got, torch.tensor([0.25, 0.75], dtype=torch.float64))  # 1 / (1 + 3), 3 / (1 + 3)


def test_sigmoids_by_hand() -> None:
    got = probabilities_of(torch.tensor([math.log(3.0), -math.log(4.0)]), "sigmoid")
    assert torch.allclose(got, torch.tensor([0.75, 0.2], dtype=torch.float64))  # 3 / (1 + 3), 1 / (1 + 4)


def test_logits_30_apart_are_not_certain() -> None:
    assert float(probabilities_of(torch.tensor([30.0, 0.0]), "softmax")[0]) < 1.0


def test_given_classes() -> None:
    assert given_classes(torch.tensor([-2.0, -1.0]), "softmax") == (1,)
    assert given_classes(torch.tensor([-2.0, -1.0]), "sigmoid") == ()
    assert given_classes(torch.tensor([-2.0]), "sigmoid") == ()
    assert given_classes(torch.tensor([0.1, 3.0, -1.0]), "sigmoid") == (1, 0)
