"""Progress for people: bars in a terminal or a notebook, a line now and then in a log file."""

import importlib.util
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as RemainingColumn

from likethat._progress import Progress as Report
from likethat._progress import Watcher
from likethat.cli.console import duration, notes

__all__ = ["Estimate", "progress_bar", "with_estimate"]

_EVERY = 30.0  # seconds between two lines in a log


@contextmanager
def progress_bar(*, console: Console | None = None) -> Iterator[Watcher]:
    """Draw one bar a stage; yield the watcher to hand to ``fit(..., watch=...)``.

    Where the output is no terminal (a log file, a cluster), a line is written every half minute instead.

    Args:
        console: where to draw; standard error when None.

    Example:
        >>> from likethat._progress import Progress
        >>> with progress_bar() as watch:
        ...     watch(Progress(stage="reading images", done=32, total=64))
    """
    console = notes if console is None else console
    if not _can_draw(console):
        yield _Lines(console)
        return
    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(bar_width=32),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        RemainingColumn(compact=True),
    )
    with Progress(*columns, console=console) as bars:
        yield _Bars(bars)


def _can_draw(console: Console) -> bool:
    """Return whether bars can move there: in a terminal, or in a notebook that has widgets."""
    return importlib.util.find_spec("ipywidgets") is not None if console.is_jupyter else console.is_terminal


@dataclass(kw_only=True, eq=False)
class Estimate:
    """Tells once, after the first pieces of a stage, how long the rest of it will take.

    Attributes:
        stage: the stage to time.
        after: seconds to watch before saying anything.
    """

    stage: str = "reading images"
    after: float = 1.0
    _first: Report | None = field(default=None, init=False)
    _since: float = field(default=0.0, init=False)
    _is_said: bool = field(default=False, init=False)

    def seconds_left(self, report: Report, *, now: float | None = None) -> float | None:
        """Return the seconds that are left, once; None while it is too early, and after it was said.

        The first piece is left out of the timing: it warms the network up.
        """
        now = time.monotonic() if now is None else now
        if self._is_said or report.stage != self.stage or report.total is None:
            return None
        if self._first is None:
            self._first, self._since = report, now
            return None
        done = report.done - self._first.done
        if done <= 0 or now - self._since < self.after:
            return None
        self._is_said = True
        return (report.total - report.done) * (now - self._since) / done


def with_estimate(watch: Watcher, estimate: Estimate, sentence: Callable[[float, Report], str]) -> Watcher:
    """Return a watcher that also says, once, how long it will take.

    Args:
        watch: told of everything as well.
        estimate: of one stage.
        sentence: what to say of the seconds that this stage has left, and of how far it is.
    """

    def both(report: Report) -> None:
        left = estimate.seconds_left(report)
        if left is not None:
            notes.print(sentence(left, report), soft_wrap=True, markup=False)
        watch(report)

    return both


class _Bars:
    """A watcher with one bar a stage."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, report: Report) -> None:
        if report.stage not in self._tasks:
            self._tasks[report.stage] = self._bars.add_task(report.stage, total=report.total)
        self._bars.update(self._tasks[report.stage], completed=report.done, total=report.total)


class _Lines:
    """A watcher that writes a line when a stage begins and every half minute."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._stage = ""
        self._said = self._started = 0.0
        self._from = 0

    def __call__(self, report: Report) -> None:
        now = time.monotonic()
        if report.stage != self._stage:
            self._stage, self._started, self._from = report.stage, now, report.done
        elif now - self._said < _EVERY:
            return
        self._said = now
        self._console.print(self._line(report, now), soft_wrap=True, markup=False)

    def _line(self, report: Report, now: float) -> str:
        if report.total is None:
            return f"{report.stage}: {report.done:,}"
        line = f"{report.stage}: {report.done:,} of {report.total:,}"
        done = report.done - self._from
        if done <= 0 or report.done >= report.total:
            return line
        left = report.seconds_left
        if left is None:
            left = (report.total - report.done) * (now - self._started) / done
        return f"{line}, {duration(left)} left"
