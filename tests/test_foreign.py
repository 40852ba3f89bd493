"""What stands where likethat shall write, and is not its own, stays as it was: some of `benchmarks/foreign.py`."""

import os
from pathlib import Path

import pytest
from _foreign_places import PLACES, Built, Place, changed, snapshot
from foreign import WRITERS, attempt

SOME = ("counterfactual.save", "counterfactual.save .html", "counterfactual.save .csv")
"""A folder, a page, a table, which has no seal: seconds in all; the benchmark has every writer."""
SLOW = (
    "generator.save, one file",
    "checkpoint of a fit",
    "checkpoint of a training",
    "likethat demo",
    "likethat train-generator",
)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the places have pipes, devices and links")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [*SOME, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)], ids=str)
def test_nothing_of_the_users_is_touched(name: str) -> None:
    (writer,) = (one for one in WRITERS if one.name == name)
    ended = {(place.name, flag): attempt(writer, place, overwrite=flag) for place in PLACES for flag in (False, True)}
    assert {place: touched for place, (_, touched) in ended.items() if touched} == {}
    assert {place: how for place, (how, _) in ended.items() if how not in ("written", "refused")} == {}
    assert {how for how, _ in ended.values()} == {"written", "refused"}  # places of both kinds are among them


def test_a_touched_file_is_noticed(tmp_path: Path) -> None:
    place: Place = next(one for one in PLACES if one.name == "a folder with a deep tree")
    built = place.build(tmp_path, "")
    before = snapshot(tmp_path)
    assert changed(before, snapshot(tmp_path), built) == []
    (built.target / "a" / "b" / "e").write_bytes(b"years of work")  # the same content, at another time
    os.utime(built.target / "a" / "b" / "e", ns=(0, 0))
    assert changed(before, snapshot(tmp_path), built) == ["e changed"]
    (built.target / "a" / "b" / "c" / "d" / "thesis").unlink()
    assert set(changed(before, snapshot(tmp_path), built)) == {"e changed", "thesis is gone"}
    assert changed(before, snapshot(tmp_path), Built(target=built.target, ours=frozenset(before))) == []
