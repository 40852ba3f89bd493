import numpy as np
import pytest

from likethat.functional.two_sample import auc_with_error


def test_by_hand() -> None:
    # pairs (1,2) (1,3) (2,3) count 1, (2,2) counts .5: 3.5 / 4. With one more below and above, V01 = (1, 5, 6, 7) / 8
    # and V10 = (1, 2, 3, 7) / 8: squared deviations of 83/4 and 83/4 over 64, over 3, over 4.
    area, error = auc_with_error(np.array([1.0, 2.0]), np.array([2.0, 3.0]))
    assert area == 0.875
    assert error == pytest.approx((2 * 83 / 4 / 64 / 3 / 4) ** 0.5)


def test_slow_twin() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 9, 30).astype(float), rng.integers(2, 12, 40).astype(float)
    wins = np.array([[(y > x) + 0.5 * (y == x) for y in b] for x in a])
    area, error = auc_with_error(a, b)
    assert area == pytest.approx(wins.mean())
    a, b = (np.concatenate([[-np.inf], scores, [np.inf]]) for scores in (a, b))
    wins = np.array([[(y > x) + 0.5 * (y == x) for y in b] for x in a])
    variance = wins.mean(1).var(ddof=1) / 32 + wins.mean(0).var(ddof=1) / 42
    assert error == pytest.approx(variance**0.5)


def test_the_interval_holds_the_truth_nineteen_times_in_twenty() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(400):
        area, error = auc_with_error(rng.normal(size=60), rng.normal(size=60))
        held += abs(area - 0.5) < 1.96 * error
    assert 0.92 < held / 400 < 0.98


def test_it_holds_the_truth_where_few_samples_do_not_overlap() -> None:
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(400):  # one in twenty of the second lies below all others: none of thirty in a fifth of the draws
        below = rng.random(30) < 0.05
        area, error = auc_with_error(rng.normal(size=30), rng.normal(size=30) + np.where(below, -99.0, 99.0))
        held += abs(area - 0.95) < 1.96 * error
    assert held / 400 > 0.93
