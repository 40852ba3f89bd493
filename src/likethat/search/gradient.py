"""Ascent along the gradient, where generator and model have one."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from likethat.search.base import Problem, Search
from likethat.search.whitening import Whitening


@dataclass(frozen=True, kw_only=True, eq=False)
class GradientAscent:
    """Climb the fitness and the prior's log-density together, by Adam in whitened latents.

    Args:
        fitness_gradient: latents (n, dim) and the problem's goal to (n, dim), the gradient of the fitness of each row.
        step: of Adam, in standard deviations of the prior.
        prior_weight: of the log-density's gradient against the fitness's.
        starts: latents climbing side by side, from prior samples or the best known.

    Source:
        Barbalau et al. (2020), arXiv 2006.03896, section 4: the baseline, gradient descent with momentum through the
        model.

    Differs:
        Adam instead of plain momentum; the prior's density is climbed too, or latents leave where the generator was
        trained. A gradient counts as no query; each latent tried does.
    """

    fitness_gradient: Callable[[Tensor, object], Tensor] = field(repr=False)
    step: float = 0.15
    prior_weight: float = 0.05
    starts: int = 1
    loss: str = "log"
    n_screen: int = 4

    def begin(self, problem: Problem) -> Search:
        """Return a search of its own for a problem."""
        return _Ascent(problem, self)


class _Ascent(Search):
    def __init__(self, problem: Problem, options: GradientAscent) -> None:
        super().__init__(problem.prior.dim)
        self._problem, self._options = problem, options
        self._whitening = Whitening.of(problem.prior, problem.rng)
        self._at = self._starts()
        self._first = torch.zeros_like(self._at)
        self._second = torch.zeros_like(self._at)
        self._steps = 0

    def _starts(self) -> Float[Tensor, "n dim"]:
        problem, n = self._problem, self._options.starts
        rows = problem.is_new(problem.known.latents).nonzero()[:, 0]
        known = problem.known.latents[rows]
        if len(known):
            fitness = problem.goal.fitness(problem.known.responses[rows], loss="log")
            known = known[fitness.argsort(descending=True, stable=True)[:n]]
        return torch.cat([known, problem.prior.sample(n - len(known), rng=problem.rng).double()])

    def _propose(self) -> Tensor:
        return self._at

    def _learn(self, latents: Tensor, fitness: Tensor, responses: Tensor | None) -> None:  # noqa: ARG002
        options, scale = self._options, self._whitening.scale
        asked = latents.detach().clone().requires_grad_(True)
        (prior,) = torch.autograd.grad(self._problem.prior.log_prob(asked).sum(), asked)
        gradient = options.fitness_gradient(latents, self._problem.goal).double()
        gradient = torch.nan_to_num(gradient + options.prior_weight * prior) * scale
        self._steps += 1
        self._first = 0.9 * self._first + 0.1 * gradient
        self._second = 0.99 * self._second + 0.01 * gradient**2
        first, second = self._first / (1 - 0.9**self._steps), self._second / (1 - 0.99**self._steps)
        self._at = latents + options.step * scale * first / (second.sqrt() + 1e-8)
