"""A Gaussian process of the model's answers, and what to ask next by it."""

import itertools
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from likethat._checks import check_count
from likethat.errors import InputError
from likethat.functional.fitness import from_log_scale, to_log_scale
from likethat.search.base import Known, Problem, Search
from likethat.search.candidates import Candidates
from likethat.search.gaussian_process import GaussianProcess, fit_gaussian_process

_STEPS = (0.6, 0.35, 0.2)  # of candidates that are moved, in standard deviations: from far to near
_KEPT, _CHILDREN = 40, 6  # best candidates that are moved, and how often each
_MOST_OBSERVATIONS = 400  # a Gaussian process's cost grows with their cube


@dataclass(frozen=True, kw_only=True)
class Surrogate:
    """Model all classes' log-probabilities over latents by one Gaussian process, and ask where it promises most.

    The process is composite: the *responses* are modelled, the goal is computed on samples of its posterior. So every
    answer serves every class, and a boundary between two classes is no harder to state than one class.

    Args:
        batch: latents asked at once; 1 spends the fewest queries, more the fewest seconds.
        n_screen: prior samples asked before there is a process.
        candidates: prior samples looked at for each batch; the model is not asked about them.
        samples: drawn from the posterior for each candidate.
        typical: share of prior samples that are too untypical to be candidates.

    Source:
        Astudillo and Frazier (2019), arXiv 1906.01537: Bayesian optimisation of composite functions. Thompson (1933);
        candidates from the prior as in Eriksson et al. (2019), arXiv 1910.01739.

    Differs:
        From Thompson sampling: of all samples of the posterior, the share that reach the goal decides, and where
        none does, the best of them. Candidates are then moved uphill a few small steps that stay typical.
    """

    batch: int = 1
    n_screen: int = 6
    candidates: int = 400
    samples: int = 24
    typical: float = 0.25
    loss: str = "log"

    def __post_init__(self) -> None:
        for name in ("batch", "n_screen", "samples"):
            check_count(getattr(self, name), name=name)
        check_count(self.candidates, name="candidates", minimum=10)
        if not 0 <= self.typical <= 0.9:
            raise InputError(f"`typical` must be from 0 to 0.9, got {self.typical}.")

    def begin(self, problem: Problem) -> Search:
        """Return a search of its own for a problem."""
        return _Modelled(problem, self)


class _Modelled(Search):
    def __init__(self, problem: Problem, options: Surrogate) -> None:
        super().__init__(problem.prior.dim)
        self._problem, self._options = problem, options
        self._make = Candidates.of(problem.prior, problem.rng, typical=options.typical)
        self._known = problem.known
        self._process: GaussianProcess | None = None
        self._n_chosen_at = 0

    def _propose(self) -> Tensor:
        missing = self._options.n_screen - len(self._known)
        if missing > 0 or len(self._known) < 2:
            n = min(self._options.batch, max(missing, 1))
            return self._problem.prior.sample(n, rng=self._problem.rng)
        process = self._fitted()
        candidates = self._new(self._first_candidates())
        score = self._score(process, candidates)
        for step in _STEPS:
            best = score.topk(min(_KEPT, len(score))).indices
            moved = self._new(self._make.near(candidates[best], step=step, each=_CHILDREN))
            candidates = torch.cat([candidates[best], moved])
            score = torch.cat([score[best], self._score(process, moved)])
        chosen = score.topk(min(self._options.batch, len(score))).indices
        return self._make.whitening.back(candidates[chosen])

    def _learn(self, latents: Tensor, fitness: Tensor, responses: Tensor | None) -> None:  # noqa: ARG002
        if responses is None:
            raise InputError("`responses` must be told too: this search models them, got the fitness alone.")
        self._known = self._known.joined(latents, responses)

    def _fitted(self) -> GaussianProcess:
        known = self._nearest()
        points = self._make.whitening.to(known.latents)
        old = self._process
        if old is None or len(known) >= 1.1 * self._n_chosen_at:  # length and noise hardly change with one answer more
            process = fit_gaussian_process(points, to_log_scale(known.responses))
            self._n_chosen_at = len(known)
        else:
            process = fit_gaussian_process(
                points, to_log_scale(known.responses), lengths=(old.length,), noises=(old.noise,)
            )
        self._process = process
        return process

    def _nearest(self) -> Known:
        """Return what is known, or the part nearest the goal where that is more than a process can take."""
        known = self._known
        if len(known) <= _MOST_OBSERVATIONS:
            return known
        rows = self._problem.goal.shortfall(known.responses).argsort(stable=True)[:_MOST_OBSERVATIONS]
        return Known(latents=known.latents[rows], responses=known.responses[rows])

    def _first_candidates(self) -> Float[Tensor, "n dim"]:
        goal, known, make = self._problem.goal, self._known, self._make
        points = make.whitening.to(known.latents)
        best = goal.shortfall(known.responses).argsort(stable=True)[:3]
        parts = [make.fresh(self._options.candidates), make.near(points[best], step=0.3, each=20)]
        for first, second in itertools.combinations(goal.poles[:4], 2):
            ends = [known.responses[:, pole].argsort(descending=True, stable=True)[:4] for pole in (first, second)]
            parts.append(make.between(points[ends[0]], points[ends[1]], self._options.candidates // 2))
        return torch.cat(parts)

    def _new(self, candidates: Float[Tensor, "n dim"]) -> Float[Tensor, "m dim"]:
        """Drop candidates too close to earlier finds; where all are, keep all."""
        new = self._problem.is_new(self._make.whitening.back(candidates))
        return candidates[new] if bool(new.any()) else candidates

    def _score(self, process: GaussianProcess, candidates: Float[Tensor, "n dim"]) -> Float[Tensor, " n"]:
        drawn = process.posterior(candidates).sample(self._options.samples, rng=self._problem.rng)
        shortfall = self._problem.goal.shortfall(from_log_scale(drawn)).nan_to_num(nan=1e12)
        return (shortfall <= 0).double().mean(0) - 0.05 * shortfall.amin(0)
