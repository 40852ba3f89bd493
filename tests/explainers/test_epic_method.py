"""EPIC's options, as its solver meets them."""

from typing import Any

import pytest
import torch
from torch import Tensor
from toys import features_of

import likethat as lt
from likethat.explainers.epic import method
from likethat.features import Features


def test_options_reach_the_solver(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def solve(_: Features, schedule: Any, **more: Any) -> Tensor:
        asked.append({"schedule": schedule, **more})
        return torch.eye(2)

    monkeypatch.setattr(method, "fit_procrustes", solve)
    features, slots, head = features_of(torch.ones(400, 2, 1)), torch.arange(400), torch.ones(1, 2)
    for options in (
        {},
        {"mixing": "whitened", "condition": 3.0, "usage_weight": 0.0},
        {"usage_weight": 0.5, "condition": 3.0},
    ):
        chosen = lt.EPIC(**options)._fit()  # type: ignore[arg-type]
        chosen.solve(features, slots, head, shrinkage=0.1)
        chosen.solve(features, slots[:30], head, shrinkage=0.2, rounds=3)
        assert chosen.can_shrink == chosen.is_orthogonal == (options.get("mixing") != "whitened")
        assert chosen.coverage_weight == options.get("usage_weight", 0.06)
    assert [one["condition"] for one in asked] == [1.0, 1.0, 3.0, 3.0, 1.0, 1.0]
    assert [one["head_weight"] is None for one in asked] == [False] * 2 + [True] * 2 + [False] * 2
    assert [one["shrinkage"] for one in asked] == [0.1, 0.2] * 3
    long, short = asked[0]["schedule"], asked[1]["schedule"]
    assert (long.first, long.last) == (100, 14)  # docs/methods.md
    assert (short.first, short.last, short.rounds) == (10, 10, 3)
    assert long.rounds > 3


@pytest.mark.parametrize(("n", "last"), [(40, 13), (60, 14), (1400, 14), (2000, 20), (3000, 30), (9000, 30)])
def test_the_last_round_looks_at_a_hundredth_of_many_images(monkeypatch: pytest.MonkeyPatch, n: int, last: int) -> None:
    asked = []
    monkeypatch.setattr(method, "fit_procrustes", lambda _, schedule, **__: asked.append(schedule) or torch.eye(2))
    features = features_of(torch.ones(n, 2, 1))
    lt.EPIC()._fit().solve(features, torch.arange(n), torch.ones(1, 2), shrinkage=0.0)
    assert asked[0].counts()[-1] == last  # docs/methods.md
