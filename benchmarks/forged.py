"""Count how forged and damaged banks, records, generators and checkpoints are taken.

    python benchmarks/forged.py                     40 forgeries an original, each in a process of its own
    python benchmarks/forged.py --each 200          more of them
    python benchmarks/forged.py --kind record       one kind
    python benchmarks/forged.py --write             also to benchmarks/results/forged.md

Exit code 1 where one ends in anything but a sentence of likethat's or what the original says. `tests/test_forged.py`
tries some of the same ones. The forgeries are drawn from all of `_forged_files.py`, always the same ones.
"""

import argparse
import contextlib
import io
import os
import pickle
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import _torchvision  # noqa: F401 - before anything imports torchvision
from _forged_files import ORIGINALS, Forged, Original, copied, forgeries, seal
from _measure import markdown, write_results

from likethat.errors import LikethatError

SECONDS, MEGABYTES = 5.0, 1024
"""What a refusal may take at most; the bytes of a 3 GiB file, for one, are not read."""
KILLED_AFTER = 60.0  # seconds: what hangs is counted, and ended
LONGEST = 700  # characters of one sentence
COLUMNS = ("refused", "same", "other, sealed", "wrong")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one forgery ended.

    Attributes:
        kind: "refused" in one sentence; "same": it says what the original says; "other, sealed": it opens, says
            something else, and its checksums had been made to fit; else "wrong".
        why: the sentence, or what is wrong.
        seconds: it took.
        megabytes: that memory grew by at most.
    """

    kind: str
    why: str
    seconds: float = 0.0
    megabytes: float = 0.0


@cache
def expected(original: Original) -> str:
    """Return what an original says when nothing is changed."""
    with tempfile.TemporaryDirectory() as folder:
        return original.read(copied(original, Path(folder)))


def attempt(forged: Forged) -> Outcome:
    """Make one forgery, read it, and return how that ended."""
    before = expected(forged.original)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        path = copied(forged.original, Path(folder))
        forged.change(path)
        if forged.is_sealed and path.is_dir():
            seal(path)
        memory, started = _peak(), time.perf_counter()
        kind, why = _outcome(forged, path, before)
        seconds, grown = time.perf_counter() - started, _peak() - memory
    if kind == "refused" and (seconds > SECONDS or grown > MEGABYTES):
        kind, why = "wrong", f"took {seconds:.1f} s and {grown:,.0f} MB to say: {why}"
    return Outcome(kind=kind, why=why, seconds=seconds, megabytes=grown)


def _outcome(forged: Forged, path: Path, before: str) -> tuple[str, str]:
    try:
        says = forged.original.read(path)
    except LikethatError as error:
        sentence = str(error)
        is_one = sentence.strip() and "\n" not in sentence.strip() and len(sentence) <= LONGEST
        return ("refused", sentence) if is_one else ("wrong", f"no one sentence: {sentence[:900]!r}")
    except Exception as error:  # a bare one: what this counts
        return "wrong", f"{type(error).__name__}: {str(error)[:300]}"
    if says == before:
        return "same", ""
    return ("other, sealed", "") if forged.is_sealed else ("wrong", "opens, and says something else")


def _peak() -> float:
    """Return the most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 2**20)


def in_own_process(forged: Forged) -> Outcome:
    """Return how one forgery ends in a copy of this process, which is ended where it hangs."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            outcome = attempt(forged)
        except BaseException as error:
            outcome = Outcome(kind="wrong", why=f"{type(error).__name__}: {error}")
        os.write(writing, pickle.dumps(outcome)[:60_000])
        os._exit(0)
    os.close(writing)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
    signal.setitimer(signal.ITIMER_REAL, KILLED_AFTER)
    with os.fdopen(reading, "rb") as pipe:
        data = pipe.read()
    signal.setitimer(signal.ITIMER_REAL, 0)
    status = os.waitpid(child, 0)[1]
    return pickle.loads(data) if data else Outcome(kind="wrong", why=f"hung or crashed (status {status})")


def main() -> int:
    """Try the forgeries and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=40, help="forgeries an original")
    parser.add_argument("--kind", help="only this kind")
    parser.add_argument("--verbose", action="store_true", help="print each one, and how it ended")
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/forged.md")
    options = parser.parse_args()
    tried = [one for one in ORIGINALS if not options.kind or one.kind == options.kind]
    table, wrong = count(tried, each=options.each, verbose=options.verbose)
    print(markdown(table))
    print(*wrong, sep="\n")
    if options.write:
        page = Path(__file__).parent / "results" / "forged.md"
        command = f"python benchmarks/forged.py --each {options.each} --write"
        write_results(page, title="Forged and damaged files", command=command, sections=[("Files", table)])
    return 1 if wrong else 0


def count(tried: list[Original], *, each: int, verbose: bool) -> tuple[list[dict[str, object]], list[str]]:
    """Return a row an original and their sum, and a line about each that went wrong."""
    rows, wrong = [], []
    for original in tried:
        expected(original)
        ended = [(one, in_own_process(one)) for one in forgeries(original, at_most=each)]
        rows.append(_row(original.name, [outcome for _, outcome in ended]))
        lines = [f"- {outcome.kind}: {original.name}: {one.name}: {outcome.why}" for one, outcome in ended]
        wrong += [line for line, (_, outcome) in zip(lines, ended, strict=True) if outcome.kind == "wrong"]
        print(*(lines if verbose else ()), sep="\n", end="\n" if verbose else "", flush=True)
    return [*rows, _total(rows)], wrong


def _row(name: str, outcomes: list[Outcome]) -> dict[str, object]:
    counted = Counter(outcome.kind for outcome in outcomes)
    refused = [outcome for outcome in outcomes if outcome.kind == "refused"]
    return {
        "what": name,
        "tried": len(outcomes),
        **{column: counted[column] for column in COLUMNS},
        "longest s": round(max((outcome.seconds for outcome in refused), default=0.0), 2),
        "most MB": round(max((outcome.megabytes for outcome in refused), default=0.0)),
    }


def _total(rows: list[dict[str, object]]) -> dict[str, object]:
    total: dict[str, object] = {"what": "all"}
    for column in ("tried", *COLUMNS):
        total[column] = sum(int(str(row[column])) for row in rows)
    return total | {name: max(float(str(row[name])) for row in rows) for name in ("longest s", "most MB")}


if __name__ == "__main__":
    sys.exit(main())
