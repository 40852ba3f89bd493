"""What an archive keeps of every question, and which rows it takes for answers."""

import math

import pytest
import torch
from asked import ANSWERS, Told, archive_of, numbers

from likethat._progress import Progress
from likethat.explainers.freemcg.log import Archive


def test_everything_that_was_asked_is_kept_row_by_row() -> None:
    seen: list[Progress] = []
    archive = archive_of(Told(5), watch=seen.append, budget=5)
    assert archive.margins.tolist() == []
    first = archive.ask(numbers(0, 1), numbers(10, 11))
    second = archive.ask(numbers(2))
    assert first.tolist() == pytest.approx([-math.log(9), math.log(4)])
    assert second.tolist() == pytest.approx([float(torch.tensor(1.5).log())])
    assert archive.margins.tolist() == pytest.approx([*first.tolist(), *second.tolist()])
    assert torch.equal(archive.probabilities, ANSWERS[:3])
    assert archive.distances.tolist() == pytest.approx([0.0, 0.1, 0.2])
    assert archive.costs.tolist() == pytest.approx([0.0, 0.1, 0.2])
    assert archive.reals.tolist() == [True] * 3
    assert archive.at_query == [1, 2, 3]
    assert [float(archive.input(row).flatten()) for row in range(3)] == [0.0, 1.0, 2.0]
    assert [float(archive.point(row).flatten()) for row in range(2)] == [10.0, 11.0]
    assert archive.points[2] is None
    assert [(item.done, item.total) for item in seen] == [(2, 5), (3, 5)]
    with pytest.raises(IndexError):
        archive.input(3)


def test_an_answer_that_cost_nothing_came_with_the_last_one_that_did() -> None:
    archive = archive_of(Told(free=2))
    archive.ask(numbers(0, 1, 2, 3))
    assert archive.at_query == [1, 2, 2, 2]


def test_no_more_is_asked_than_the_budget_and_the_phase_allow() -> None:
    archive = archive_of(Told(4))
    assert not archive.is_spent
    archive.until = 3
    assert len(archive.ask(numbers(0, 1), numbers(0, 1))) == 2
    assert not archive.is_spent
    assert len(archive.ask(numbers(2, 3, 4), numbers(2, 3, 4))) == 1
    assert archive.is_spent  # the phase is, the budget is not
    assert len(archive.ask(numbers(5))) == 0
    archive.until = None
    assert not archive.is_spent
    assert len(archive.ask(numbers(3, 4))) == 1
    assert archive.is_spent
    assert len(archive.ask(numbers(5))) == 0
    assert len(archive.points) == len(archive.distances) == archive.box.queries == 4


def test_the_nearest_is_the_cheapest_that_is_sure_enough() -> None:
    archive = archive_of(Told(), cost=lambda x: (5 - x.flatten()).abs())  # costs 5, 4, 3, 2, 1, 0
    archive.ask(numbers(0, 1, 2), numbers(0, 1, 2))
    archive.ask(numbers(3, 4, 5))
    wanted = float(torch.tensor(0.7 / 0.3).double().log()) - 1e-9
    assert archive.nearest(wanted) == 4  # row 5 is nearer, and no answer
    assert archive.nearest(wanted, with_point=True) == 1
    assert archive.nearest(3.0) is None
    assert archive.surest(wanted) == [1]  # 3 and 4 were made from no points
    assert float(archive.best_point().flatten()) == 1.0
    twice = archive_of(Told(), cost=lambda x: torch.ones(len(x)))
    twice.ask(numbers(1, 3, 4, 0), numbers(1, 3, 4, 0))
    assert twice.nearest(wanted) == 2  # of equals the latest
    assert twice.surest(wanted) == [1, 0, 2]
    assert float(twice.best_point().flatten()) == 3.0


