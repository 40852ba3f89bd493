import numpy as np
import pytest

from likethat.functional.two_sample import auc_with_error


def test_by_hand() -> None:
    # pairs (1,2) (1,3) (2,3) count 1, (2,2) counts .5: 3.5 / 4. V01 = (.75, 1), V10 = (1, .75): each of variance 1/32,
    # over 2: 1/64 + 1/64.
    area, error = auc_with_error(np.array([1.0, 2.0]), np.array([2.0, 3.0]))
    assert area == 0.875
    assert error == pytest.approx((1 / 32) ** 0.5)


def test_slow_twin() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 9, 30).astype(float), rng.integers(2, 12, 40).astype(float)
    wins = np.array([[(y > x) + 0.5 * (y == x) for y in b] for x in a])
    area, error = auc_with_error(a, b)
    assert area == pytest.approx(wins.mean())
    variance = wins.mean(1).var(ddof=1) / 30 + wins.mean(0).var(ddof=1) / 40
    assert error == pytest.approx(variance**0.5)


def test_the_interval_holds_the_truth_nineteen_times_in_twenty() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(400):
        area, error = auc_with_error(rng.normal(size=60), rng.normal(size=60))
        held += abs(area - 0.5) < 1.96 * error
    assert 0.92 < held / 400 < 0.98
