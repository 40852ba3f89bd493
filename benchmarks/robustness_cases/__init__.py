"""What comes in wrong or odd, one small function a case; `benchmarks/robustness.py` counts them, the tests run them.

A case makes its input, calls likethat as a user would, and compares with a value that was worked out without it::

    @case("marks", "EXIF orientation 6 turns the mask", accepts=RIGHT)
    def _() -> None:
        marks = lt.Marks.read(...)
        expect(marks[0].mask.sum(), 12, "pixels of the mask")

It ends in one of three ways: it returns (the answer was right), it raises a `LikethatError` of one sentence (the input
was refused), or anything else (the answer was wrong). `accepts` says which of the first two is good enough.
"""

import contextlib
import importlib
import io
import pkgutil
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from _real import NoRealMaterial

from likethat.errors import LikethatError

__all__ = [
    "CASES",
    "EITHER",
    "REFUSED",
    "RIGHT",
    "Case",
    "Outcome",
    "Skip",
    "Wrong",
    "all_cases",
    "case",
    "expect",
    "run",
]

Outcome = Literal["right", "refused", "wrong", "skipped"]
RIGHT, REFUSED, EITHER = ("right",), ("refused",), ("right", "refused")
LONGEST_SENTENCE = 700  # characters; more than a screen's five lines is no sentence
SECONDS = 60.0  # a case that is not done by then counts as wrong, "in bounded time" being part of right
SLOW_SECONDS = 600.0  # of a slow one: hundreds of photos on a machine that does other things too


class Wrong(AssertionError):  # noqa: N818 - an outcome, as the others
    """The answer is not the right one."""


class Skip(Exception):  # noqa: N818 - says why a case was not tried, no error
    """What the case needs is not here; the message says what."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One thing that is tried.

    Attributes:
        kind: of thing, such as "marks" or "percentages": a row of the table.
        name: what comes in, and what is right.
        run: makes it, asks likethat, compares.
        accepts: outcomes that are good: RIGHT, REFUSED or EITHER.
        is_slow: takes more than a few seconds.
    """

    kind: str
    name: str
    run: Callable[[], Any]
    accepts: tuple[str, ...]
    is_slow: bool = False


CASES: list[Case] = []


def case(
    kind: str, name: str, *, accepts: tuple[str, ...], slow: bool = False
) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    """Register a function without arguments as a case."""

    def register(function: Callable[[], Any]) -> Callable[[], Any]:
        CASES.append(Case(kind=kind, name=name, run=function, accepts=accepts, is_slow=slow))
        return function

    return register


def all_cases() -> list[Case]:
    """Import every module of this folder, and return the cases they registered."""
    for found in pkgutil.iter_modules(__path__):  # all of them: somebody may have imported one before
        if not found.name.startswith("_"):
            importlib.import_module(f"{__name__}.{found.name}")
    assert len({(one.kind, one.name) for one in CASES}) == len(CASES), "two cases have one name"
    return list(CASES)


def expect(got: Any, expected: Any, what: str, *, tolerance: float = 0.0) -> None:
    """Raise `Wrong` unless both are equal (numbers and arrays: within `tolerance`, absolute)."""
    if isinstance(expected, float | np.ndarray) or tolerance:
        got_array, expected_array = np.asarray(got, dtype=float), np.asarray(expected, dtype=float)
        same = got_array.shape == expected_array.shape and np.allclose(
            got_array, expected_array, rtol=0, atol=tolerance, equal_nan=True
        )
    else:
        same = bool(got == expected)
    if not same:
        raise Wrong(f"{what}: expected {expected!r}, got {got!r}")


def run(tried: Case) -> tuple[Outcome, str]:
    """Run one case; return how it ended, and why where that is not good."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        _at_most(SLOW_SECONDS if tried.is_slow else SECONDS),
    ):
        warnings.simplefilter("ignore")
        try:
            tried.run()
        except (Skip, NoRealMaterial) as reason:
            return "skipped", str(reason)
        except LikethatError as error:
            flaw = _flaw_of(str(error))
            if flaw:
                return "wrong", f"{type(error).__name__} {flaw}: {error}"
            return ("refused", str(error)) if "refused" in tried.accepts else ("wrong", f"refused: {error}")
        except BaseException as error:  # bare, or the answer was wrong
            if isinstance(error, KeyboardInterrupt):
                raise
            return "wrong", f"{type(error).__name__}: {error}"
    return ("right", "") if "right" in tried.accepts else ("wrong", "it was taken without a word")


def _flaw_of(sentence: str) -> str:
    """Say what keeps a message from being one sentence a reader can use, or ""."""
    if not sentence.strip():
        return "says nothing"
    if "\n" in sentence.strip():
        return "has several lines"
    if len(sentence) > LONGEST_SENTENCE:
        return f"is {len(sentence)} characters long"
    return ""


@contextlib.contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Raise `TimeoutError` in the main thread after `seconds`."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def late(*_: Any) -> None:
        raise TimeoutError(f"not done after {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
