"""Bars in a terminal, lines in a log, and the estimate."""

import io

import pytest
from rich.console import Console

from likethat._progress import Progress
from likethat.cli import progress
from likethat.cli.progress import Estimate, progress_bar


def report(done: int, total: int | None = 100, stage: str = "reading images", **said: float) -> Progress:
    return Progress(stage=stage, done=done, total=total, **said)


def test_a_bar_for_each_stage_in_a_terminal() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with progress_bar(console=console) as watch:
        for done in (50, 100):
            watch(report(done))
        watch(report(3, 8, "turning the channels"))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "reading images" in text
    assert "100/100" in text
    assert "3/8" in text


def test_lines_in_a_log_file(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO(), width=40)
    clock = iter([0.0, 10.0, 31.0, 32.0, 40.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress_bar(console=console) as watch:
        watch(report(1000, 10_000))
        watch(report(2000, 10_000, seconds_left=80.0))  # too soon for another line
        watch(report(4100, 10_000, seconds_left=59.0))
        watch(report(7, None, "reading the prototypes again"))
        watch(report(8, None, "reading the prototypes again"))
    assert console.file.getvalue().splitlines() == [  # type: ignore[attr-defined]
        "reading images: 1,000 of 10,000",
        "reading images: 4,100 of 10,000, 59 s left",
        "reading the prototypes again: 7",
    ]


def test_how_long_it_takes_is_said_once_of_one_stage_and_all_is_passed_on(capsys: pytest.CaptureFixture[str]) -> None:
    estimate = Estimate(stage="climbing", after=2.0, sentence=lambda left, at: f"{at.done} done, {left:g} s left")
    console = Console(file=io.StringIO(), width=80)
    with progress_bar(estimate, console=console) as watch:
        watch(report(1, seconds=9.0, seconds_left=70.0))  # another stage
        watch(report(10, stage="climbing", seconds=3.0))  # nothing is known yet
        watch(report(11, stage="climbing", seconds=1.9, seconds_left=80.0))  # too early
        watch(report(12, stage="climbing", seconds=2.0, seconds_left=75.0))
        watch(report(13, stage="climbing", seconds=2.5, seconds_left=70.0))
    assert capsys.readouterr().err == "12 done, 75 s left\n"
    assert "climbing: 10 of 100" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_bar_shows_the_works_own_estimate() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with progress_bar(console=console) as watch:
        watch(report(10, seconds_left=95.0))
    assert "left 1 min 35 s" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_notebook_without_widgets_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO(), force_jupyter=True)
    monkeypatch.setattr(progress.importlib.util, "find_spec", lambda _: None)
    with progress_bar(console=console) as watch:
        assert type(watch).__name__ == "_Lines"
    monkeypatch.setattr(progress.importlib.util, "find_spec", lambda _: object())
    assert progress._can_draw(console)
