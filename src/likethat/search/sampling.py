"""The baseline: nothing but samples from the prior."""

from dataclasses import dataclass

from torch import Tensor

from likethat.search.base import Problem, Search


@dataclass(frozen=True, kw_only=True)
class PriorSampling:
    """Draw from the prior until something fits.

    Args:
        batch: latents asked at once.

    Example:
        >>> PriorSampling(batch=8).n_screen
        0
    """

    batch: int = 1
    loss: str = "log"
    n_screen: int = 0

    def begin(self, problem: Problem) -> Search:
        """Return a search of its own for a problem."""
        return _Sampling(problem, self.batch)


class _Sampling(Search):
    def __init__(self, problem: Problem, batch: int) -> None:
        super().__init__(problem.prior.dim)
        self._problem, self._batch = problem, batch

    def _propose(self) -> Tensor:
        return self._problem.prior.sample(self._batch, rng=self._problem.rng)

    def _learn(self, latents: Tensor, fitness: Tensor, responses: Tensor | None) -> None:
        pass  # nothing is learned: that is the point of a baseline
