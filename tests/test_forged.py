"""Forged and damaged files of every kind: some of those that `benchmarks/forged.py` counts, in this process."""

import pytest
from _forged_files import ORIGINALS, Original, forgeries
from forged import attempt

SOME = 4
"""Of each original: seconds in all; the benchmark tries many more, each in a process of its own."""
SLOW = ("generator", "checkpoint")


@pytest.mark.parametrize(
    "original",
    [pytest.param(one, id=one.name, marks=[pytest.mark.slow] if one.kind in SLOW else []) for one in ORIGINALS],
)
def test_forged_and_damaged_files_are_one_sentence_or_say_what_they_said(original: Original) -> None:
    found = {f"{original.name}: {one.name}": attempt(one) for one in forgeries(original, at_most=SOME, seed=1)}
    assert {name: outcome.why for name, outcome in found.items() if outcome.kind == "wrong"} == {}
