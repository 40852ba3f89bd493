"""Pictures unlike all others: planted ones by pixels and by features, and pictures of one kind."""

from typing import Any

import pytest
import torch
from planted import features_of
from torch import Tensor

from likethat.auditing import unlike
from likethat.auditing.unlike import find_unlike
from likethat.features import Features
from likethat.functional.shares import share_interval


def given(n: int, *, noisy: Tensor | None = None, far: Tensor | None = None, seed: int = 0) -> Features:
    """Return rows of one kind, but for those of noise and those whose features lie elsewhere."""
    rng = torch.Generator().manual_seed(seed)
    rows = torch.randn(n, 6, generator=rng) * torch.tensor([3.0, 2, 1, 1, 0.5, 0.5])
    if far is not None:
        rows[far] = torch.tensor([0.0, 0, 0, 0, 0, 8.0])
    features = features_of(rows, torch.arange(n) % 3)
    rough = torch.nn.functional.interpolate(torch.rand(n, 1, 4, 4, generator=rng), size=(16, 16), mode="bilinear")
    if noisy is not None:
        rough[noisy] = torch.rand(len(noisy), 1, 16, 16, generator=rng)
    features.sketches = (255 * rough.flatten(1)).to(torch.uint8)
    features.facts = torch.zeros(n, 9)
    features.facts[:, 7] = 0.03 * torch.exp(0.3 * torch.randn(n, generator=rng))
    features.facts[:, 8] = 0.2 + 0.05 * torch.randn(n, generator=rng)
    return features


def test_planted_pictures_are_found_among_their_own() -> None:
    noisy, far = torch.arange(10), torch.arange(200, 206)
    found: Any = find_unlike(given(600, noisy=noisy, far=far), None, n_pictures=30, seed=0)
    assert found.is_clear
    shown = {one.index - 100 for one in found.pictures if one.is_on}
    assert set(range(10)) | set(range(200, 206)) <= shown
    assert len(shown) <= 18
    assert found.facts["by_pixels"] == pytest.approx(10, abs=1)
    assert found.facts["by_features"] == pytest.approx(6, abs=1)
    assert found.interval == share_interval(found.n_pictures, 600)
    assert (found.n_pictures, found.n_predictions, found.score) == (len(shown), len(shown), len(shown) / 600)
    assert found.null < 0.005
    usual = [one for one in found.pictures if not one.is_on]
    assert len(usual) == len(shown)
    assert not shown & {one.index - 100 for one in usual}
    assert all(one.image.startswith("image-") for one in found.pictures)


def test_test_pictures_are_compared_with_those_learned_from() -> None:
    tested = given(300, noisy=torch.arange(40), seed=1)
    found: Any = find_unlike(given(600), tested, n_pictures=50, seed=0)
    assert found.is_clear
    shown = {one.index - 100 for one in found.pictures if one.is_on}
    assert set(range(40)) <= shown
    assert len(shown) <= 42
    assert found.agreement > 0.9
    assert all(one.image.startswith("test-") for one in found.pictures)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_pictures_of_one_kind_are_not_unlike(seed: int) -> None:
    for tested in (None, given(400, seed=seed + 10)):
        found = find_unlike(given(600, seed=seed), tested, n_pictures=1, seed=seed)
        assert found is None or not found.is_clear


def test_few_pictures_and_pictures_that_are_all_the_same() -> None:
    assert find_unlike(given(99), None, n_pictures=1, seed=0) is None
    flat = given(200)
    flat.pooled = torch.ones(200, 6)
    flat.sketches = torch.full((200, 256), 128, dtype=torch.uint8)
    flat.facts = torch.zeros(200, 9)
    assert find_unlike(flat, None, n_pictures=1, seed=0) is None


def test_a_draw_of_many_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unlike, "_MOST", 200)
    found: Any = find_unlike(given(600), given(300, noisy=torch.arange(40), seed=1), n_pictures=50, seed=0)
    assert set(range(40)) <= {one.index - 100 for one in found.pictures if one.is_on}
