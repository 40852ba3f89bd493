"""Answers on disk: kept at once, kept apart, and never in the way."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from black_box_servers import Spy, inputs
from torch import nn

import likethat as lt
from likethat.errors import BlackBoxError, InputError, StorageError
from likethat.models.black_box.cache import AnswerFile


def box_on(path: Path, **options: object) -> tuple[lt.BlackBox, Spy]:
    spy = Spy()
    settings = {"cache": path, "key": "spy", "check_determinism": False, **options}
    return lt.BlackBox(spy, **settings), spy  # type: ignore[arg-type]


def test_answers_outlive_the_box(tmp_path: Path) -> None:
    path = tmp_path / "new" / "answers.sqlite"
    box, _ = box_on(path, class_names=["no", "yes"])
    first = box(inputs(0.1, 0.2, 1 / 3))
    later, spy = box_on(path, class_names=["no", "yes"])
    assert later.class_names == ("no", "yes")
    assert torch.equal(later(inputs(1 / 3, 0.1)), first[[2, 0]])  # bit for bit
    assert (later.queries, later.affordable(inputs(0.1, 0.2)), spy.n) == (0, 2, 0)
    later(inputs(0.1, 0.9))
    assert spy.n == 1


def test_a_decision_is_kept_too(tmp_path: Path) -> None:
    def logits(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, -x], dim=1)

    first = lt.BlackBox(logits, cache=tmp_path / "a", key="k")
    first(inputs(2.0))
    later = lt.BlackBox(logits, cache=tmp_path / "a", key="k")
    assert later.notes == ("logits were taken: softmax applied",)
    assert later(inputs(0.5))[0, 0] == pytest.approx(1 / (1 + 2.718281828**-1))  # (0.5, -0.5) alone would be refused


def test_independent_labels_are_kept_though_they_do_not_sum_to_1(tmp_path: Path) -> None:
    for queries in (1, 0):
        box, _ = box_on(tmp_path / "a", output="labels")
        box._oracle.backend.backend._function = lambda x: torch.cat([x, x], dim=1)  # type: ignore[attr-defined]
        assert box(inputs(0.75)).tolist() == [[0.75, 0.75]]
        assert box.queries == queries


def test_boxes_in_one_file_are_kept_apart(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    box_on(path)[0](inputs(0.1))
    for options in ({"key": "another"}, {"class_names": ["a", "b"]}, {"output": "logits"}):
        other, spy = box_on(path, **options)
        other(inputs(0.1))
        assert spy.n == 1
    networks = [nn.Sequential(nn.Flatten(), nn.Linear(4, 3)) for _ in range(2)]
    for network in networks:
        lt.BlackBox(network, cache=path)(torch.rand(2, 1, 2, 2))
    again = lt.BlackBox(networks[0], cache=path)
    again(torch.rand(1, 1, 2, 2))
    assert again.class_names == ("0", "1", "2")


def test_a_function_needs_a_key(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="`key` must name Spy when its answers are kept in a file"):
        lt.BlackBox(Spy(), cache=tmp_path / "answers.sqlite")
    with pytest.raises(InputError, match="`key` must name Linear"):
        lt.BlackBox(nn.Linear(2, 2), cache=tmp_path / "answers.sqlite", inputs=lambda x: x)


def test_another_model_behind_the_same_key_is_found_out(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    box_on(path)[0](inputs(0.1, 0.2))
    other = lt.BlackBox(lambda x: torch.cat([x, 1 - x], dim=1), cache=path, key="spy")
    assert other(inputs(0.1)).tolist() == [pytest.approx([0.9, 0.1])]  # all known: nobody is asked
    with pytest.raises(BlackBoxError, match="must be the predictor whose answers the cache keeps"):
        other(inputs(0.1, 0.5))
    assert other.queries == 2
    same = lt.BlackBox(Spy(), cache=path, key="spy")
    same(inputs(0.1, 0.5))
    assert (same.queries, same.notes) == (2, ())


@pytest.mark.parametrize("content", [b"name,age\nme,3\n", b"SQLite format 3\0" + b"x" * 200])
def test_other_files_are_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"must be a new file or one of answers kept before, got '.*mine\.csv'"):
        box_on(path)
    assert path.read_bytes() == content


def test_other_databases_and_schemas_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE mine (x)")
        connection.commit()
    with pytest.raises(InputError, match="which is something else"):
        box_on(path)
    ours = tmp_path / "ours.sqlite"
    box_on(ours)[0](inputs(0.1))
    with contextlib.closing(sqlite3.connect(ours)) as connection:
        connection.execute("PRAGMA user_version = 7")
        connection.commit()
    with pytest.raises(InputError, match="of schema 1, got 7"):
        box_on(ours)


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="could not be written"):
        box_on(tmp_path / "file" / "below.sqlite")
    with pytest.raises((InputError, StorageError)):
        box_on(tmp_path)
    with pytest.raises(InputError, match=r"`cache` must be a path, as text or pathlib\.Path, got 3"):
        lt.BlackBox(Spy(), cache=3, key="k")  # type: ignore[arg-type]


def test_a_full_disk_is_told_once_and_nothing_is_lost(tmp_path: Path) -> None:
    box, spy = box_on(tmp_path / "answers.sqlite")
    box(inputs(0.1))
    store = box._oracle._store
    assert isinstance(store, AnswerFile)
    store._connection.execute("PRAGMA max_page_count = 1")
    many = torch.rand(2000, 1)
    with pytest.warns(UserWarning, match=r"kept in memory alone, as answers\.sqlite could not be used \(.*full\)"):
        box(many)
    box(torch.cat([many, inputs(0.1, 0.7)]))
    assert spy.n == 2002
    assert sum("kept in memory alone" in note for note in box.notes) == 1


CRASH = """
import os, signal, sys, torch
import likethat as lt
seen = []
def slow(x):
    if len(seen) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    seen.append(x)
    return torch.cat([1 - x, x], dim=1)
box = lt.BlackBox(slow, cache=sys.argv[1], key="spy", batch_size=2, check_determinism=False)
box(torch.arange(10).double()[:, None] / 10)
"""


@pytest.mark.slow
def test_answers_survive_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    done = subprocess.run([sys.executable, "-c", CRASH, str(path)], check=False, env=os.environ)
    assert done.returncode == -signal.SIGKILL
    box, spy = box_on(path)
    found = box(torch.arange(10).double()[:, None] / 10)
    assert spy.n == 4  # three batches of two were kept
    assert found[:, 1].tolist() == [row / 10 for row in range(10)]


@pytest.mark.slow
def test_two_processes_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    code = CRASH.replace("len(seen) == 3", "False").replace("arange(10)", "arange(60)").replace("/ 10)", "/ 100)")
    run = subprocess.Popen([sys.executable, "-W", "error", "-c", code, str(path)])
    box, spy = box_on(path)
    while run.poll() is None:
        box(torch.rand(3, 1))
        time.sleep(0.02)
    assert run.returncode == 0
    asked = spy.n
    box(torch.arange(60).double()[:, None] / 100)
    assert (spy.n, box.notes) == (asked, ())


def test_the_file_holds_no_inputs(tmp_path: Path) -> None:
    box = lt.BlackBox(lambda texts: [[0.0, 1.0]] * len(texts), cache=tmp_path / "a.sqlite", key="k")
    box(["a very private sentence"])
    kept = b"".join(item.read_bytes() for item in tmp_path.iterdir())
    assert b"private" not in kept
