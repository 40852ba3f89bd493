"""How near an answer comes: by hand, at the ends, for answers in any number of dimensions."""

import pytest
import torch

from likethat.functional.fitness import farthest_class, from_log_scale, log_loss, squared_loss, to_log_scale

HALVES = torch.tensor([0.5, 0.5, 0.0], dtype=torch.float64)


def test_every_measure_is_nothing_at_the_answer_wanted() -> None:
    given = HALVES.expand(4, 2, 3)
    for measure in (farthest_class, squared_loss, log_loss):
        torch.testing.assert_close(measure(given, HALVES), torch.zeros(4, 2, dtype=torch.float64), atol=3e-6, rtol=0)


def test_the_last_axis_is_the_classes() -> None:
    given = torch.tensor([[[0.2, 0.3, 0.5], [0.5, 0.25, 0.25]]], dtype=torch.float64)
    # differences (.3, .2, .5) and (0, .25, .25)
    torch.testing.assert_close(farthest_class(given, HALVES), torch.tensor([[0.5, 0.25]]).double())
    torch.testing.assert_close(squared_loss(given, HALVES), torch.tensor([[0.38, 0.125]]).double())
    # .5 log(.5 / .2) + .5 log(.5 / .3) and .5 log(.5 / .25)
    torch.testing.assert_close(
        log_loss(given, HALVES), torch.tensor([[0.713558, 0.346574]]).double(), atol=1e-5, rtol=0
    )


def test_an_impossible_class_costs_much_and_not_everything() -> None:
    cost = log_loss(torch.tensor([[0.0, 1.0]]).double(), torch.tensor([1.0, 0.0]).double())
    assert float(cost[0]) == pytest.approx(13.8155, abs=1e-3)  # -log 1e-6


def test_the_log_scale_ends_at_a_thousandth() -> None:
    assert to_log_scale(torch.tensor([0.0, 0.999])).exp().tolist() == pytest.approx([0.001, 1.0])
    low = torch.tensor([[0.0005, 0.0095, 0.99]], dtype=torch.float64)
    torch.testing.assert_close(from_log_scale(to_log_scale(low)), low, rtol=1e-9, atol=0)


def test_values_of_the_log_scale_that_no_answer_has_become_probabilities() -> None:
    # exp less a thousandth: 1, 3 and what is below nothing
    values = (torch.tensor([[[1.0, 3.0, -5.0]], [[2.0, 6.0, -1.0]]]).double() + 0.001).clamp_min(1e-12).log()
    expected = torch.tensor([0.25, 0.75, 0.0]).double().expand(2, 1, 3)
    torch.testing.assert_close(from_log_scale(values), expected, atol=1e-8, rtol=0)
    assert float(from_log_scale(values).min()) > 0  # users take logarithms of it
