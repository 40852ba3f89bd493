"""Every case that `benchmarks/robustness.py` counts is right, or refused with one sentence."""

import pytest
from robustness_cases import Case, all_cases, run


def _parameters() -> list[object]:
    slow = (pytest.mark.slow,)
    return [pytest.param(one, id=f"{one.kind}: {one.name}", marks=slow if one.is_slow else ()) for one in all_cases()]


@pytest.mark.parametrize("tried", _parameters())
def test_is_right_or_refused(tried: Case) -> None:
    outcome, why = run(tried)
    if outcome == "skipped":
        pytest.skip(why)
    assert outcome in tried.accepts, why
