"""Bars in a terminal, lines in a log, and the estimate."""

import io

import pytest
from rich.console import Console

from likethat._progress import Progress
from likethat.cli import progress
from likethat.cli.progress import Estimate, progress_bar, with_estimate


def report(done: int, total: int | None = 100, stage: str = "reading images") -> Progress:
    return Progress(stage=stage, done=done, total=total)


def test_estimate_leaves_the_first_piece_out_and_is_said_once() -> None:
    estimate = Estimate(after=1.0)
    assert estimate.seconds_left(report(10), now=100.0) is None  # warming up
    assert estimate.seconds_left(report(20), now=100.5) is None  # too early
    # 30 images in 2 s, 60 are left: 4 s
    assert estimate.seconds_left(report(40), now=102.0) == pytest.approx(4.0)
    assert estimate.seconds_left(report(50), now=103.0) is None


def test_estimate_of_a_resumed_pass_counts_only_what_it_saw() -> None:
    estimate = Estimate(after=1.0)
    estimate.seconds_left(report(900, 1000), now=0.0)
    assert estimate.seconds_left(report(950, 1000), now=5.0) == pytest.approx(5.0)


def test_no_estimate_of_a_stream_or_another_stage() -> None:
    estimate = Estimate(after=0.0)
    for done in (1, 2, 3):
        assert estimate.seconds_left(report(done, None), now=float(done)) is None
        assert estimate.seconds_left(report(done, stage="turning the channels"), now=float(done)) is None


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
        watch(report(2000, 10_000))  # too soon for another line
        watch(report(4100, 10_000))  # 3,100 in 31 s, 5,900 left
        watch(report(7, None, "reading the prototypes again"))
        watch(report(8, None, "reading the prototypes again"))
    assert console.file.getvalue().splitlines() == [  # type: ignore[attr-defined]
        "reading images: 1,000 of 10,000",
        "reading images: 4,100 of 10,000, 59 s left",
        "reading the prototypes again: 7",
    ]


def test_a_line_takes_the_works_own_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO(), width=80)
    clock = iter([0.0, 40.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress_bar(console=console) as watch:
        watch(Progress(stage="climbing", done=10, total=100, seconds_left=90.0))
        watch(Progress(stage="climbing", done=20, total=100, seconds_left=75.0))
    assert console.file.getvalue().splitlines() == [  # type: ignore[attr-defined]
        "climbing: 10 of 100",
        "climbing: 20 of 100, 1 min 15 s left",
    ]


def test_an_estimate_is_said_once_and_all_is_passed_on(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[Progress] = []
    watch = with_estimate(seen.append, Estimate(after=0.0), lambda left, at: f"{at.done} done, {left > 0}")
    for done in (10, 20, 30):
        watch(report(done))
    assert [item.done for item in seen] == [10, 20, 30]
    assert capsys.readouterr().err == "20 done, True\n"


def test_a_notebook_without_widgets_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO(), force_jupyter=True)
    monkeypatch.setattr(progress.importlib.util, "find_spec", lambda _: None)
    with progress_bar(console=console) as watch:
        assert type(watch).__name__ == "_Lines"
    monkeypatch.setattr(progress.importlib.util, "find_spec", lambda _: object())
    assert progress._can_draw(console)
