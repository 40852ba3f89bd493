"""How long work has taken, how far it is, and how long the rest of it will take; the library itself prints nothing."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far one stage of a long piece of work has come.

    Attributes:
        stage: what is being done, e.g. ``"reading images"``.
        done: units finished.
        total: units in all; None where that is not known (a stream).
        seconds_left: an estimate of what is left of this stage, from its first report on; None where the total is not
            known, or nothing of it has taken time yet.
        seconds: since the stage began.
    """

    stage: str
    done: int
    total: int | None = None
    seconds_left: float | None = None
    seconds: float = 0.0


Watcher = Callable[[Progress], None]
"""Called with each `Progress`; raising from it stops the work as Ctrl-C does."""


class Clock:
    """Tells how long a piece of work has taken."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since it was begun."""
        return time.monotonic() - self._began


class Stage:
    """One stage of long work: tells whoever watches how far it is, and how long the rest will take at this pace.

    The first piece warms networks up and opens files, so from the second report on it is left out of the pace.

    Args:
        name: what is being done.
        watch: told of it; None where nobody watches.
        total: units in all; None where that is not known.
        done: units that an earlier session did.

    Example:
        >>> told = []
        >>> stage = Stage("reading images", told.append, total=3)
        >>> stage(1), stage(3)
        (None, None)
        >>> [one.done for one in told], told[-1].seconds_left
        ([1, 3], 0.0)
    """

    def __init__(self, name: str, watch: Watcher | None, *, total: int | None = None, done: int = 0) -> None:
        self._name, self._watch, self._total, self._done = name, watch, total, done
        self._clock = Clock()
        self._from = (0.0, done)  # since when, and after how many units, the pace is taken
        self._is_first = True

    def __call__(self, done: int, *, timed: int | None = None, to_do: int | None = None) -> None:
        """Say how much is finished.

        Args:
            done: units finished.
            timed: of what takes the time, as much as was done: the units themselves when None.
            to_do: of that, what is left at most.
        """
        self._done = done
        if self._watch is None:
            return
        seconds, timed = self._clock.seconds, done if timed is None else timed
        to_do = self._total - done if to_do is None and self._total is not None else to_do
        since, before = self._from
        left = None if to_do is None or timed <= before else (seconds - since) / (timed - before) * max(0, to_do)
        if self._is_first and timed > before:
            self._from, self._is_first = (seconds, timed), False
        self._watch(Progress(stage=self._name, done=done, total=self._total, seconds_left=left, seconds=seconds))

    def add(self, n: int) -> None:
        """Say that `n` more units are finished, never more than there are."""
        self(self._done + n if self._total is None else min(self._total, self._done + n))
