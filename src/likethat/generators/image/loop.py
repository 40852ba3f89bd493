"""The loop that trains an image network: held-out loss, early stopping, checkpoints, exact resuming."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from jaxtyping import Int
from torch import Tensor

from likethat._checkpoint import EVERY
from likethat._documents import typed
from likethat._progress import Watcher
from likethat.errors import NonFiniteError
from likethat.generators.checkpoint import TrainingCheckpoint, load_optimizer, optimizer_tensors
from likethat.generators.image.data import ImageStack
from likethat.generators.latents import under
from likethat.generators.training import Fitted, rng_of_step, rows_of_step


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
        checkpoint: folder to leave unfinished work in, until its result is saved; None for none.
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
    every: float = EVERY


@dataclass(kw_only=True)
class _Place:
    """Where the loop stands, as plain numbers."""

    number: int = 0
    best: float = math.inf
    stale: int = 0
    is_last: bool = False


def train_run(
    run: ImageRun, stack: ImageStack, options: LoopOptions, *, key: Mapping[str, Any], watch: Watcher | None
) -> Fitted:
    """Train to the end, or until the held-out loss stops falling; the loss returned is the last held-out one.

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
    key = {**_key(options, stack), **key}
    checkpoint = TrainingCheckpoint(options.checkpoint, key=key, resume=options.resume, every=options.every)
    training = _Training(run, stack, options)
    untrained = run.held_out_loss(training.held_out)
    checkpoint.carry(training, steps=options.steps, watch=watch)
    return Fitted(
        loss=run.held_out_loss(training.held_out),
        untrained=untrained,
        steps=training.step,
        has_stopped_early=training.place.is_last,
        checkpoint=checkpoint.checkpoint,
    )


def _key(options: LoopOptions, stack: ImageStack) -> dict[str, Any]:
    digest = hashlib.blake2b(stack.images.numpy().tobytes(), digest_size=8).hexdigest()
    own = {name: getattr(options, name) for name in ("steps", "batch", "mirror", "seed")}
    return {**own, "images": digest}


def kept_apart(n: int, *, seed: int) -> tuple[Int[Tensor, " some"], Int[Tensor, " rest"]]:
    """Return which images are held out, a twentieth and at most 256, and which are learned from."""
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    n_held_out = min(256, max(4, n // 20))
    return order[:n_held_out], order[n_held_out:]


class _Training:
    """Networks, images, and where the training of the ones on the others stands."""

    def __init__(self, run: ImageRun, stack: ImageStack, options: LoopOptions) -> None:
        self.run, self.stack, self.options, self.place = run, stack, options, _Place()
        held_out, self.learned = kept_apart(len(stack), seed=options.seed)
        self.held_out = stack.batch(held_out)

    @property
    def step(self) -> int:
        """How many steps are done, those that were left out included."""
        return self.place.number

    @property
    def is_done(self) -> bool:
        """Whether all steps are."""
        return self.step >= self.options.steps

    def advance(self) -> None:
        """Take a step, and now and then a look."""
        options, number = self.options, self.step
        rows = self.learned[rows_of_step(number, len(self.learned), batch=options.batch, seed=options.seed)]
        rng = rng_of_step(number, seed=options.seed)
        mirrored = torch.rand(len(rows), generator=rng, dtype=torch.float32) < 0.5 if options.mirror else None
        loss = self.run.step(self.stack.batch(rows, mirrored=mirrored), number, rng)
        if not math.isfinite(loss):
            raise NonFiniteError(
                f"the loss became {loss} at step {number + 1}; the weights are lost. Train with a smaller "
                "learning_rate."
            )
        self.place.number += 1
        if self.step % max(20, options.steps // 40) == 0:
            self._look()

    def _look(self) -> None:
        """Note a held-out loss; jump to the last phase when it has stopped falling."""
        place, loss = self.place, self.run.held_out_loss(self.held_out)
        place.stale = 0 if loss < place.best else place.stale + 1
        place.best = min(place.best, loss)
        if place.stale >= self.options.patience and not place.is_last:
            place.is_last = True
            place.number = max(place.number, self.options.last_phase)

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights and what the optimisers have gathered, for a checkpoint."""
        tensors = {f"run.{name}": value for name, value in self.run.state().items()}
        for name, optimizer in self.run.optimizers.items():
            tensors |= optimizer_tensors(optimizer, f"optimizer.{name}.")
        return tensors

    def numbers(self) -> dict[str, Any]:
        """Return the place, for a checkpoint."""
        return dict(vars(self.place))

    def load(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.run.load_state(under("run.", tensors))
        for name, optimizer in self.run.optimizers.items():
            load_optimizer(optimizer, tensors, f"optimizer.{name}.")
        self.place = typed(numbers, _Place)
