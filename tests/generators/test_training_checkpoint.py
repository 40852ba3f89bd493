"""What trainings leave on disk: whole, of one training only, and never at the cost of the training."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from likethat._checkpoint import Checkpoint
from likethat.errors import InputError, StorageError
from likethat.generators.checkpoint import TrainingCheckpoint

STATE = "training.safetensors"


class Sums:
    """A training that adds 1 in two halves; it can be stopped between them."""

    def __init__(self, *, steps: int = 4, stop_within: int | None = None) -> None:
        self.steps, self.stop_within = steps, stop_within
        self.step, self.total = 0, torch.zeros(3, dtype=torch.float64)

    @property
    def is_done(self) -> bool:
        return self.step == self.steps

    def advance(self) -> None:
        self.total += 0.5
        if self.step == self.stop_within:
            raise KeyboardInterrupt
        self.total += 0.5
        self.step += 1

    def tensors(self) -> dict[str, Tensor]:
        return {
            "total": self.total,
            "none": torch.zeros(0, 2, dtype=torch.bool),
            "one": torch.tensor(1, dtype=torch.long),
        }

    def numbers(self) -> dict[str, Any]:
        return {"step": self.step}

    def load(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
        self.total, self.step = tensors["total"].clone(), numbers["step"]


def carry(training: Sums, folder: Path, *, key: Mapping[str, Any] | None = None, **options: Any) -> TrainingCheckpoint:
    left = TrainingCheckpoint(folder, key=key or {"seed": 0}, **options)
    left.carry(training, steps=training.steps, watch=None)
    return left


def removed(left: TrainingCheckpoint) -> None:
    assert left.checkpoint is not None
    left.checkpoint.remove()


def stopped(folder: Path, *, every: float = 0.0) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("likethat._checkpoint._SHARE", float("inf"))  # however long writing takes
        with pytest.raises(KeyboardInterrupt):
            carry(Sums(stop_within=2), folder, every=every)


@pytest.mark.parametrize(("every", "step"), [(0.0, 2), (1e9, 0)])
def test_stopped_within_a_step_the_state_before_stays(tmp_path: Path, every: float, step: int) -> None:
    stopped(tmp_path / "c", every=every)
    again = Sums()
    TrainingCheckpoint(tmp_path / "c", key={"seed": 0}, resume=True)._begin(again)
    assert (again.step, again.total.tolist()) == (step, [step] * 3)
    carry(again, tmp_path / "c", resume=True)
    assert again.total.tolist() == [4, 4, 4]


def test_a_state_lies_there_within_five_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, written = 100.0, []
    monkeypatch.setattr("time.monotonic", lambda: now)
    monkeypatch.setattr(Checkpoint, "write_state", lambda *given: written.append(given[3]["step"]))
    left, training = TrainingCheckpoint(tmp_path / "c", key={}), Sums(steps=3)

    def watch(_: object) -> None:
        nonlocal now
        now += 2.5

    left.carry(training, steps=3, watch=watch)
    assert written == [1, 2, 3, 3]  # after half of 5 seconds, then at once as writing takes none here, and at the end


def test_killed_before_its_first_state_it_begins_anew(tmp_path: Path) -> None:
    TrainingCheckpoint(tmp_path / "c", key={"seed": 0})
    training = Sums()
    carry(training, tmp_path / "c", resume=True)
    assert training.total.tolist() == [4, 4, 4]


def test_slow_writing_makes_states_rarer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, written = 100.0, []

    def slow(tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> bytes:
        nonlocal now
        now += 2.0
        written.append(about["step"])
        return b""

    def watch(_: object) -> None:
        nonlocal now
        now += 5.0

    monkeypatch.setattr("time.monotonic", lambda: now)
    monkeypatch.setattr("likethat._checkpoint.left_bytes", slow)
    TrainingCheckpoint(tmp_path / "c", key={}).carry(Sums(steps=6), steps=6, watch=watch)
    assert written == [1, 6]  # the next piece is due after 22 seconds, a tenth of which was written; and the end


def test_a_damaged_state_is_said_and_the_training_begins_anew(tmp_path: Path) -> None:
    stopped(tmp_path / "c")
    data = bytearray((tmp_path / "c" / STATE).read_bytes())
    data[-1] ^= 1
    (tmp_path / "c" / STATE).write_bytes(data)
    training = Sums()
    with pytest.warns(UserWarning, match=r"training\.safetensors is damaged \(it does not fit its checksum\)"):
        carry(training, tmp_path / "c", resume=True)
    assert training.total.tolist() == [4, 4, 4]


def test_another_training_is_refused_and_its_state_stays(tmp_path: Path) -> None:
    stopped(tmp_path / "c")
    before = (tmp_path / "c" / STATE).read_bytes()
    with pytest.raises(InputError, match="left by another training: its seed is 0, this one's is 1"):
        carry(Sums(), tmp_path / "c", key={"seed": 1}, resume=True)
    assert (tmp_path / "c" / STATE).read_bytes() == before


def test_a_full_disk_is_said_once_and_the_training_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> Path:
        raise StorageError("no space")

    training, left = Sums(), TrainingCheckpoint(tmp_path / "c", key={}, every=0.0)
    monkeypatch.setattr("likethat._files.OwnFolder.write", full)
    with pytest.warns(UserWarning, match="No further checkpoints of this training") as said:
        left.carry(training, steps=4, watch=None)
    assert len(said) == 1
    assert training.total.tolist() == [4, 4, 4]


def test_done_it_stays_until_it_is_removed_and_going_on_takes_no_step(tmp_path: Path) -> None:
    carry(Sums(), tmp_path / "c")
    again = Sums()
    again.advance = None  # type: ignore[assignment, method-assign]
    left = carry(again, tmp_path / "c", resume=True)
    assert again.total.tolist() == [4, 4, 4]
    (tmp_path / "c" / "thesis.txt").write_text("mine")
    removed(left)
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["thesis.txt"]
    removed(left)


def test_what_another_training_began_there_meanwhile_stays(tmp_path: Path) -> None:
    first = carry(Sums(), tmp_path / "c")
    carry(Sums(), tmp_path / "c", key={"seed": 1})
    removed(first)
    assert (tmp_path / "c" / STATE).exists()


def test_it_is_removed_from_another_folder_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    left = carry(Sums(), Path("c"))
    (tmp_path / "elsewhere" / "c").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "elsewhere")
    removed(left)
    assert not (tmp_path / "c").exists()
    assert (tmp_path / "elsewhere" / "c").exists()
