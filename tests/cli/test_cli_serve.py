"""``likethat serve`` as a process: it says where it is, answers there, and ends when it is stopped."""

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import likethat

import likethat as lt

pytest.importorskip("uvicorn", reason="serving needs likethat[serve]")


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return (
        lt.EPIC(n_prototypes=2, seed=0)
        .fit(lt.load("zoo:digits"), lt.digits(split="test"))
        .save(tmp_path_factory.mktemp("served") / "bank")
    )


@pytest.fixture
def served(bank: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-u", "-m", "likethat", "serve", str(bank), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
        process.kill()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no such signals there")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=str)
def test_it_answers_until_it_is_stopped(served: tuple[subprocess.Popen[str], str], number: signal.Signals) -> None:
    process, address = served
    assert address.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(address) as answer:
        assert "What zoo:digits looks for" in answer.read().decode()
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors
    assert process.returncode in (0, 130, -number)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no such signals there")
def test_a_search_ends_with_the_server(bank: Path) -> None:
    command = [sys.executable, "-u", "-m", "likethat", "serve", str(bank), "--port", "0", "-g", "zoo:digits"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        question = b"target=index:3&n=8&queries=1000"  # minutes of it
        ours = {"Origin": address.rstrip("/"), "Content-Type": "application/x-www-form-urlencoded"}
        told = urllib.request.Request(f"{address}banks/bank/exemplars", question, ours)
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with opener.open(told) as answer:
            assert "Ideal inputs of" in answer.read().decode()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors
    assert process.returncode in (0, 130, -signal.SIGINT)


@pytest.mark.slow
def test_a_taken_port_and_what_is_no_bank_are_one_sentence(
    served: tuple[subprocess.Popen[str], str], bank: Path, tmp_path: Path
) -> None:
    port = served[1].rstrip("/").rsplit(":", 1)[1]
    taken = likethat("serve", bank, "--port", port)
    assert taken.exit_code == 2
    assert "must be free on this machine" in " ".join(taken.stderr.split())
    nothing = likethat("serve", tmp_path)
    assert nothing.exit_code == 2
    assert "Traceback" not in nothing.stderr
