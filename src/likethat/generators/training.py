"""The loop that trains a small network: averaged weights, early stopping, checkpoints, exact resuming."""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from jaxtyping import Int
from torch import Tensor, nn

from likethat._checkpoint import EVERY, Checkpoint
from likethat._checks import check_count, check_seed
from likethat._documents import typed
from likethat._progress import Watcher
from likethat._status import Reason, Status, ended
from likethat.errors import NonFiniteError
from likethat.generators.checkpoint import TrainingCheckpoint, load_optimizer, optimizer_tensors
from likethat.generators.latents import under

Loss: TypeAlias = Callable[[Int[Tensor, " batch"], float, torch.Generator], Tensor]
"""(rows of the batch, share of the steps done, random numbers of this step) -> the loss, a scalar."""


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
        checkpoint: folder to leave unfinished work in, until its result is saved; None for none.
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
    every: float = EVERY

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "look_every", "patience"):
            check_count(getattr(self, name), name=name)
        check_seed(self.seed)


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """How a training went.

    Attributes:
        loss: the held-out loss of the weights that are kept.
        untrained: the held-out loss before the first step.
        steps: done until then and beyond.
        has_stopped_early: whether the held-out loss stopped falling before the last step.
        checkpoint: of the training; it goes when what was trained is saved.
    """

    loss: float
    untrained: float
    steps: int
    has_stopped_early: bool
    checkpoint: Checkpoint | None

    def status(self, *, more: str) -> Status:
        """Return how it ended; `more` is the option that gives more steps."""
        if not self.loss < self.untrained:
            came = f"The loss on what was kept back, {self.loss:.3g}, is no lower than without training."
            return ended("generator", Reason.LITTLE_LEARNED, came=came, more=more)
        reason = Reason.REACHED if self.has_stopped_early else Reason.STEPS
        return ended("generator", reason, reached=True, steps=self.steps, more=more)


def ended_in_words(status: Status) -> dict[str, str]:
    """Return how a training ended as a card tells it."""
    return {"ended": str(status.reason)} | ({"advice": status.advice} if status.advice else {})


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
    own = {name: getattr(options, name) for name in ("steps", "batch", "learning_rate", "seed")}
    checkpoint = TrainingCheckpoint(options.checkpoint, key={**own, **key}, resume=options.resume, every=options.every)
    run = _Run(module, loss, held_out, n_rows=n_rows, options=options)
    untrained = run.look()
    checkpoint.carry(run, steps=options.steps, watch=watch)
    module.load_state_dict(run.best)
    module.eval()
    is_early = run.step < options.steps
    return Fitted(
        loss=run.lowest,
        untrained=untrained,
        steps=run.step,
        has_stopped_early=is_early,
        checkpoint=checkpoint.checkpoint,
    )


def rows_of_step(step: int, n_rows: int, *, batch: int, seed: int) -> Int[Tensor, " batch"]:
    """Return the rows of a step: every row once an epoch, in an order of the seed."""
    batch = min(batch, n_rows)
    epoch, place = divmod(step, n_rows // batch)
    order = torch.randperm(n_rows, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch + 500_009))
    return order[place * batch : (place + 1) * batch]


def rng_of_step(step: int, *, seed: int) -> torch.Generator:
    """Return the random numbers of a step; they follow from the seed alone, so that a checkpoint need not hold them."""
    return torch.Generator().manual_seed(seed * 1_000_003 + step)


class _Run:
    """A training as it stands: weights, their average, the best of it, the optimiser, and three plain numbers.

    The order of an epoch and the random numbers of a step follow from the seed and the step alone, so there is no state
    of random numbers to keep.
    """

    def __init__(
        self,
        module: nn.Module,
        loss: Loss,
        held_out: Callable[[], float],
        *,
        n_rows: int,
        options: TrainingOptions,
    ) -> None:
        self.module, self.options, self.n_rows = module.train(), options, n_rows
        self.loss, self.held_out = loss, held_out
        self.optimizer = torch.optim.AdamW(
            module.parameters(), lr=options.learning_rate, betas=(0.9, 0.99), weight_decay=options.weight_decay
        )
        self.average = {name: value.detach().clone() for name, value in module.state_dict().items()}
        self.best = copy.deepcopy(self.average)
        self.step, self.stale, self.lowest = 0, 0, math.inf

    @property
    def is_done(self) -> bool:
        """Whether all steps are done, or the held-out loss has stopped falling."""
        return self.step >= self.options.steps or self.stale >= self.options.patience

    def advance(self) -> None:
        """Take a step, and now and then a look."""
        self._learn()
        if self.step % self.options.look_every == 0 or self.step == self.options.steps:
            self._look()

    def _learn(self) -> None:
        options = self.options
        share = self.step / options.steps
        for group in self.optimizer.param_groups:
            group["lr"] = options.learning_rate * min(1.0, (1 + self.step) / 50) * 0.5 * (1 + math.cos(math.pi * share))
        rows = rows_of_step(self.step, self.n_rows, batch=options.batch, seed=options.seed)
        value = self.loss(rows, share, rng_of_step(self.step, seed=options.seed))
        if not bool(torch.isfinite(value)):
            raise NonFiniteError(
                f"the loss must stay finite, got {float(value)} at step {self.step + 1}. Train with a smaller "
                "learning_rate, or look for extreme values in the data."
            )
        self.optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(self.module.parameters(), options.clip)
        self.optimizer.step()
        self.step += 1
        weight = 1 - min(options.average, self.step / (9 + self.step))
        state = self.module.state_dict()
        torch._foreach_lerp_(list(self.average.values()), [state[name] for name in self.average], weight)

    def look(self) -> float:
        """Return the held-out loss of the averaged weights."""
        own = {name: value.detach().clone() for name, value in self.module.state_dict().items()}
        self.module.load_state_dict(self.average)
        self.module.eval()
        with torch.no_grad():
            loss = self.held_out()
        self.module.load_state_dict(own)
        self.module.train()
        return loss

    def _look(self) -> None:
        """Keep the averaged weights where they are the best so far."""
        loss = self.look()
        self.stale += 1
        if loss < self.lowest:
            self.lowest, self.stale, self.best = loss, 0, copy.deepcopy(self.average)

    def tensors(self) -> dict[str, Tensor]:
        """Return weights, average, best and moments, for a checkpoint."""
        parts = {"module": self.module.state_dict(), "average": self.average, "best": self.best}
        named = {f"{part}.{name}": value for part, state in parts.items() for name, value in state.items()}
        return named | optimizer_tensors(self.optimizer, "optimizer.")

    def numbers(self) -> dict[str, Any]:
        """Return how far it is and how well it does, for a checkpoint."""
        return {"step": self.step, "stale": self.stale, "lowest": self.lowest}

    def load(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.module.load_state_dict(under("module.", tensors))
        self.average, self.best = under("average.", tensors), under("best.", tensors)
        load_optimizer(self.optimizer, tensors, "optimizer.")
        self.step, self.stale = typed(numbers["step"], int), typed(numbers["stale"], int)
        self.lowest = typed(numbers["lowest"], float)
