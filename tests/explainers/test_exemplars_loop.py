"""The loop that looks for exemplars, on answers that can be reckoned."""

from typing import Any

import torch
from lines import NAMES, Fixed, Line, bright, finds_of, take_in

from likethat.explainers.exemplars.asking import Asker
from likethat.explainers.exemplars.loop import Finds, pursue
from likethat.explainers.exemplars.target import read_target
from likethat.explanations.status import Reason
from likethat.models.black_box import BlackBox
from likethat.search import Known


def test_the_best_of_what_was_asked_are_found_if_they_are_apart() -> None:
    finds = finds_of([0.6, 0.9, 0.1, 0.8, 0.5], n=2, radius=2.0)
    assert finds.look()
    assert finds.rows == [1, 3]  # .9 at 1, then .8 at 3; two apart is enough
    assert finds.is_done
    assert not finds.look()  # nothing came since
    close = finds_of([0.6, 0.9, 0.1, 0.8, 0.5], n=3, radius=2.5)
    close.look()
    assert close.rows == [1, 4]
    assert not close.is_done
    assert close.best() == [1, 4]  # no third one is far enough
    assert finds_of([0.49], n=1, radius=0).look() is False
    assert finds_of([0.5], n=1, radius=0).look() is True  # as much as was wanted will do
    assert finds_of([], n=1, radius=0).look() is False


def test_only_what_came_since_the_last_look_is_looked_at() -> None:
    finds = finds_of([0.6, 0.2], n=3, radius=1.0)
    finds.look()
    take_in(finds.asker, [5.0, 0.2, 9.0], [0.7, 0.95, 0.3])
    assert finds.look()
    assert finds.rows == [0, 2]  # .2 lies too near to what was found before, though it is better
    assert finds.best() == [2, 0, 4]  # the better first; behind them the nearest miss that lies apart
    take_in(finds.asker, [20.0], [0.1])
    assert finds.look() is False
    take_in(finds.asker, [30.0, 40.0], [0.7, 0.8])
    assert finds.look()
    assert finds.rows == [0, 2, 7]  # one was wanting, and the better of two is taken


def test_inputs_that_are_the_same_count_once_and_are_avoided() -> None:
    finds = finds_of([0.6, 0.9, 0.8, 0.2, 0.1], n=4, radius=0.0, names=["a", "a", "b", "c", "c"])
    assert finds.look()
    assert finds.rows == [1, 2]
    assert sorted(finds.avoid) == [0, 1, 2]  # the first makes the same input
    assert torch.equal(finds.avoided(), finds.asker.known.latents[finds.avoid])
    assert finds.best() == [1, 2, 3]
    take_in(finds.asker, [9.0], [0.99], ["b"])
    assert finds.look() is False


def pursued(strategy: Any, *, n: int = 1, budget: int | None = None, batch: int = 1, tolerance: float = 0.3) -> Any:
    generator, names = Line(), list(NAMES[:2])
    asker = Asker(generator, BlackBox(bright, class_names=names, check_determinism=False, budget=budget))
    aim = read_target(1, names, tolerance=tolerance, threshold=None)
    finds = Finds(asker=asker, aim=aim, n=n, radius=0.5)
    reason = pursue(finds, strategy, batch=batch, rng=torch.Generator().manual_seed(0))
    return reason, finds


def test_the_prior_is_asked_in_batches_first() -> None:
    strategy = Fixed([[9.0], [8.0]], n_screen=10)
    reason, finds = pursued(strategy, batch=4, tolerance=1e-9, budget=11)
    assert finds.asker.generator.asked == [4, 4, 2, 1, 1]
    assert reason == Reason.BUDGET
    assert len(strategy.problems[0].known) == 10


