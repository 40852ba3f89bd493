"""Progress for people: bars in a terminal or a notebook, a line now and then in a log file."""

import importlib.util
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from likethat._progress import Progress as Report
from likethat._progress import Watcher
from likethat.cli.console import duration, notes

_EVERY = 30.0  # seconds between two lines in a log


@contextmanager
def progress_bar(estimate: "Estimate | None" = None, *, console: Console | None = None) -> Iterator[Watcher]:
    """Draw one bar a stage; yield the watcher to hand to ``fit(..., watch=...)``.

    Where the output is no terminal (a log file, a cluster), a line is written every half minute instead.

    Args:
        estimate: what is said, once, of how long it will take.
        console: where to draw; standard error when None.

    Example:
        >>> from likethat._progress import Progress
        >>> with progress_bar() as watch:
        ...     watch(Progress(stage="reading images", done=32, total=64))
    """
    console = notes if console is None else console
    if not _can_draw(console):
        yield _with_estimate(_Lines(console), estimate)
        return
    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(bar_width=32),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=console) as bars:
        yield _with_estimate(_Bars(bars), estimate)


def _can_draw(console: Console) -> bool:
    """Return whether bars can move there: in a terminal, or in a notebook that has widgets."""
    return importlib.util.find_spec("ipywidgets") is not None if console.is_jupyter else console.is_terminal


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What is said, once, of how long a stage will take.

    Attributes:
        stage: of the work.
        after: seconds of it before anything is said.
        sentence: of the seconds that it has left, and of how far it is.
    """

    stage: str
    after: float = 2.0
    sentence: Callable[[float, Report], str]


def _with_estimate(watch: Watcher, estimate: Estimate | None) -> Watcher:
    """Return a watcher that is told of everything, and that also says, once, how long it will take."""
    if estimate is None:
        return watch
    said = False

    def both(report: Report) -> None:
        nonlocal said
        is_due = report.stage == estimate.stage and report.seconds >= estimate.after
        if is_due and not said and report.seconds_left is not None:
            said = True
            notes.print(estimate.sentence(report.seconds_left, report), soft_wrap=True, markup=False)
        watch(report)

    return both


class _Bars:
    """A watcher with one bar a stage."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, report: Report) -> None:
        if report.stage not in self._tasks:
            self._tasks[report.stage] = self._bars.add_task(report.stage, total=report.total, left="")
        left = "" if report.seconds_left is None else duration(report.seconds_left)
        self._bars.update(self._tasks[report.stage], completed=report.done, total=report.total, left=left)


class _Lines:
    """A watcher that writes a line when a stage begins and every half minute."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._stage = ""
        self._said = 0.0

    def __call__(self, report: Report) -> None:
        now = time.monotonic()
        if report.stage != self._stage:
            self._stage = report.stage
        elif now - self._said < _EVERY:
            return
        self._said = now
        self._console.print(_line(report), soft_wrap=True, markup=False)


def _line(report: Report) -> str:
    if report.total is None:
        return f"{report.stage}: {report.done:,}"
    line = f"{report.stage}: {report.done:,} of {report.total:,}"
    return line if not report.seconds_left else f"{line}, {duration(report.seconds_left)} left"
