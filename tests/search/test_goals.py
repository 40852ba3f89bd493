"""Goals by hand: what is reached, what is missing, and between which classes they lie."""

import math

import pytest
import torch

from likethat.errors import NonFiniteError
from likethat.search import HighResponse, Probabilities

BOUNDARY = Probabilities(wanted=torch.tensor([0.5, 0.0, 0.5], dtype=torch.float64), tolerance=0.1)


def test_a_probability_vector() -> None:
    answers = torch.tensor([[[0.5, 0.0, 0.5]], [[0.35, 0.1, 0.55]]], dtype=torch.float64)
    assert BOUNDARY.poles == (0, 2)
    torch.testing.assert_close(BOUNDARY.shortfall(answers), torch.tensor([[-0.1], [0.05]]).double())
    torch.testing.assert_close(BOUNDARY.fitness(answers, loss="squared"), -torch.tensor([[0.0], [0.035]]).double())
    log = -(0.5 * math.log(0.5 / 0.35) + 0.5 * math.log(0.5 / 0.55))
    assert BOUNDARY.fitness(answers, loss="log").flatten().tolist() == pytest.approx([0.0, log], abs=1e-5)


def test_a_high_response() -> None:
    goal = HighResponse(response=lambda p: p[:, 1] * 2, threshold=1.5)
    answers = torch.tensor([[[0.2, 0.8, 0.0], [0.5, 0.5, 0.0]]])
    assert goal.poles == ()
    assert goal.shortfall(answers).tolist() == [[pytest.approx(-0.1), pytest.approx(0.5)]]
    assert goal.fitness(answers, loss="log").tolist() == [[pytest.approx(1.6), pytest.approx(1.0)]]
    assert goal.fitness(answers, loss="log").dtype == torch.float64


def test_without_a_threshold_none_is_reached_and_the_highest_misses_least() -> None:
    missing = HighResponse(response=lambda p: p[:, 0]).shortfall(torch.tensor([[2.0], [1e6]]))
    assert missing.tolist() == [1e9 - 2, 1e9 - 1e6]


def test_a_response_that_is_not_finite_is_named() -> None:
    goal = HighResponse(response=lambda p: p[:, 0].log(), threshold=0.0)
    with pytest.raises(NonFiniteError, match="`target` must return finite numbers"):
        goal.fitness(torch.tensor([[0.0, 1.0]]), loss="log")