def test_the_prior_is_not_asked_further_than_it_must() -> None:
    reason, finds = pursued(Fixed([[9.0]], n_screen=100), batch=20, tolerance=0.6)
    assert reason == Reason.REACHED
    assert finds.asker.generator.asked == [20]
    strategy = Fixed([[9.0]], n_screen=100)
    reason, finds = pursued(strategy, batch=20, n=2, budget=10, tolerance=0.6)
    assert finds.asker.generator.asked == [20]  # ten of them were answered
    assert (reason, strategy.problems) == (Reason.REACHED, [])  # what the last queries brought counts too
    assert len(finds.asker.known) == 10
    reason, _ = pursued(strategy, batch=20, n=2, budget=10, tolerance=1e-9)
    assert (reason, strategy.problems) == (Reason.BUDGET, [])


def test_a_strategy_hears_what_came_of_what_it_asked() -> None:
    strategy = Fixed([[-2.0, -1.0], [0.0, 9.0]])
    reason, finds = pursued(strategy)
    assert (reason, finds.rows) == (Reason.REACHED, [3])
    (fitness, responses), *others = strategy.told
    assert not others  # there is nothing to tell once it is found
    assert torch.allclose(responses[:, 1], torch.tensor([-2.0, -1.0]).sigmoid().double())
    assert float(fitness[1]) > float(fitness[0])
    assert torch.allclose(fitness, finds.aim.goal.fitness(responses, loss="log"))


def test_each_exemplar_is_sought_anew_away_from_those_found() -> None:
    strategy = Fixed([[9.0, 5.0], [1.0], [2.0]])
    reason, _ = pursued(strategy, n=3)
    assert reason == Reason.REACHED
    assert [problem.avoid.flatten().tolist() for problem in strategy.problems] == [[], [9.0, 5.0]]
    assert len({id(problem.rng) for problem in strategy.problems}) == 1
    assert all(problem.radius == 0.5 for problem in strategy.problems)


def test_sixty_batches_that_bring_nothing_new_end_it() -> None:
    strategy = Fixed([[0.1], [0.2], *[[0.1]] * 30, [0.3], [0.1]])
    reason, finds = pursued(strategy, tolerance=0.01)
    assert reason == Reason.NO_PROGRESS
    assert len(finds.asker.different) == 3
    assert len(strategy.told) == 33 + 60  # counted from the last input that was new


def test_a_budget_that_ends_within_a_batch_ends_the_search() -> None:
    reason, finds = pursued(Fixed([[-1.0, -2.0, 9.0]]), budget=2)
    assert (reason, len(finds.asker.known)) == (Reason.BUDGET, 2)
    reason, finds = pursued(Fixed([[-1.0, 9.0, 3.0]]), budget=2)
    assert (reason, finds.rows) == (Reason.REACHED, [1])  # the last that was paid for was one


def test_known_answers_are_joined_in_order() -> None:
    known = Known.nothing(2).joined(torch.zeros(1, 2), torch.ones(1, 3)).joined(torch.ones(2, 2), torch.zeros(2, 3))
    assert known.latents.tolist() == [[0, 0], [1, 1], [1, 1]]
    assert known.responses.sum(1).tolist() == [3, 0, 0]


def test_what_is_known_already_ends_a_search_before_it_asks() -> None:
    generator = Line()
    asker = Asker(generator, BlackBox(bright, class_names=NAMES[:2], check_determinism=False))
    asker.ask(torch.tensor([[3.0], [0.0]]))
    aim = read_target(1, list(NAMES[:2]), tolerance=0.3, threshold=None)
    finds, strategy = Finds(asker=asker, aim=aim, n=1, radius=0.5), Fixed([[9.0]], n_screen=5)
    assert pursue(finds, strategy, batch=1, rng=torch.Generator().manual_seed(0)) == Reason.REACHED
    assert (finds.rows, generator.asked, strategy.problems) == ([0], [2], [])
    asker.ask(torch.tensor([[6.0]]))
    assert finds.look() is False  # better and apart, but there are enough
    assert finds.rows == [0]
