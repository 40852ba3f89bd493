"""What is left behind is whole, belongs to one fit, and a full disk costs the checkpoint, not the fit."""

import errno
from pathlib import Path
from typing import Any

import pytest
import torch

from likethat.errors import InputError
from likethat.features import Checkpoint


def test_states_come_back(tmp_path: Path) -> None:
    left = Checkpoint(tmp_path / "c", key={"seed": 0})
    left.write_state("solver", {"x": torch.arange(3.0)}, {"epoch": 7})
    again = Checkpoint(tmp_path / "c", key={"seed": 0}, resume=True)
    state = again.read_state("solver")
    assert state is not None
    assert state[0]["x"].tolist() == [0.0, 1.0, 2.0]
    assert state[1] == {"epoch": 7}
    assert again.read_state("nothing") is None
    again.remove()
    assert not (tmp_path / "c").exists()


def test_a_state_cut_short_is_no_state(tmp_path: Path) -> None:
    left = Checkpoint(tmp_path / "c", key={})
    left.write_state("solver", {"x": torch.arange(300.0)}, {})
    path = tmp_path / "c" / "solver.safetensors"
    path.write_bytes(path.read_bytes()[:500])
    assert left.read_state("solver") is None


def test_a_new_fit_clears_an_old_checkpoint_but_no_other_folder(tmp_path: Path) -> None:
    Checkpoint(tmp_path / "c", key={}).write_state("solver", {"x": torch.zeros(1)}, {})
    assert Checkpoint(tmp_path / "c", key={}).read_state("solver") is None
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_bytes(b"...")
    with pytest.raises(InputError, match=r"which is in use: 'one\.jpg'"):
        Checkpoint(tmp_path / "photos", key={})
    assert (tmp_path / "photos" / "one.jpg").exists()


def test_a_full_disk_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = Checkpoint(tmp_path / "c", key={})

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.warns(UserWarning, match="No further checkpoints of this fit will be written") as caught:
        left.write_state("a", {"x": torch.zeros(1)}, {})
    left.write_state("b", {"x": torch.zeros(1)}, {})  # a second warning would be an error
    assert len(caught) == 1
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == [".likethat.json", "checkpoint.json"]


def test_what_another_fit_has_begun_in_its_place_stays(tmp_path: Path) -> None:
    first = Checkpoint(tmp_path / "c", key={"seed": 0})
    Checkpoint(tmp_path / "c", key={"seed": 1}).write_state("solver", {"x": torch.zeros(1)}, {})
    first.remove()
    assert (tmp_path / "c" / "solver.safetensors").exists()


def test_a_first_state_is_due_after_five_seconds_and_slow_writing_makes_them_rarer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    left = Checkpoint(tmp_path / "c", key={})
    now = 104.9
    assert not left.is_due()
    now = 105.0
    assert left.is_due()

    def slow(*_: Any, **__: Any) -> bytes:
        nonlocal now
        now += 2.0
        return b""

    monkeypatch.setattr("likethat.features.checkpoint.left_bytes", slow)
    left.write_state("solver", {}, {})  # ends at 107
    now = 126.9
    assert not left.is_due()
    now = 127.0  # ten times as long as the writing took
    assert left.is_due()
