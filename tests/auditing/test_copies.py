"""Test pictures that are copies of training pictures, planted, and pictures of which none is."""

from typing import Any

import pytest
import torch
from planted import features_of
from torch import Tensor

from likethat.auditing import copies
from likethat.auditing.copies import find_copies
from likethat.auditing.pixels import sketches_of
from likethat.features import Features
from likethat.functional.shares import share_interval


def drawn(n: int, *, seed: int) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    rough = torch.rand(n, 1, 8, 8, generator=rng)
    return torch.nn.functional.interpolate(rough, size=(16, 16), mode="bilinear")[:, 0]


def given(pictures: Tensor) -> Features:
    """Return features that see each picture's four quarters."""
    pooled = torch.nn.functional.adaptive_avg_pool2d(pictures[:, None], 2).flatten(1)
    labels = torch.arange(len(pictures)) % 3
    features = features_of(pooled, labels, (labels + (torch.arange(len(pictures)) % 4 == 0)) % 3)
    features.sketches = (255 * pictures).round().to(torch.uint8).flatten(1)
    return features


def changed(pictures: Tensor) -> Tensor:
    """Return copies in four ways: lighter, mirrored, moved by half a cell, with noise."""
    rng = torch.Generator().manual_seed(9)
    made = pictures.clone()
    made[0::4] = 0.2 + 0.7 * made[0::4]
    made[1::4] = made[1::4].flip(2)
    made[2::4] = (made[2::4] + made[2::4].roll(1, 2)) / 2
    return (made + 0.005 * torch.randn(made.shape, generator=rng)).clamp(0, 1)


@pytest.fixture(scope="module")
def ours() -> Tensor:
    return drawn(240, seed=0)


def test_planted_copies_are_found_each_with_its_original(ours: Tensor) -> None:
    tests = torch.cat([drawn(80, seed=1), changed(ours[:24])])
    found: Any = find_copies(given(ours), given(tests), n_pictures=30)
    assert found.is_clear
    assert (found.n_pictures, found.n_predictions) == (24, 24)
    assert found.score == 24 / 104
    assert found.interval == share_interval(24, 104)
    pairs = list(zip(found.pictures[::2], found.pictures[1::2], strict=True))
    assert {(one.index - 180, other.index - 100) for one, other in pairs} == {(at, at) for at in range(24)}
    assert all(one.is_on and not other.is_on for one, other in pairs)
    assert {one.image[:5] for one, _ in pairs} == {"test-"}
    assert {other.image[:6] for _, other in pairs} == {"image-"}
    assert 0.4 < found.agreement < 0.8  # mirrored pictures have other quarters
    assert found.facts["limit"] < found.facts["likeness"] <= 1
    assert found.facts["accuracy"] == pytest.approx(78 / 104)  # each fourth is wrong
    assert found.facts["accuracy_without"] == pytest.approx(60 / 80)
    assert len(find_copies(given(ours), given(tests), n_pictures=2).pictures) == 4  # type: ignore[union-attr]


def test_pictures_that_are_no_copies_give_no_finding(ours: Tensor) -> None:
    assert find_copies(given(ours), given(drawn(200, seed=1)), n_pictures=3) is None


def test_what_pictures_reach_upside_down_is_no_copy(ours: Tensor) -> None:
    """Where each has a twin upside down, being alike says nothing."""
    tests = torch.cat([changed(ours[:8]), ours[8:16].flip(1)])
    assert find_copies(given(ours), given(tests), n_pictures=3) is None


def test_one_copy_may_be_chance(ours: Tensor) -> None:
    found: Any = find_copies(given(ours), given(torch.cat([drawn(200, seed=1), ours[:1]])), n_pictures=3)
    assert found.n_pictures == 1
    assert not found.is_clear


def test_blocks_make_no_difference(ours: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    tests = sketches_of(given(changed(ours[:9])))
    whole = copies._best(tests, sketches_of(given(ours)))
    monkeypatch.setattr(copies, "_BLOCK", 4)
    parts = copies._best(tests, sketches_of(given(ours)))
    assert all(torch.equal(one, other) for one, other in zip(whole, parts, strict=True))


def test_where_pictures_are_much_alike_only_more_copies_than_usual_are_clear() -> None:
    """Of pictures that are each alike, test pictures have as many twins as training pictures among themselves."""
    rng = torch.Generator().manual_seed(3)
    base = drawn(4, seed=2)
    near = lambda n: (base.repeat(n // 4, 1, 1) + 0.02 * torch.randn(n, 16, 16, generator=rng)).clamp(0, 1)  # noqa: E731
    ours, others = near(120), near(80)
    usual: Any = find_copies(given(ours), given(others), n_pictures=1)
    assert usual is None or (usual.null == 0.05 and not usual.is_clear)
    planted: Any = find_copies(given(ours), given(torch.cat([others, ours[:40]])), n_pictures=1)
    assert planted.is_clear
    assert 35 <= planted.n_pictures <= 48
