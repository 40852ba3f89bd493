"""How far a rotation leaves the network's own channels, with fits and judgements that are told."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from toys import features_of

from likethat.coordinates import Rotation
from likethat.features import Features
from likethat.fitting import shrinkage as module
from likethat.fitting.held_out import Estimate, Judged
from likethat.fitting.shrinkage import OWN, SHRINKAGES, Choice, choose_shrinkage

HEAD = torch.ones(1, 2)


def turned(angle: float) -> Tensor:
    """A rotation that can be told from others."""
    value = torch.tensor(angle)
    return torch.stack([torch.stack([value.cos(), value.sin()]), torch.stack([-value.sin(), value.cos()])])


Worth = Callable[[float, bool], tuple[float, float]]
"""Purity and coverage of a shrinkage, on the first half of the images or the second."""


def choose(worth: Worth, monkeypatch: pytest.MonkeyPatch, *, coverage_weight: float = 0.0) -> Choice:
    """Choose where `worth` says what each fit is worth; a fit must never be judged on its own images."""
    features = features_of(torch.ones(10, 2, 1))
    slots = torch.tensor([0, 2, 3, 5, 6, 8, 9])
    first, second = [0, 3, 6, 9], [2, 5, 8]
    fitted: dict[float, tuple[float, list[int]]] = {}

    def solve(half: Tensor, shrinkage: float) -> Tensor:
        angle = 0.1 * (len(fitted) + 1)
        fitted[angle] = (shrinkage, half.tolist())
        return turned(angle)

    def judge(_: Features, half: Tensor, coordinates: Rotation) -> Judged:
        angle = float(torch.acos(coordinates.matrix()[0, 0].clamp(-1, 1)))
        shrinkage = OWN
        if angle > 0.01:
            shrinkage, own = next(value for key, value in fitted.items() if abs(key - angle) < 1e-3)
            assert sorted([own, half.tolist()]) == [first, second]
        assert half.tolist() in (first, second)
        purity, coverage = worth(shrinkage, half.tolist() == first)
        known, nothing = (Estimate(mean=value, error=0.0) for value in (purity, float("nan")))
        return Judged(n_images=4, purity=known, coverage=Estimate(mean=coverage, error=0.0), entropy=nothing)

    monkeypatch.setattr(module, "judge", judge)
    weigh = {"coverage_weight": coverage_weight} if coverage_weight else {}
    return choose_shrinkage(features, slots, HEAD, solve, **weigh)


def test_what_is_tried_goes_from_the_networks_own_channels_to_the_patches_alone() -> None:
    assert list(SHRINKAGES) == sorted(SHRINKAGES, reverse=True)
    assert SHRINKAGES[-1] == 0
    assert SHRINKAGES[0] <= 0.4  # with photos the best was 0 to .4


def test_the_score_is_the_mean_over_both_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    def worth(shrinkage: float, is_first: bool) -> tuple[float, float]:
        return (0.1 if is_first else 0.3) if shrinkage == OWN else (0.0 if is_first else 0.9), 0.5

    found = choose(worth, monkeypatch)
    assert found.scores[OWN] == pytest.approx(0.2)
    assert found.scores[SHRINKAGES[0]] == pytest.approx(0.45)
    assert found.shrinkage == SHRINKAGES[0]
    assert choose(worth, monkeypatch, coverage_weight=2.0).scores[OWN] == pytest.approx(0.2 + 2 * 0.5)


def test_it_goes_on_while_that_is_better_and_stops_at_the_first_that_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def rising(*purities: float) -> Choice:
        told = dict(zip((OWN, *SHRINKAGES), purities, strict=True))
        return choose(lambda shrinkage, _: (told[shrinkage], 0.5), monkeypatch)

    assert rising(0.1, 0.2, 0.3, 0.4).shrinkage == SHRINKAGES[2]
    stopped = rising(0.1, 0.2, 0.15, 0.9)
    assert stopped.shrinkage == SHRINKAGES[0]
    assert list(stopped.scores) == [OWN, *SHRINKAGES[:2]]
    assert rising(0.2, 0.2, 0.3, 0.4).shrinkage == OWN  # no worse is not better


def test_coverage_below_that_of_the_networks_own_channels_stops_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def worth(shrinkage: float, is_first: bool) -> tuple[float, float]:
        covered = {OWN: (0.3, 0.5), SHRINKAGES[0]: (0.5, 0.3), SHRINKAGES[1]: (0.3, 0.4)}.get(shrinkage, (0.9, 0.9))
        return 1 - min(shrinkage, 1.0), covered[0] if is_first else covered[1]

    assert choose(worth, monkeypatch).shrinkage == SHRINKAGES[0]  # as much as before is enough
    # With its own weight coverage counts as purity does: 1 * .4 + 0 against 1 * .4 + .7.
    assert choose(worth, monkeypatch, coverage_weight=1.0).scores[SHRINKAGES[0]] == pytest.approx(0.7 + 0.4)


def test_what_is_tried() -> None:
    assert SHRINKAGES == (0.3, 0.1, 0.0)
