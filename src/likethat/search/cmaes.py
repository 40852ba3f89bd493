"""Covariance matrix adaptation, by the `cma` library."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from likethat._checks import check_choice, require
from likethat.search.base import Problem, Search
from likethat.search.whitening import Whitening

_FULL_UP_TO = 64  # dimensions: beyond, a full covariance learns too slowly for the budgets of queries


@dataclass(frozen=True, kw_only=True)
class CMAES:
    """Adapt a Gaussian to where the fitness rises, in latents whitened by the prior.

    Args:
        sigma: first step, in standard deviations of the prior.
        population: latents a generation; None for 4 + 3 log(dim).
        covariance: "full", "diagonal", or "auto": full up to 64 dimensions.
        n_screen: prior samples asked first; the search starts at the best of them.

    Source:
        Hansen (2016), arXiv 1604.00772, by the library `cma`; separable form: Ros and Hansen (2008).
    """

    sigma: float = 0.7
    population: int | None = None
    covariance: Literal["auto", "full", "diagonal"] = "auto"
    loss: str = "log"
    n_screen: int = 6

    def __post_init__(self) -> None:
        check_choice(self.covariance, name="covariance", choices=("auto", "full", "diagonal"))

    def begin(self, problem: Problem) -> Search:
        """Return a search of its own for a problem.

        Raises:
            MissingExtraError: `cma` is not installed.
        """
        return _Adaptation(problem, self)


class _Adaptation(Search):
    def __init__(self, problem: Problem, options: CMAES) -> None:
        super().__init__(problem.prior.dim)
        self._options, self._rng = options, problem.rng
        self._cma = require("cma", purpose="CMA-ES")
        self._whitening = Whitening.of(problem.prior, problem.rng)
        self._made = self._started_at(_best(problem, self._whitening))

    def _started_at(self, start: Tensor) -> Any:
        diagonal = self._options.covariance == "diagonal" or (
            self._options.covariance == "auto" and self.dim > _FULL_UP_TO
        )
        settings: dict[str, Any] = {"verbose": -9, "seed": np.nan, "randn": self._noise, "CMA_diagonal": diagonal}
        settings["verb_log"] = 0
        if self._options.population is not None:
            settings["popsize"] = self._options.population
        return self._cma.CMAEvolutionStrategy(start.numpy(), self._options.sigma, settings)

    def _noise(self, *shape: int) -> Any:
        return torch.randn(*shape, generator=self._rng, dtype=torch.float32).double().numpy()

    def _propose(self) -> Tensor:
        if self._made.stop():  # converged: begin anew somewhere else
            self._made = self._started_at(torch.randn(self.dim, generator=self._rng, dtype=torch.float32).double())
        self._candidates = self._made.ask()
        return self._whitening.back(torch.from_numpy(np.stack(self._candidates)))

    def _learn(self, latents: Tensor, fitness: Tensor, responses: Tensor | None) -> None:  # noqa: ARG002
        self._made.tell(self._candidates, (-fitness).tolist())


def _best(problem: Problem, whitening: Whitening) -> Tensor:
    """Return the best known latent that is no find yet, else the middle of the prior; whitened."""
    new = problem.is_new(problem.known.latents)
    if not bool(new.any()):
        return torch.zeros(problem.prior.dim, dtype=torch.float32).double()
    known = problem.known.latents[new]
    fitness = problem.goal.fitness(problem.known.responses[new], loss="log")
    return whitening.to(known[fitness.argmax()][None])[0]
