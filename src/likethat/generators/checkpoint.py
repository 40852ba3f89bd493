"""A folder that an interrupted training goes on from."""

import json
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from likethat._documents import Damaged, going_on_from, typed
from likethat._files import OwnFolder
from likethat._progress import Progress, Watcher
from likethat._tensors import left_bytes, read_left
from likethat.errors import InputError, StorageError
from likethat.generators.latents import under

__all__ = ["EVERY", "Training", "TrainingCheckpoint", "load_optimizer", "optimizer_tensors"]

EVERY = 5.0
"""Seconds between two states: what a killed training may lose, and little enough to write."""

_FILE = "training.safetensors"
_SHARE = 0.1  # of the time may go into writing: a slow disk makes the states rarer


class Training(Protocol):
    """A training that goes on from its tensors and numbers alone."""

    @property
    def step(self) -> int:
        """How many steps it has taken."""
        ...

    @property
    def is_done(self) -> bool:
        """Whether it is at its end."""
        ...

    def advance(self) -> None:
        """Take a step; stopped within it, it may have changed half of its weights."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors that it goes on from."""
        ...

    def numbers(self) -> dict[str, Any]:
        """Return where it stands, as plain JSON values."""
        ...

    def take_back(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
        """Go on from what `tensors` and `numbers` returned."""
        ...


class TrainingCheckpoint:
    """Leaves a training on disk, whole or not at all, and hands it back to the same training only.

    Args:
        folder: made where it does not exist; None to leave nothing.
        key: what makes two trainings the same: options, a digest of the data. Plain JSON values.
        resume: go on from what lies there; otherwise what likethat left there is removed.
        every: seconds between two states; more where writing one takes more than a tenth of that.

    Raises:
        InputError: `resume` without a folder.
    """

    def __init__(
        self, folder: Path | None, *, key: Mapping[str, Any], resume: bool = False, every: float = EVERY
    ) -> None:
        if resume and folder is None:
            raise InputError("`checkpoint` must name the folder to resume from, got None.")
        self._own = None if folder is None else OwnFolder(folder.absolute())  # its result may be saved from elsewhere
        self._key: dict[str, Any] = json.loads(json.dumps(dict(key)))
        self._resume, self._every = resume, every
        self._last, self._took, self._has_failed = time.monotonic(), 0.0, False

    def carry(self, training: Training, *, steps: int, watch: Watcher | None) -> None:
        """Take a training to its end, from where it was left, and leave a state on the way, at Ctrl-C and at the end.

        Raises:
            InputError: the folder holds no checkpoint, a damaged one, or that of another training; or, without
                `resume`, files that likethat did not write.
            StorageError: the folder cannot be made.
        """
        self._begin(training)
        started, first, is_whole = time.monotonic(), training.step, True
        try:
            while not training.is_done:
                is_whole = False
                training.advance()
                is_whole = True
                if watch:
                    left = (time.monotonic() - started) / (training.step - first) * (steps - training.step)
                    watch(Progress(stage="training", done=training.step, total=steps, seconds_left=left))
                if time.monotonic() - self._last >= max(self._every, self._took / _SHARE):
                    self._write(training)
            self._write(training)
        except KeyboardInterrupt:
            if is_whole:
                self._write(training)
            raise

    def _begin(self, training: Training) -> None:
        """Take the training back to where it was, or leave its first state, so that any kill from here can resume."""
        if self._own is None:
            return
        if not self._resume:
            self._own.claim(name="checkpoint")
            self._write(training)
            return
        tensors, numbers = self._read(self._own.path)
        with going_on_from(self._own.path):
            training.take_back(tensors, numbers)

    def _read(self, folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
        try:
            tensors, about = read_left(folder / _FILE)
            left = typed(about, dict[str, dict[str, Any]])
            key, numbers = left.get("key", {}), left.get("numbers", {})
        except Damaged as error:
            raise InputError(
                f"`checkpoint` must be the folder of an interrupted training, got {folder}, where no readable {_FILE} "
                f"lies (it {error}). Train without resuming."
            ) from error
        other = sorted(name for name in {*key, *self._key} if key.get(name) != self._key.get(name))
        if other:
            raise InputError(
                f"the checkpoint in {folder} was left by another training: its {other[0]} is {key.get(other[0])!r}, "
                f"this one's is {self._key.get(other[0])!r}. Use the same data and options, or train without resuming."
            )
        return tensors, numbers

    def _write(self, training: Training) -> None:
        """Leave a state; a full disk is said once and the training goes on."""
        if self._own is None or self._has_failed:
            return
        started = time.monotonic()
        tensors = {name: value.clone() for name, value in training.tensors().items()}  # some may share their memory
        try:
            self._own.write(_FILE, left_bytes(tensors, {"key": self._key, "numbers": training.numbers()}))
        except StorageError as error:
            self._has_failed = True
            warnings.warn(f"No further checkpoints of this training will be written: {error}", stacklevel=2)
        self._last = time.monotonic()
        self._took = self._last - started

    def remove(self) -> None:
        """Remove what was left, as its result is saved; what another training has begun there meanwhile stays."""
        if self._own is None:
            return
        path = self._own.path / _FILE
        try:
            is_ours = not path.exists() or read_left(path)[1].get("key") == self._key
        except Damaged:
            return
        if is_ours:
            self._own.remove()


def optimizer_tensors(optimizer: torch.optim.Optimizer, prefix: str) -> dict[str, Tensor]:
    """Return what an optimiser has gathered, by names that begin with a prefix."""
    states = optimizer.state_dict()["state"].items()
    return {f"{prefix}{i}.{name}": torch.as_tensor(value) for i, state in states for name, value in state.items()}


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], prefix: str) -> None:
    """Give an optimiser back what `optimizer_tensors` returned."""
    state: dict[int, dict[str, Tensor]] = {}
    for path, value in under(prefix, tensors).items():
        index, name = path.split(".")
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
