"""The evolution strategy with momentum of the exemplars paper."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from likethat._checks import check_choice, check_count
from likethat.errors import InputError
from likethat.search.base import Problem, Search


@dataclass(frozen=True, kw_only=True)
class Evolution:
    """Keep the best, let each make two children one noisy step away, carried on by its parent's last step.

    Args:
        population: latents of the first generation.
        elites: how many survive; each has two children.
        momentum: share of the parent's velocity in the child's; the rest is noise.
        sigma: standard deviation of the noise.
        start: "uniform" draws the first generation from U(-5, 5), as the paper; "prior" from the prior; "known" begins
            with children of the best that are known, where there are any.
        loss: "squared", as the paper, or "log".

    Source:
        Barbalau et al. (2020), arXiv 2006.03896, section 3: 50 latents from U(-5, 5); the 10 of lowest loss make two
        children each, velocity = 0.3 * parent's velocity + 0.7 * N(0, 0.5^2 I) (in the first generation the noise
        alone); population = elites and children. For tables and texts: sigma 1, no momentum, populations of 30, 256.

    Differs:
        Elites keep the fitness they have, where the authors' code asks the model for it again in each generation.
        Which member must be good enough to stop (theirs: the worst) is for the loop that asks.

    Example:
        >>> Evolution().population, Evolution().momentum
        (50, 0.3)
    """

    population: int = 50
    elites: int = 10
    momentum: float = 0.3
    sigma: float = 0.5
    start: Literal["uniform", "prior", "known"] = "uniform"
    loss: str = "squared"
    n_screen: int = 0

    def __post_init__(self) -> None:
        check_count(self.elites, name="elites")
        check_count(self.population, name="population", minimum=self.elites)
        check_choice(self.start, name="start", choices=("uniform", "prior", "known"))
        if not 0 <= self.momentum < 1:
            raise InputError(f"`momentum` must be from 0 to below 1, got {self.momentum}.")

    def begin(self, problem: Problem) -> "EvolutionSearch":
        """Return a search of its own for a problem."""
        return EvolutionSearch(problem, self)


class EvolutionSearch(Search):
    """The strategy under way.

    Attributes:
        latents: (member, dim) the population told of so far: elites first, then their children.
        fitness: (member,) theirs.
    """

    def __init__(self, problem: Problem, options: Evolution) -> None:
        super().__init__(problem.prior.dim)
        self._problem, self._options = problem, options
        self.latents = torch.zeros(0, self.dim, dtype=torch.float32).double()
        self.fitness = torch.zeros(0, dtype=torch.float32).double()
        self._velocity = torch.zeros(0, self.dim, dtype=torch.float32).double()
        if options.start == "known" and len(problem.known):
            self.latents = problem.known.latents
            self.fitness = problem.goal.fitness(problem.known.responses, loss=options.loss)
            self._velocity = torch.zeros_like(self.latents)

    def _propose(self) -> Tensor:
        options, rng = self._options, self._problem.rng
        if not len(self.latents):
            self._coming = torch.zeros(options.population, self.dim, dtype=torch.float32).double()
            if options.start != "uniform":
                return self._problem.prior.sample(options.population, rng=rng)
            return torch.rand(options.population, self.dim, generator=rng, dtype=torch.float32) * 10 - 5
        best = self.fitness.argsort(descending=True, stable=True)[: options.elites]
        self.latents, self.fitness, self._velocity = self.latents[best], self.fitness[best], self._velocity[best]
        noise = options.sigma * torch.randn(2 * len(best), self.dim, generator=rng, dtype=torch.float32).double()
        carried = self._velocity.repeat_interleave(2, 0)
        has_moved = (carried != 0).any(1, keepdim=True)
        self._coming = torch.where(has_moved, options.momentum * carried + (1 - options.momentum) * noise, noise)
        return self.latents.repeat_interleave(2, 0) + self._coming

    def _learn(self, latents: Tensor, fitness: Tensor, responses: Tensor | None) -> None:  # noqa: ARG002
        self.latents = torch.cat([self.latents, latents])
        self.fitness = torch.cat([self.fitness, fitness])
        self._velocity = torch.cat([self._velocity, self._coming])
