"""The loop that trains a small network: averaged weights, early stopping, checkpoints, exact resuming."""

import copy
import json
import math
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from jaxtyping import Int
from safetensors.torch import save
from torch import Tensor, nn

from likethat._checks import check_count, check_seed
from likethat._documents import Damaged, going_on_from, typed
from likethat._files import OwnFolder
from likethat._progress import Progress, Watcher
from likethat._tensors import read_left
from likethat.errors import InputError, NonFiniteError, StorageError

__all__ = ["Fitted", "Loss", "TrainingOptions", "fit_network"]

Loss: TypeAlias = Callable[[Int[Tensor, " batch"], float, torch.Generator], Tensor]
"""(rows of the batch, share of the steps done, random numbers of this step) -> the loss, a scalar."""

_FILE = "training.safetensors"


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How to train, and what to leave on the way.

    Attributes:
        steps: at most.
        batch: rows a step; every row once an epoch, in an order of the seed.
        learning_rate: at its highest; it falls to 0 along a cosine.
        weight_decay: of AdamW.
        average: decay of the averaged weights, in [0, 1); the average is what is kept.
        clip: largest norm of a gradient.
        look_every: steps between two looks at the held-out loss.
        patience: looks without a fall before stopping.
        seed: of the order and of each step's random numbers.
        checkpoint: folder to leave unfinished work in, emptied at the end; None for none.
        resume: go on from there.
        every: seconds between two checkpoints.
    """

    steps: int
    batch: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    average: float = 0.99
    clip: float = 1.0
    look_every: int = 100
    patience: int = 10
    seed: int = 0
    checkpoint: Path | None = None
    resume: bool = False
    every: float = 30.0

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "look_every", "patience"):
            check_count(getattr(self, name), name=name)
        check_seed(self.seed)
        if self.resume and self.checkpoint is None:
            raise InputError("`checkpoint` must name the folder to resume from, got None.")


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """How a training went.

    Attributes:
        loss: the lowest held-out loss; its weights are the ones kept.
        steps: done until then and beyond.
        has_stopped_early: whether the held-out loss stopped falling before the last step.
    """

    loss: float
    steps: int
    has_stopped_early: bool


def fit_network(
    module: nn.Module,
    loss: Loss,
    *,
    held_out: Callable[[], float],
    n_rows: int,
    options: TrainingOptions,
    key: Mapping[str, Any],
    watch: Watcher | None = None,
) -> Fitted:
    """Train a module in place; it ends with the averaged weights of the lowest held-out loss, in evaluation mode.

    Args:
        module: the network; its loss may draw from the given random numbers only (no dropout layers).
        loss: of a batch.
        held_out: the loss of `module` as it stands on rows that are not learned from.
        n_rows: how many rows there are to learn from.
        options: how long and how fast.
        key: what makes two trainings the same, beside the options: a digest of the data, sizes. Plain JSON values.
        watch: called after every step.

    Raises:
        NonFiniteError: the loss became NaN or infinite.
        InputError: a checkpoint of another training.
    """
    run = _Run(module, options, key)
    run.take_back()
    clock, first = time.monotonic(), run.step
    try:
        while run.step < options.steps and run.stale < options.patience:
            run.learn(loss, n_rows)
            if run.step % options.look_every == 0 or run.step == options.steps:
                run.look(held_out)
            if watch:
                left = (time.monotonic() - clock) / (run.step - first) * (options.steps - run.step)
                watch(Progress(stage="training", done=run.step, total=options.steps, seconds_left=left))
            run.write_when_due()
    except KeyboardInterrupt:
        run.write()
        raise
    module.load_state_dict(run.best)
    module.eval()
    run.remove()
    return Fitted(loss=run.lowest, steps=run.step, has_stopped_early=run.step < options.steps)


class _Run:
    """A training as it stands: weights, their average, the best of it, the optimiser, and three plain numbers.

    The order of an epoch and the random numbers of a step follow from the seed and the step alone, so there is no state
    of random numbers to keep.
    """

    def __init__(self, module: nn.Module, options: TrainingOptions, key: Mapping[str, Any]) -> None:
        self.module, self.options = module.train(), options
        own = {name: getattr(options, name) for name in ("steps", "batch", "learning_rate", "seed")}
        self.key: dict[str, Any] = json.loads(json.dumps({**own, **key}))
        self.optimizer = torch.optim.AdamW(
            module.parameters(), lr=options.learning_rate, betas=(0.9, 0.99), weight_decay=options.weight_decay
        )
        self.average = {name: value.detach().clone() for name, value in module.state_dict().items()}
        self.best = copy.deepcopy(self.average)
        self.step, self.stale, self.lowest = 0, 0, math.inf
        self._own = None if options.checkpoint is None else OwnFolder(options.checkpoint)
        self._last, self._has_failed, self._is_whole = time.monotonic(), False, True

    def learn(self, loss: Loss, n_rows: int) -> None:
        """Take one step."""
        options = self.options
        share = self.step / options.steps
        for group in self.optimizer.param_groups:
            group["lr"] = options.learning_rate * min(1.0, (1 + self.step) / 50) * 0.5 * (1 + math.cos(math.pi * share))
        rng = torch.Generator().manual_seed(options.seed * 1_000_003 + self.step)
        value = loss(self._rows(n_rows), share, rng)
        if not bool(torch.isfinite(value)):
            raise NonFiniteError(
                f"the loss must stay finite, got {float(value)} at step {self.step + 1}. Train with a smaller "
                "learning_rate, or look for extreme values in the data."
            )
        self.optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(self.module.parameters(), options.clip)
        self._is_whole = False
        self.optimizer.step()
        self.step += 1
        weight = 1 - min(options.average, self.step / (9 + self.step))
        state = self.module.state_dict()
        torch._foreach_lerp_(list(self.average.values()), [state[name] for name in self.average], weight)
        self._is_whole = True

    def _rows(self, n_rows: int) -> Tensor:
        """Return the rows of a step: every row once an epoch, in an order of the seed."""
        batch = min(self.options.batch, n_rows)
        epoch, place = divmod(self.step, n_rows // batch)
        rng = torch.Generator().manual_seed(self.options.seed * 1_000_003 + epoch + 500_009)
        return torch.randperm(n_rows, generator=rng)[place * batch : (place + 1) * batch]

    def look(self, held_out: Callable[[], float]) -> None:
        """Measure the averaged weights; keep them where they are the best so far."""
        self._is_whole = False
        own = {name: value.detach().clone() for name, value in self.module.state_dict().items()}
        self.module.load_state_dict(self.average)
        self.module.eval()
        with torch.no_grad():
            loss = held_out()
        self.module.load_state_dict(own)
        self.module.train()
        self.stale += 1
        if loss < self.lowest:
            self.lowest, self.stale, self.best = loss, 0, copy.deepcopy(self.average)
        self._is_whole = True

    def take_back(self) -> None:
        """Go on where a checkpoint stands, if asked to."""
        folder = self.options.checkpoint
        if folder is None or self._own is None:
            return
        if not self.options.resume:
            self._own.claim(name="checkpoint")
            return
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
                f"the checkpoint in {folder} was left by another training: its {other[0]} is {found.get(other[0])!r}, "
                f"this one's is {self.key.get(other[0])!r}. Use the same data and options, or train without resuming."
            )
        with going_on_from(folder):
            self._take(tensors)
            self.step, self.stale = typed(about["step"], int), typed(about["stale"], int)
            self.lowest = float(about["lowest"])

    def _take(self, tensors: Mapping[str, Tensor]) -> None:
        self.module.load_state_dict(_under("module.", tensors))
        self.average, self.best = _under("average.", tensors), _under("best.", tensors)
        moments: dict[int, dict[str, Tensor]] = {}
        for path, value in _under("optimizer.", tensors).items():
            index, name = path.split(".")
            moments.setdefault(int(index), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})

    def write_when_due(self) -> None:
        """Leave a checkpoint now and then."""
        if time.monotonic() - self._last >= self.options.every:
            self.write()

    def write(self) -> None:
        """Leave a checkpoint, whole or not at all; a full disk is said once and the training goes on.

        Stopped in the middle of a change of the weights, it leaves the checkpoint before as it is.
        """
        if self._own is None or self._has_failed or not self._is_whole:
            return
        parts = {"module": self.module.state_dict(), "average": self.average, "best": self.best}
        tensors = {f"{part}.{name}": value for part, state in parts.items() for name, value in state.items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
        about = {"key": self.key, "step": self.step, "stale": self.stale, "lowest": str(self.lowest)}
        data = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
        try:
            self._own.write(_FILE, save(data, metadata={"about": json.dumps(about)}))
        except StorageError as error:
            self._has_failed = True
            warnings.warn(f"No further checkpoints of this training will be written: {error}", stacklevel=2)
        self._last = time.monotonic()

    def remove(self) -> None:
        """Remove what was left: the work is done."""
        if self._own:
            self._own.remove()


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
