"""The loop that trains an image network: held-out loss, early stopping, checkpoints, exact resuming."""

import hashlib
import json
import math
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import save
from torch import Tensor

from likethat._documents import Damaged, going_on_from, typed
from likethat._files import OwnFolder
from likethat._progress import Progress, Watcher
from likethat._tensors import read_left
from likethat.errors import InputError, NonFiniteError, StorageError
from likethat.generators.image.data import ImageStack

__all__ = ["ImageRun", "LoopOptions", "train_run"]

_FILE = "training.safetensors"


class ImageRun(Protocol):
    """Networks that learn batch by batch."""

    @property
    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """The optimisers, by name."""
        ...

    def step(self, images: Tensor, number: int, rng: torch.Generator) -> float:
        """Learn from a batch; return its loss."""
        ...

    def held_out_loss(self, images: Tensor) -> float:
        """Return the loss on images that are not learned from."""
        ...

    def state(self) -> dict[str, Tensor]:
        """Return all weights."""
        ...

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take all weights back."""
        ...


@dataclass(frozen=True, kw_only=True)
class LoopOptions:
    """How long to train and what to leave on the way.

    Attributes:
        steps: at most.
        last_phase: the step to jump to when the held-out loss stops falling; `steps` to stop there.
        batch: images a step.
        mirror: show half of the images left to right.
        patience: looks at the held-out loss without a fall before stopping.
        seed: of the order, the mirroring and the noise.
        checkpoint: folder to leave unfinished work in, removed at the end (files of others in it stay); None for none.
        resume: go on from there.
        every: seconds between two checkpoints.
    """

    steps: int
    last_phase: int
    batch: int
    mirror: bool
    patience: int
    seed: int
    checkpoint: Path | None = None
    resume: bool = False
    every: float = 60.0


@dataclass(kw_only=True)
class _Place:
    """Where the loop stands, as plain numbers."""

    number: int = 0
    best: float = math.inf
    stale: int = 0
    is_last: bool = False


def train_run(
    run: ImageRun, stack: ImageStack, options: LoopOptions, *, key: Mapping[str, Any], watch: Watcher | None
) -> float:
    """Train to the end, or until the held-out loss stops falling; return the last held-out loss.

    Args:
        run: what learns.
        stack: the images; a twentieth, at most 256, is held out.
        options: how long.
        key: what makes two trainings the same, beside options and images.
        watch: called every few steps.

    Raises:
        NonFiniteError: the loss became NaN or infinite.
        InputError: a checkpoint of another training.
    """
    rng = torch.Generator().manual_seed(options.seed)
    order = torch.randperm(len(stack), generator=torch.Generator().manual_seed(options.seed))
    n_held_out = min(256, max(4, len(stack) // 20))
    held_out, learned = stack.batch(order[:n_held_out]), order[n_held_out:]
    left = _Left(run=run, options=options, key=_key(options, key, stack), rng=rng)
    place = left.take_back()
    look_every = max(20, options.steps // 40)
    clock = _Clock(place.number)
    is_whole = True  # between two steps: in one, half of the weights are changed
    try:
        while place.number < options.steps:
            is_whole = False
            rows = _rows(learned, place.number, options)
            mirrored = torch.rand(len(rows), generator=rng, dtype=torch.float32) < 0.5 if options.mirror else None
            loss = run.step(stack.batch(rows, mirrored=mirrored), place.number, rng)
            if not math.isfinite(loss):
                raise NonFiniteError(
                    f"the loss became {loss} at step {place.number + 1}; the weights are lost. Train with a smaller "
                    "learning_rate."
                )
            place.number += 1
            is_whole = True
            if place.number % look_every == 0:
                _look(place, run.held_out_loss(held_out), options)
            if watch:
                watch(clock.progress(place.number, options.steps))
            left.write_when_due(place)
    except KeyboardInterrupt:
        if is_whole:
            left.write(place)
        raise
    return run.held_out_loss(held_out)


def _look(place: _Place, loss: float, options: LoopOptions) -> None:
    """Note a held-out loss; jump to the last phase when it has stopped falling."""
    if loss < place.best:
        place.best, place.stale = loss, 0
    else:
        place.stale += 1
    if place.stale >= options.patience and not place.is_last:
        place.is_last = True
        place.number = max(place.number, options.last_phase)


def _rows(learned: Tensor, number: int, options: LoopOptions) -> Tensor:
    """Return the images of a step: every image once an epoch, in an order of the seed."""
    batch = min(options.batch, len(learned))
    per_epoch = len(learned) // batch
    epoch, place = divmod(number, per_epoch)
    order = torch.randperm(len(learned), generator=torch.Generator().manual_seed(options.seed * 1_000_003 + epoch + 1))
    return learned[order[place * batch : (place + 1) * batch]]


class _Clock:
    """Estimates what is left from the steps of this process."""

    def __init__(self, start: int) -> None:
        self._start, self._since = start, time.monotonic()

    def progress(self, number: int, total: int) -> Progress:
        done = max(1, number - self._start)
        left = (time.monotonic() - self._since) / done * (total - number)
        return Progress(stage="training", done=number, total=total, seconds_left=left)


def _key(options: LoopOptions, key: Mapping[str, Any], stack: ImageStack) -> dict[str, Any]:
    digest = hashlib.blake2b(stack.images.numpy().tobytes(), digest_size=8).hexdigest()
    own = {"steps": options.steps, "batch": options.batch, "mirror": options.mirror, "seed": options.seed}
    result: dict[str, Any] = json.loads(json.dumps({**own, **key, "images": digest}))
    return result


@dataclass(kw_only=True, eq=False)
class _Left:
    """The checkpoint of a training: weights, optimisers and random numbers, in one file."""

    run: ImageRun
    options: LoopOptions
    key: Mapping[str, Any]
    rng: torch.Generator
    _last: float = 0.0
    _has_failed: bool = False
    _own: OwnFolder | None = None

    def __post_init__(self) -> None:
        self._last = time.monotonic()
        self._own = None if self.options.checkpoint is None else OwnFolder(self.options.checkpoint)

    def take_back(self) -> _Place:
        """Return where to go on: at the beginning, or where the checkpoint stands."""
        folder = self.options.checkpoint
        if not self.options.resume:
            if self._own:
                self._own.claim(name="checkpoint")
            return _Place()
        if folder is None:
            raise InputError("`checkpoint` must name the folder to resume from, got None.")
        try:
            tensors, about = read_left(folder / _FILE)
            found = typed(about.get("key"), dict[str, Any])
        except Damaged as error:
            raise InputError(
                f"`checkpoint` must be the folder of an interrupted training, got {folder}, where no readable {_FILE} "
                "lies. Train without resuming."
            ) from error
        other = sorted(name for name in {*found, *self.key} if found.get(name) != self.key.get(name))
        if other:
            raise InputError(
                f"the checkpoint in {folder} was left by another training: its {other[0]} is "
                f"{found.get(other[0])!r}, this one's is {self.key.get(other[0])!r}. Use the same data and "
                "options, or train without resuming."
            )
        with going_on_from(folder):
            self.rng.set_state(tensors.pop("rng"))
            for name, optimizer in self.run.optimizers.items():
                _load_optimizer(optimizer, name, tensors)
            self.run.load_state(_under("run.", tensors))
            return typed(about["place"], _Place)

    def write_when_due(self, place: _Place) -> None:
        """Write now and then; remove everything at the end."""
        if self._own is None:
            return
        if place.number >= self.options.steps:
            self._own.remove()
        elif time.monotonic() - self._last >= self.options.every:
            self.write(place)

    def write(self, place: _Place) -> None:
        """Write the checkpoint, whole or not at all; a full disk is said once and the training goes on."""
        if self._own is None or self._has_failed:
            return
        tensors = {f"run.{name}": value for name, value in self.run.state().items()}
        for name, optimizer in self.run.optimizers.items():
            tensors |= dict(_optimizer_tensors(optimizer, name))
        tensors["rng"] = self.rng.get_state()
        about = json.dumps({"key": self.key, "place": vars(place)})
        data = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
        try:
            self._own.write(_FILE, save(data, metadata={"about": about}))
        except StorageError as error:
            self._has_failed = True
            warnings.warn(f"No further checkpoints of this training will be written: {error}", stacklevel=2)
        self._last = time.monotonic()


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _optimizer_tensors(optimizer: torch.optim.Optimizer, name: str) -> Iterator[tuple[str, Tensor]]:
    for index, state in optimizer.state_dict()["state"].items():
        for key, value in state.items():
            yield f"optimizer.{name}.{index}.{key}", torch.as_tensor(value)


def _load_optimizer(optimizer: torch.optim.Optimizer, name: str, tensors: Mapping[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for path, value in tensors.items():
        if path.startswith(f"optimizer.{name}."):
            index, key = path.removeprefix(f"optimizer.{name}.").split(".")
            state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
