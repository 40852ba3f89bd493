"""A folder that an interrupted training goes on from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from likethat._checkpoint import EVERY, Checkpoint
from likethat._documents import Damaged, going_on_from
from likethat._progress import Stage, Watcher
from likethat.errors import InputError
from likethat.generators.latents import under

_STATE = "training"


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

    def load(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
        """Go on from what `tensors` and `numbers` returned."""
        ...


class TrainingCheckpoint:
    """Leaves a training on disk, whole or not at all, and hands it back to the same training only.

    Args:
        folder: made where it does not exist; None to leave nothing.
        key: what makes two trainings the same: options, a digest of the data. Plain JSON values.
        resume: go on from what lies there; otherwise what likethat left there is removed.
        every: seconds between two states; more where writing takes more than a tenth of the time.

    Raises:
        InputError: `resume` without a folder, or with one that holds no checkpoint, a damaged one, or that of another
            training; or, without `resume`, files that likethat did not write.
        StorageError: the folder cannot be made.
    """

    def __init__(
        self, folder: Path | None, *, key: Mapping[str, Any], resume: bool = False, every: float = EVERY
    ) -> None:
        if resume and folder is None:
            raise InputError("`checkpoint` must name the folder to resume from, got None.")
        self.checkpoint = (
            None if folder is None else Checkpoint(folder, key=key, work="training", resume=resume, every=every)
        )
        self._resume = resume

    def carry(self, training: Training, *, steps: int, watch: Watcher | None) -> None:
        """Take a training to its end, from where it was left, and leave a state on the way, at Ctrl-C and at the end.

        Killed before its first state, or with one that is damaged, it begins anew, to the same weights.
        """
        self._begin(training)
        stage, is_whole = Stage("training", watch, total=steps, done=training.step), True
        try:
            while not training.is_done:
                is_whole = False
                training.advance()
                is_whole = True
                stage(training.step)
                if self.checkpoint is not None and self.checkpoint.is_due():
                    self._write(training)
            self._write(training)
        except KeyboardInterrupt:
            if is_whole:
                self._write(training)
            raise

    def _begin(self, training: Training) -> None:
        """Take the training back to where it was."""
        if self.checkpoint is None or not self._resume:
            return
        state = self.checkpoint.read_state(_STATE)
        if state is not None:
            with going_on_from(self.checkpoint.folder):
                _check_form(state[0], training.tensors())
                training.load(*state)

    def _write(self, training: Training) -> None:
        if self.checkpoint is not None:
            tensors = {name: value.clone() for name, value in training.tensors().items()}  # some may share their memory
            self.checkpoint.write_state(_STATE, tensors, training.numbers())


def _check_form(read: Mapping[str, Tensor], mine: Mapping[str, Tensor]) -> None:
    """Raise `Damaged` unless all tensors of a training are there, in its shapes; those of its optimiser may be more."""
    for name, value in mine.items():
        if name not in read or (read[name].shape, read[name].dtype) != (value.shape, value.dtype):
            raise Damaged(f"its {name} is missing, or of another form")


def optimizer_tensors(optimizer: torch.optim.Optimizer, prefix: str) -> dict[str, Tensor]:
    """Return what an optimiser has gathered, by names that begin with a prefix."""
    states = optimizer.state_dict()["state"].items()
    return {f"{prefix}{i}.{name}": torch.as_tensor(value) for i, state in states for name, value in state.items()}


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], prefix: str) -> None:
    """Give an optimiser back what `optimizer_tensors` returned."""
    state: dict[int, dict[str, Tensor]] = {}
    shapes = [one.shape for group in optimizer.param_groups for one in group["params"]]
    for path, value in under(prefix, tensors).items():
        index, name = path.split(".")
        if value.ndim and value.shape != shapes[int(index)]:
            raise Damaged(f"what it noted of parameter {index} is of another shape")
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
