"""What is left behind is whole, belongs to one fit, and a full disk costs the checkpoint, not the fit."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor
from toys import pictures, small_cnn

import likethat as lt
from likethat._checkpoint import Checkpoint, has_ended
from likethat.cli.places import check_folder, may_replace
from likethat.errors import InputError
from likethat.generators.priors import StandardNormal


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
    with pytest.warns(UserWarning, match=r"solver\.safetensors is damaged \(it holds no whole tensors"):
        assert left.read_state("solver") is None


@pytest.mark.parametrize("place", [-1, -9, -20])
def test_a_state_with_one_bit_changed_is_no_state_and_is_said(tmp_path: Path, place: int) -> None:
    left = Checkpoint(tmp_path / "c", key={})
    left.write_state("solver", {"x": torch.arange(300.0)}, {})
    data = bytearray((tmp_path / "c" / "solver.safetensors").read_bytes())
    data[place] ^= 1
    (tmp_path / "c" / "solver.safetensors").write_bytes(data)
    with pytest.warns(UserWarning, match="it does not fit its checksum"):
        assert left.read_state("solver") is None


def test_a_changed_note_is_no_state(tmp_path: Path) -> None:
    left = Checkpoint(tmp_path / "c", key={})
    left.write_state("solver", {}, {"epoch": 7})
    path = tmp_path / "c" / "solver.safetensors"
    path.write_bytes(path.read_bytes().replace(rb"\"epoch\": 7", rb"\"epoch\": 8"))
    with pytest.warns(UserWarning, match="it does not fit its checksum"):
        assert left.read_state("solver") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"seed": 0}', "it is of an earlier likethat"),
        ('{"key": {"seed": 0}, "sha256": "0"}', "it does not fit its checksum"),
        ('{"key": 3}', "it does not fit: expected `object`, got `int`"),
        ("[" * 99999, "it is nested too deep"),
        ("", "it is no JSON"),
    ],
)
def test_a_manifest_that_is_not_as_it_was_written_is_refused_in_one_sentence(
    tmp_path: Path, text: str, said: str
) -> None:
    Checkpoint(tmp_path / "c", key={"seed": 0})
    (tmp_path / "c" / "checkpoint.json").write_text(text)
    with pytest.raises(InputError, match=f"no readable checkpoint.json lies \\({said}"):
        Checkpoint(tmp_path / "c", key={"seed": 0}, resume=True)


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({"seed": 1, "images": {"number": 3, "names": "a"}}, "its seed is 0, this one's is 1"),
        ({"seed": 0, "images": {"number": 4, "names": "b"}}, r"its images differ in their number \(3 then, 4 now\)"),
        ({"seed": 0, "images": {"number": 3, "names": "b"}}, r"its images differ in their names\. Use"),
        ({"seed": 0, "images": {"number": 3}}, r"its images differ in their names\. Use"),
        ({"seed": 0}, "its images is .* this one's is None"),
        ({"seed": 0, "images": {"number": 3, "names": "a"}, "n": 2}, "its n is None, this one's is 2"),
    ],
)
def test_what_differs_is_named(tmp_path: Path, now: dict[str, Any], said: str) -> None:
    Checkpoint(tmp_path / "c", key={"seed": 0, "images": {"number": 3, "names": "a"}})
    with pytest.raises(InputError, match=f"left by another fit: {said}"):
        Checkpoint(tmp_path / "c", key=now, resume=True)


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


def test_a_state_is_due_before_five_seconds_have_passed_and_slow_writing_makes_them_rarer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    left = Checkpoint(tmp_path / "c", key={})

    def due_at(*times: float) -> list[bool]:
        nonlocal now
        found = []
        for time in times:
            now = time
            found.append(left.is_due())
        return found

    assert due_at(100.5, 101.0, 101.8) == [False, False, True]  # the first in half of the time

    def slow(*_: Any, **__: Any) -> bytes:
        nonlocal now
        now += took
        return b""

    took = 0.2
    monkeypatch.setattr("likethat._checkpoint.left_bytes", slow)
    left.write_state("solver", {}, {})  # ends at 102.0
    assert due_at(103.5, 105.0, 106.5) == [False, False, True]  # the next one would be asked at 108
    took = 1.5
    left.write_state("solver", {}, {})  # ends at 108.0
    assert due_at(113.0, 135.5, 135.6) == [False, False, True]  # 1.7 s and another 1.5 are 9 % of 35.6


def test_a_result_is_known_as_that_of_its_checkpoint_and_no_other_is(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("ours")
    assert not has_ended(tmp_path / "c", tmp_path / "manifest.json")
    left = Checkpoint(tmp_path / "c", key={})
    assert not has_ended(tmp_path / "c", tmp_path / "manifest.json")
    left.note_result(tmp_path / "manifest.json")
    assert has_ended(tmp_path / "c", tmp_path / "manifest.json")
    (tmp_path / "manifest.json").write_text("another's")
    assert not has_ended(tmp_path / "c", tmp_path / "manifest.json")
    assert not has_ended(tmp_path / "c", tmp_path / "missing")


@pytest.mark.slow
def test_killed_between_the_bank_and_the_checkpoints_end_both_are_there_and_a_resumed_fit_may_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = pictures(40)
    model = lt.split(small_cnn(), example=images[:4])
    bank = lt.EPIC(2).fit(model, images, checkpoint=tmp_path / "bank.checkpoint")
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "remove", lambda _: None)  # killed here
        bank.save(tmp_path / "bank")
    assert not may_replace(tmp_path / "bank", "manifest.json", resume=False, overwrite=False)
    assert may_replace(tmp_path / "bank", "manifest.json", resume=True, overwrite=False)
    check_folder(tmp_path / "bank", mark="manifest.json", work="fit", resume=True, overwrite=False)
    again = lt.EPIC(2).fit(model, images, checkpoint=tmp_path / "bank.checkpoint", resume=True)
    again.save(tmp_path / "bank", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["bank"]
    other = lt.EPIC(2, seed=1).fit(model, images, checkpoint=tmp_path / "bank.checkpoint")
    assert other.checkpoint is not None
    with pytest.raises(InputError, match="which likethat wrote before"):
        check_folder(tmp_path / "bank", mark="manifest.json", work="fit", resume=True, overwrite=False)


@pytest.mark.slow
def test_a_training_killed_between_its_generator_and_its_checkpoints_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"a text of number {place}" for place in range(40)]
    made = lt.train_generator(texts, kind="text", epochs=1, checkpoint=tmp_path / "made.checkpoint")
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "remove", lambda _: None)  # killed here
        made.save(tmp_path / "made")
    assert may_replace(tmp_path / "made", "generator.json", resume=True, overwrite=False)
    with pytest.raises(InputError, match="which likethat wrote before"):
        made.save(tmp_path / "made")
    again = lt.train_generator(texts, kind="text", epochs=1, checkpoint=tmp_path / "made.checkpoint", resume=True)
    again.save(tmp_path / "made", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


class Blurred:
    """Four numbers as a picture."""

    kind, prior, differentiable, shape = "image", StandardNormal(12), True, (3, 16, 16)

    def __call__(self, latents: Tensor) -> Tensor:
        small = latents.reshape(-1, 3, 2, 2)
        return torch.nn.functional.interpolate(small, size=(16, 16), mode="bilinear").sigmoid()


def works(folder: Path, **how: Any) -> dict[str, Callable[[], Any]]:
    """Return a fit of each method and a training of each kind, as small as they are done."""
    images = pictures(40)
    model = lt.split(small_cnn(), example=images[:4])
    texts = [f"a text of number {place}" for place in range(40)]
    frame = pd.DataFrame({"age": [place % 7 for place in range(40)]})
    wanted = {"checkpoint": folder / "c", **how}
    prodg = lt.ProDG(Blurred(), n_samples=24, steps=1, n_prototypes=2, controls=False)
    return {
        "epic": lambda: lt.EPIC(2).fit(model, images, **wanted),
        "parts": lambda: lt.PartPrototypes(2, n_prototypes=2).fit(model, images, **wanted),
        "prodg": lambda: prodg.fit(model, channels=[0], **wanted),
        "image": lambda: lt.train_generator(images, steps=1, size=16, **wanted),
        "table": lambda: lt.train_generator(frame, kind="table", epochs=1, **wanted),
        "text": lambda: lt.train_generator(texts, kind="text", epochs=1, **wanted),
    }


WORKS = ("epic", "parts", "prodg", "image", "table", "text")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # so small, they have much to warn of
@pytest.mark.parametrize("name", WORKS)
def test_how_often_is_said_by_the_user(tmp_path: Path, name: str) -> None:
    done = works(tmp_path, checkpoint_every=70)[name]()
    assert done.checkpoint.every == 70.0


@pytest.mark.parametrize("name", WORKS)
@pytest.mark.parametrize("every", [-1, float("nan"), None])
def test_how_often_must_be_seconds(tmp_path: Path, name: str, every: Any) -> None:
    with pytest.raises(InputError, match="`checkpoint_every` must be a number of at least 0, got"):
        works(tmp_path, checkpoint_every=every)[name]()
    assert not any(tmp_path.iterdir())
