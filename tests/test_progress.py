"""How far work is and how long it takes: one place for all of it."""

import re
from pathlib import Path

import pytest
import torch

import likethat as lt
from likethat._progress import Clock, Progress, Stage
from likethat._queries import QueryLog

SOURCE = Path(lt.__file__).parent


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    at = [100.0]
    monkeypatch.setattr("likethat._progress.time.monotonic", lambda: at[0])
    return at


def test_a_clock_tells_the_seconds_since_it_was_begun(now: list[float]) -> None:
    clock = Clock()
    now[0] = 107.5
    assert clock.seconds == 7.5


def test_the_first_piece_gives_a_first_estimate_and_is_left_out_afterwards(now: list[float]) -> None:
    told: list[Progress] = []
    stage = Stage("climbing", told.append, total=50, done=10)  # ten were done by an earlier session
    for at, done in ((104.0, 18), (106.0, 28), (107.0, 50)):
        now[0] = at
        stage(done)
    assert told[0] == Progress(stage="climbing", done=18, total=50, seconds_left=4 / 8 * 32, seconds=4.0)
    assert told[1].seconds_left == pytest.approx(2 / 10 * 22)  # the 8 that took 4 s were the first
    assert told[2].seconds_left == 0


def test_a_stream_has_no_end_to_foretell_and_nobody_need_watch(now: list[float]) -> None:
    told: list[Progress] = []
    stage = Stage("reading images", told.append)
    now[0] = 103.0
    stage(5)
    stage.add(2)
    assert [(one.done, one.total, one.seconds_left) for one in told] == [(5, None, None), (7, None, None)]
    Stage("reading images", None, total=3)(1)


def test_more_than_all_is_never_told() -> None:
    told: list[Progress] = []
    stage = Stage("climbing", told.append, total=10, done=4)
    stage.add(5)
    stage.add(5)
    assert [one.done for one in told] == [9, 10]


def test_answers_that_were_known_take_no_time(now: list[float]) -> None:
    class Recalled:
        queries, remaining, class_names, recalled = 0, None, ("a", "b"), 0

    told: list[Progress] = []
    box = Recalled()
    log = QueryLog(box=box, watch=told.append, budget=200)  # type: ignore[arg-type]
    for at, box.queries, box.recalled in ((101.0, 100, 100), (103.0, 110, 100), (108.0, 120, 100)):
        now[0] = at
        log.tell()
    assert [one.done for one in told] == [100, 110, 120]
    assert told[0].seconds_left is None  # a hundred answers in a second say nothing of the others
    assert told[1].seconds_left == pytest.approx(3 / 10 * 90)
    assert told[2].seconds_left == pytest.approx(5 / 10 * 80)


def brightness(x: torch.Tensor) -> torch.Tensor:
    share = x.flatten(1).mean(1)
    return torch.stack([1 - share, share], 1)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["counterfactual", "attribute", "exemplars"])
def test_a_search_says_from_its_start_how_long_it_will_take_at_most(what: str) -> None:
    told: list[Progress] = []
    made = lt.load_generator(lambda z: z.sigmoid().reshape(-1, 1, 8, 8), latent_dim=64)
    dark = torch.zeros(1, 8, 8) + 0.3
    if what == "counterfactual":
        made.encode = lambda x: x.flatten(1).logit()
        lt.FreeMCG(made).counterfactual(lt.BlackBox(brightness), dark, 1, budget=40, watch=told.append)
    elif what == "attribute":
        lt.FreeMCG().attribute(lt.BlackBox(brightness), dark, budget=128, watch=told.append)
    else:
        lt.Exemplars(made, tolerance=0.01).search(lt.BlackBox(brightness), 1, budget=20, watch=told.append)
    assert told[0].seconds_left is not None
    assert told[0].seconds_left > 0
    assert len(told) > 1


def test_only_one_place_makes_reports_and_reads_the_clock() -> None:
    texts = {path.relative_to(SOURCE).as_posix(): path.read_text("utf-8") for path in SOURCE.rglob("*.py")}
    assert {name for name, text in texts.items() if "perf_counter" in text} == set()
    making = {name for name, text in texts.items() if re.search(r"\bProgress\($", text, re.M) or " Progress(" in text}
    assert making <= {"_progress.py", "cli/progress.py"}  # rich's bars bear the same name
    assert {name for name, text in texts.items() if re.search(r"(watch|_watch)\(Progress", text)} <= {
        "_progress.py",
        "cli/progress.py",
    }
