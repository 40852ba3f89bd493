"""Every case that `benchmarks/robustness.py` counts is right, or refused with one sentence."""

import pytest
from robustness_cases import Case, all_cases, run

pytestmark = pytest.mark.slow  # some are quick, but there are thousands of them


@pytest.mark.parametrize("tried", [pytest.param(one, id=f"{one.kind}: {one.name}") for one in all_cases()])
def test_is_right_or_refused(tried: Case) -> None:
    outcome, why = run(tried)
    if outcome == "skipped":
        pytest.skip(why)
    assert outcome in tried.accepts, why
