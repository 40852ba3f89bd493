"""Questions to a black box, of all searches: never more than are allowed, counted and told."""

import pytest
import torch
from torch import Tensor

import likethat as lt
from likethat._queries import QueryLog


def halves(x: Tensor) -> Tensor:
    share = x.flatten(1).mean(1)
    return torch.stack([share, 1 - share], 1)


def images(n: int, *, seed: int = 0) -> Tensor:
    return torch.rand(n, 1, 2, 2, generator=torch.Generator().manual_seed(seed))


def log(budget: int | None = None, **options: object) -> QueryLog:
    box = lt.BlackBox(halves, check_determinism=False).limited(budget)
    return QueryLog(box=box, budget=budget, **options)  # type: ignore[arg-type]


def test_the_leading_rows_are_asked_as_far_as_the_budget_goes() -> None:
    asked = log(5)
    first, second, third = (asked.query(images(3, seed=seed)) for seed in range(3))
    assert [len(one) for one in (first, second, third)] == [3, 2, 0]
    assert (first.at_query, second.at_query) == ([1, 2, 3], [4, 5])
    torch.testing.assert_close(second.inputs, images(3, seed=1)[:2])
    torch.testing.assert_close(second.probabilities.float(), halves(images(3, seed=1)[:2]))
    assert third.probabilities.shape == (0, 2)
    assert asked.is_spent


def test_what_was_asked_before_costs_nothing() -> None:
    asked = log(4)
    asked.query(images(4))
    again = asked.query(images(4))
    assert again.at_query == [4] * 4
    assert asked.box.queries == 4


def test_a_search_may_stop_before_its_budget() -> None:
    asked = log(10)
    asked.until = 4
    assert len(asked.query(images(6))) == 4
    assert asked.is_spent
    asked.until = None
    assert not asked.is_spent


def test_a_watcher_hears_the_queries_and_may_stop_the_work() -> None:
    told: list[tuple[str, int, int | None]] = []
    asked = log(10, watch=lambda one: told.append((one.stage, one.done, one.total)))
    asked.query(images(3))
    assert told == []  # what was answered is kept first
    asked.tell()
    assert told == [("asking the model", 3, 10)]

    def stop(_: lt.Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        log(10, watch=stop).tell()
    asked.tell_how = lambda: told.clear()
    asked.tell()
    assert told == []
