"""One run of a search: shares of the budget, and whatever ends it."""

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from asked import Told, archive_of, numbers

from likethat.errors import ModelError
from likethat.explainers.freemcg import run
from likethat.explainers.freemcg.run import Found, Settings, one_after_the_other, seek
from likethat.explanations.status import Reason


def test_the_margin_is_the_log_odds_of_the_confidence() -> None:
    assert Settings(n=1, budget=9, n_particles=2, confidence=0.8).margin == pytest.approx(math.log(4))


SETTINGS = Settings(n=2, budget=100, n_particles=8, confidence=0.59)


def test_whatever_ends_a_search_keeps_what_came_before() -> None:
    def search(how: Any, n: int) -> Any:
        def run_it(_space: Any, archive: Any, _settings: Any, _rng: Any) -> Found:
            archive.ask(numbers(*range(n)))
            archive.until = 5
            if how is not None:
                raise how
            return Found(mean_row=1, target_margin=0.25, reason=Reason.COLLAPSED)

        archive = archive_of(Told())
        found = seek(None, archive, SETTINGS, run_it, rng=torch.Generator())  # type: ignore[arg-type]
        assert archive.until is None
        return found

    assert search(None, 2) == Found(mean_row=1, target_margin=0.25, reason=Reason.COLLAPSED)
    failed = search(ModelError("The server is gone."), 2)
    assert (failed.mean_row, failed.reason, failed.error) == (None, Reason.FAILED, "The server is gone")
    assert failed.target_margin == pytest.approx(SETTINGS.margin)
    assert search(KeyboardInterrupt(), 2).reason == Reason.INTERRUPTED
    for error in (ModelError("gone"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            search(error, 1)  # the source alone is nothing to keep


def test_each_counterfactual_has_its_share_of_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    archive, plans, nearer = archive_of(Told(budget=100), dissimilarity=lambda x, _: torch.ones(len(x))), [], []
    archive.ask(numbers(0))

    def reach(_space: Any, archive: Any, plan: Any, *, rng: Any) -> Reason:
        plans.append((plan, archive.until))
        archive.ask(numbers(2) if len(plans) == 1 else numbers(1, 5))  # .6 at first, then .8
        return Reason.BUDGET if len(plans) == 1 else Reason.REACHED

    monkeypatch.setattr(run, "reach", reach)
    monkeypatch.setattr(run, "bring_nearer", lambda space, archive, plan, *, rng: nearer.append(plan))
    found = one_after_the_other(SimpleNamespace(), archive, SETTINGS, torch.Generator())  # type: ignore[arg-type]
    assert [plan.asked for plan, _ in plans] == [1, 2]
    assert [plan.budget for plan, _ in plans] == [49, 98]  # half of 99, then all that is left
    assert [until for _, until in plans] == [50, 100]
    assert [plan.n_generations for plan, _ in plans] == [2 * 7, 2 * 13]  # 49 / 8 and 98 / 8, rounded up, twice
    assert all(plan.n_particles == 8 for plan, _ in plans)
    assert plans[0][0].target_margin == SETTINGS.margin
    assert [plan.target_margin for plan in nearer] == [SETTINGS.margin] * 2
    assert archive.found == [1, 2]
    assert found == Found(mean_row=None, target_margin=nearer[0].target_margin, reason=Reason.REACHED)


def test_the_mean_of_what_arrived_is_asked() -> None:
    def asked(*values: float, first: int = 0, points: bool = True, budget: int | None = None) -> tuple[Any, int | None]:
        archive = archive_of(Told(budget))
        some = numbers(*values).float()
        archive.ask(some, some if points else None)
        return archive, run._mean_of_arrived(archive, first, math.log(1.5) - 1e-9)

    archive, row = asked(0, 1, 3, 5)  # .8 and .9 arrived, as 1 and 3
    assert (row, len(archive.distances)) == (4, 5)
    assert float(archive.input(4).flatten()) == 2.0  # type: ignore[union-attr]
    assert float(archive.point(4).flatten()) == 2.0
    assert asked(0, 2, 4, 5)[1] == 4  # .6 is just enough
    assert asked(0, 1, 5)[1] is None  # one alone has no mean
    assert asked(0, 1, 3, first=2)[1] is None  # what an earlier search found does not count
    assert asked(0, 1, 3, first=1)[1] == 3
    assert asked(0, 1, 3, points=False)[1] is None
    assert asked(0, 1, 3, budget=3)[1] is None


def test_found_is_replaced_by_most_of_what_was_met() -> None:
    found = Found(mean_row=None, target_margin=9.0)
    assert replace(found, target_margin=run._within_reach(2.0, 9.0)).target_margin == 0.85 * 2.0
