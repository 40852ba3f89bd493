"""Exact limits of shares, where they have a closed form."""

import pytest

from likethat.functional.shares import share_interval


def test_exact_limits_of_a_share() -> None:
    # of none of n: 1 - .025^(1/n); of all of n: .025^(1/n)
    assert share_interval(0, 20) == pytest.approx((0, 1 - 0.025 ** (1 / 20)))
    assert share_interval(20, 20) == pytest.approx((0.025 ** (1 / 20), 1))
    low, high = share_interval(3, 20)
    assert low < 3 / 20 < high
