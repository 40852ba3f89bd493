"""Slices of low accuracy: planted in the light and in a unit, and errors that are chance or lack of evidence."""

from typing import Any

import pytest
import torch
from planted import features_of
from torch import Tensor

from likethat.auditing.slices import find_slice
from likethat.features import Features
from likethat.models import Head

pytestmark = pytest.mark.slow  # independent components take seconds
HEAD = Head(weight=torch.cat([3 * torch.eye(3), torch.zeros(3, 3)], dim=1), bias=torch.zeros(3))


def given(wrong: Tensor | None, *, light: Tensor, state: Tensor, seed: int = 0) -> Features:
    """Return rows whose head reads three of six numbers, the fourth a state; wrong where it is said."""
    rng = torch.Generator().manual_seed(seed)
    n = len(light)
    labels = torch.arange(n) % 3
    rows = torch.randn(n, 6, generator=rng)
    rows[torch.arange(n), labels] += 2
    rows[:, 3] = 0.3 * rows[:, 3] + 2.0 * state
    predicted = (rows @ HEAD.weight.T).argmax(1) if wrong is None else (labels + wrong) % 3
    features = features_of(rows, labels, predicted)
    pixels = light[:, None] + 0.1 * torch.rand(n, 256, generator=rng)
    features.sketches = (255 * pixels.clamp(0, 1)).to(torch.uint8)
    facts = torch.rand(n, 9, generator=rng)
    features.facts = facts
    return features


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def drawn(chance: Tensor, rng: torch.Generator) -> Tensor:
    return (torch.rand(len(chance), generator=rng) < chance).long()


def test_dark_pictures_that_are_wrong_are_found_and_said(rng: torch.Generator) -> None:
    light = 0.3 + 0.5 * torch.rand(600, generator=rng)
    is_dark = torch.rand(600, generator=rng) < 0.1
    light[is_dark] = 0.1
    wrong = drawn(0.15 + 0.5 * is_dark, rng)
    state = drawn(torch.full((600,), 0.1), rng)
    features = given(wrong, light=light, state=state)
    found: Any = find_slice(features, HEAD, n_pictures=5, seed=0)
    assert found.is_clear
    assert (found.kind, found.what, found.facts["share"]) == ("slice", "least light", 0.1)
    assert found.n_pictures == 60
    assert found.interval[0] < found.score < found.interval[1]
    assert 0.25 < found.score < 0.6
    assert abs(found.null) < 0.1
    assert found.agreement > 0.8
    assert found.facts["accuracy"] < found.facts["accuracy_expected"] - 0.3
    assert found.n_predictions == pytest.approx(
        60 * (found.facts["accuracy_expected"] - found.facts["accuracy"]), abs=0.51
    )
    inner = [one for one in found.pictures if one.is_on]
    others = [one for one in found.pictures if not one.is_on]
    assert all(bool(is_dark[one.index - 100]) and one.label != one.predicted for one in inner)
    assert [one.label for one in others] == [one.label for one in inner]
    assert not any(bool(is_dark[one.index - 100]) or one.label != one.predicted for one in others)


def test_a_unit_that_the_head_does_not_read_is_found(rng: torch.Generator) -> None:
    state = drawn(torch.full((900,), 0.1), rng)
    wrong = drawn(0.15 + 0.5 * state, rng)
    light = 0.3 + 0.5 * torch.rand(900, generator=rng)
    found: Any = find_slice(given(wrong, light=light, state=state), HEAD, n_pictures=6, seed=0, of="test")
    assert found.is_clear
    assert "of unit" in found.what
    inner = [one for one in found.pictures if one.is_on]
    assert sum(int(state[one.index - 100]) for one in inner) >= 5
    assert all(one.image.startswith("test-") for one in inner)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_errors_of_chance_and_of_little_evidence_are_no_slice(seed: int, rng: torch.Generator) -> None:
    light = 0.3 + 0.5 * torch.rand(600, generator=rng)
    state = drawn(torch.full((600,), 0.1), rng)
    by_chance = drawn(torch.full((600,), 0.2), rng)
    for wrong in (by_chance, None):  # the head is wrong where there is little evidence, whatever else the picture is
        features = given(wrong, light=light, state=state, seed=seed)
        assert 0.05 < float((features.predicted != features.labels).double().mean()) < 0.4
        found: Any = find_slice(features, HEAD, n_pictures=1, seed=seed)
        assert not found.is_clear


def test_too_few_wrong_pictures_and_none_without_labels() -> None:
    light, state = torch.rand(100), torch.zeros(100, dtype=torch.long)
    wrong = torch.zeros(100, dtype=torch.long)
    wrong[:19] = 1
    assert find_slice(given(wrong, light=light, state=state), HEAD, n_pictures=1, seed=0) is None
    one_class = (torch.arange(100) % 3 == 0).long()  # is all wrong, the two others all right
    features = given(one_class, light=light, state=state)
    assert find_slice(features, HEAD, n_pictures=1, seed=0) is None
    features.labels = torch.full((100,), -1)
    assert find_slice(features, HEAD, n_pictures=1, seed=0) is None
