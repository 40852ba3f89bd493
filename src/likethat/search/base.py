"""What a search draws from, what it looks for, and how it is asked and told."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from likethat.errors import InputError


class Prior(Protocol):
    """A density over latents that can be sampled and scored."""

    @property
    def dim(self) -> int:
        """Number of latent dimensions."""
        ...

    def sample(self, n: int, *, rng: torch.Generator) -> Float[Tensor, "n dim"]:
        """Draw `n` latents, float32 on the CPU."""
        ...

    def log_prob(self, latents: Float[Tensor, "n dim"]) -> Float[Tensor, " n"]:
        """Return the log-density of each latent, in nats; differentiable."""
        ...


class Goal(Protocol):
    """What a search looks for, as a function of responses alone."""

    @property
    def poles(self) -> tuple[int, ...]:
        """Columns of the responses between which the goal lies; fewer than two where it lies between none."""
        ...

    def shortfall(self, responses: Float[Tensor, "*n cls"]) -> Float[Tensor, " *n"]:
        """Return how much misses; 0 or less is reached."""
        ...

    def fitness(self, responses: Float[Tensor, "*n cls"], *, loss: str) -> Float[Tensor, " *n"]:
        """Return a fitness, higher is better, by a loss: "log" or "squared"."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Known:
    """What was asked before a search begins.

    Attributes:
        latents: (n, dim), float64.
        responses: (n, cls), float64; row *i* belongs to row *i*.
    """

    latents: Float[Tensor, "n dim"]
    responses: Float[Tensor, "n cls"]

    def __len__(self) -> int:
        return len(self.latents)

    def joined(self, latents: Tensor, responses: Tensor) -> "Known":
        """Return this with further rows behind it."""
        if not len(self):
            return Known(latents=latents.double(), responses=responses.double())
        return Known(
            latents=torch.cat([self.latents, latents.double()]),
            responses=torch.cat([self.responses, responses.double()]),
        )

    @classmethod
    def nothing(cls, dim: int) -> "Known":
        """Return no rows at all."""
        return cls(
            latents=torch.zeros(0, dim, dtype=torch.float32).double(),
            responses=torch.zeros(0, 0, dtype=torch.float32).double(),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """One search: where, for what, and what is known already.

    Attributes:
        prior: where typical latents lie.
        goal: what is looked for.
        rng: the only source of chance.
        known: what was asked before.
        avoid: (m, dim) latents that were found already.
        radius: how far a new find must lie from them to be another one.
    """

    prior: Prior
    goal: Goal
    rng: torch.Generator
    known: Known
    avoid: Float[Tensor, "m dim"] = field(default_factory=lambda: torch.zeros(0, 0, dtype=torch.float32).double())
    radius: float = 0.0

    def is_new(self, latents: Float[Tensor, "n dim"]) -> Tensor:
        """Return which latents keep their distance from what was found."""
        if not len(self.avoid):
            return torch.ones(len(latents), dtype=torch.bool)
        return (torch.cdist(latents.double(), self.avoid) >= self.radius).all(1)


class Search(ABC):
    """A search under way: ask for latents, tell what came of them, in turn.

    Args:
        dim: length of a latent.
    """

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self._asked: Tensor | None = None

    def ask(self) -> Float[Tensor, "n dim"]:
        """Return latents to try, float64.

        Raises:
            InputError: the last ones were not told of yet.
        """
        if self._asked is not None:
            raise InputError(
                f"`tell` must follow `ask`, got a second ask. Tell the fitness of the {len(self._asked)} latents first."
            )
        self._asked = self._propose().double()
        return self._asked

    def tell(self, fitness: Float[Tensor, " n"], responses: Float[Tensor, "n cls"] | None = None) -> None:
        """Say what came of the latents asked for; row *i* belongs to row *i*.

        Args:
            fitness: higher is better.
            responses: what the fitness was computed from; needed by searches that model it.

        Raises:
            InputError: nothing was asked for.
            InputError: another number of rows, or NaN.
        """
        if self._asked is None:
            raise InputError("`tell` must follow `ask`, got a tell first. Call ask() for latents to try.")
        _check_rows(fitness, len(self._asked), "fitness", ndim=1)
        if responses is not None:
            _check_rows(responses, len(self._asked), "responses", ndim=2)
        latents, self._asked = self._asked, None
        self._learn(latents, fitness.double(), None if responses is None else responses.double())

    @abstractmethod
    def _propose(self) -> Tensor:
        """Return latents to try."""

    @abstractmethod
    def _learn(self, latents: Tensor, fitness: Tensor, responses: Tensor | None) -> None:
        """Take in what came of them."""


class Strategy(Protocol):
    """The options of a search; `begin` makes the search itself."""

    @property
    def loss(self) -> str:
        """The loss its fitness comes from: "log" or "squared"."""
        ...

    @property
    def n_screen(self) -> int:
        """Prior samples it wants known before it begins."""
        ...

    def begin(self, problem: Problem) -> Search:
        """Return a search of its own for a problem."""
        ...


def _check_rows(values: Tensor, n: int, name: str, *, ndim: int) -> None:
    expected = "(n,)" if ndim == 1 else "(n, class)"
    if values.ndim != ndim or len(values) != n:
        raise InputError(f"`{name}` must be {expected} with n = {n}, as asked for, got shape {tuple(values.shape)}.")
    if not bool(torch.isfinite(values).all()):
        raise InputError(f"`{name}` must be finite, got NaN or infinity. Give what failed a low fitness.")
