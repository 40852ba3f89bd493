"""Real processes, killed outright, also while they write the bank: ``--resume`` comes to the same one."""

import filecmp
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

COMMAND = (sys.executable, "-c", "from likethat.cli.main import run; run()", "fit", "epic")
FIT = (*COMMAND, "--model", "zoo:digits", "--images", "zoo:digits")


def fit(out: Path, *words: str) -> None:
    done = subprocess.run([*FIT, "--out", str(out), *words], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr


def killed_when(out: Path, comes: Callable[[Path], bool], *, after: float) -> None:
    """Begin a fit and kill it some seconds after something is seen on the disk."""
    with subprocess.Popen([*FIT, "--out", str(out)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        while not comes(out) and process.poll() is None:
            time.sleep(0.002)
        time.sleep(after)
        process.kill()


def is_begun(out: Path) -> bool:
    return (out.with_name("bank.checkpoint") / "checkpoint.json").exists()


def is_being_written(out: Path) -> bool:
    return any(out.parent.glob(".bank.*/images"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "bank"
    fit(out)
    return out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("comes", "after"),
    [(is_begun, 0.0), (is_begun, 0.5), (is_being_written, 0.0), (is_being_written, 0.1)],
    ids=["as the pass begins", "on the way", "as the writing begins", "while it is written"],
)
def test_a_killed_fit_goes_on_to_the_same_bank(
    comes: Callable[[Path], bool], after: float, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "bank"
    killed_when(out, comes, after=after)
    assert after or not out.exists()
    if not out.exists():
        fit(out, "--resume")
    names = [path.relative_to(whole) for path in whole.rglob("*") if path.is_file()]
    timed = {"manifest.json"}  # when it was made, and in how many seconds
    _, other, missing = filecmp.cmpfiles(whole, out, [str(name) for name in names], shallow=False)
    assert set(other) <= timed
    assert not missing
    assert [path.name for path in tmp_path.iterdir()] == ["bank"]  # nothing is left beside it
