"""A real process, real signals: what was done is left, and ``--resume`` comes to the same bank."""

import filecmp
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("slow_command_line.py")
TESTS = SCRIPT.parents[1]


def start(out: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-u", str(SCRIPT), "fit", "epic", "--model", "toy", "--images", "any", "--out", str(out)]
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "PYTHONWARNINGS": "ignore"}
    return subprocess.Popen([*command, *words], stderr=subprocess.PIPE, text=True, env=environment)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "bank"
    with start(out) as process:
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return out


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=str)
def test_a_signal_leaves_a_checkpoint_to_go_on_from(number: signal.Signals, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "bank"
    with start(out) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("reading images"):
                process.send_signal(number)
                break
        rest = process.stderr.read()
    assert process.returncode == 130
    assert rest.splitlines()[-1].startswith("stopped; go on with: likethat fit epic")
    assert not out.exists()
    assert list((tmp_path / "bank.checkpoint").glob("shard-*.safetensors"))

    with start(out, "--resume") as resumed:
        _, errors = resumed.communicate(timeout=120)
    assert resumed.returncode == 0, errors
    assert filecmp.cmp(out / "tensors.safetensors", whole / "tensors.safetensors", shallow=False)
    assert filecmp.cmp(out / "prototypes.jsonl", whole / "prototypes.jsonl", shallow=False)


@pytest.mark.slow
def test_a_closed_pipe_is_no_traceback() -> None:
    command = f"{sys.executable} -c 'from likethat.cli.main import run; run()' fit epic --help | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