def test_what_could_not_be_real_comes_behind_all_that_could() -> None:
    archive = archive_of(Told(), cost=lambda x: 1000 * x.flatten(), plausible=lambda x: x.flatten() > 2)
    archive.ask(numbers(1, 3, 4))
    assert archive.reals.tolist() == [False, True, True]
    assert archive.nearest(0.5) == 1
    only = archive_of(Told(), plausible=lambda x: x.flatten() > 2)
    only.ask(numbers(1, 2))
    assert only.nearest(0.1) == 0  # better one that could not be than none


def test_further_counterfactuals_differ_from_those_found() -> None:
    archive = archive_of(Told(answers=ANSWERS[[0, 1, 1, 1, 1, 1]]))
    archive.ask(numbers(1, 2, 3, 4, 5), numbers(1, 2, 3, 4, 5))
    archive.found = [4]
    archive.dissimilarity = lambda x, other: (x - other).flatten().abs() / 5  # .8, .6, .4, .2, 0 from the last
    assert archive.surest(1.0) == [0, 1, 2]  # .4 is apart, .2 is not
    archive.found = [4, 0]
    assert archive.surest(1.0) == [2]


def test_what_is_like_a_find_neither_ends_a_search_nor_leads_it() -> None:
    archive = archive_of(Told(answers=ANSWERS[[0, 1, 2, 3, 4, 5]]))
    archive.ask(numbers(0, 2, 3, 4), numbers(0, 2, 3, 4))  # .1, .6, .9, .7
    assert archive.largest(0) == pytest.approx(math.log(9))
    assert torch.equal(archive.apart(archive.margins[1:]), archive.margins[1:])
    archive.found = [2]
    archive.dissimilarity = lambda x, other: (x - other).flatten().abs() / 4  # .75, .25, 0, .25 from the .9
    assert archive.largest(0) == pytest.approx(-math.log(9))
    assert archive.largest(1) == -math.inf
    assert torch.equal(archive.apart(archive.margins), archive.margins[[0, 0, 0, 0]])
    assert archive.best_point().flatten().tolist() == [0.0]


def test_rows_passed_over_are_those_asked_so_far_that_cost_no_more() -> None:
    archive = archive_of(Told(answers=ANSWERS[[1, 1, 1, 1, 1, 1]]))
    archive.ask(numbers(1, 2, 3))
    archive.pass_over(up_to=0.25)
    assert archive.nearest(1.0) == 2
    archive.ask(numbers(0))
    assert archive.nearest(1.0) == 3  # what comes later stands
    archive.pass_over(up_to=0.05)
    assert archive.nearest(1.0) == 2  # and what was passed over stays so


def test_constant_and_hard_answers_are_told_apart_from_others() -> None:
    def asked(*rows: list[float]) -> Archive:
        archive = archive_of(Told(answers=torch.tensor(rows, dtype=torch.float64)))
        archive.ask(numbers(*range(len(rows))))
        return archive

    same, labels, soft = asked([0.3, 0.7], [0.3, 0.7]), asked([1.0, 0.0], [0.0, 1.0]), asked([1.0, 0.0], [0.3, 0.7])
    assert (same.is_constant, labels.is_constant, soft.is_constant) == (True, False, False)
    assert (same.are_hard, labels.are_hard, soft.are_hard) == (False, True, False)
    assert asked([0.3, 0.7], [0.3 + 1e-6, 0.7]).is_constant is False


def test_without_a_target_any_other_class_will_do() -> None:
    archive = archive_of(Told(), target=None)
    archive.ask(numbers(0, 1))
    assert archive.margins.tolist() == pytest.approx([-float(torch.tensor(9.0).log()), float(torch.tensor(4.0).log())])


def test_the_row_with_the_largest_margin_is_nearest_to_it() -> None:
    archive = archive_of(Told())
    margins = archive.ask(numbers(0, 1, 2, 3))
    assert archive.nearest_to == int(margins.argmax())
    assert margins.argmax() != margins.argmin()
