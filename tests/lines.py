"""A generator of single numbers, models that read them, and a strategy that asks what it is told to."""

from typing import Any

import torch
from torch import Tensor

from likethat._progress import Progress
from likethat.explainers.exemplars.asking import Asker
from likethat.explainers.exemplars.loop import Finds
from likethat.explainers.exemplars.target import Aim
from likethat.generators.priors import StandardNormal
from likethat.models.black_box import BlackBox
from likethat.search import HighResponse, Problem, Search

NAMES = ("ant", "bee", "cat")


class Line:
    """Latents as pictures of one pixel: the first number of each, between 0 and 1."""

    kind, differentiable = "image", True

    def __init__(self, dim: int = 1) -> None:
        self.prior, self.asked = StandardNormal(dim), []  # type: ignore[var-annotated]

    def __call__(self, latents: Tensor) -> Tensor:
        self.asked.append(len(latents))
        return latents[:, :1].sigmoid().reshape(-1, 1, 1, 1)


def bright(images: Tensor) -> Tensor:
    p = images.flatten(1)[:, :1]
    return torch.cat([1 - p, p], 1)


def finds_of(values: list[float], *, n: int, radius: float, names: list[str] | None = None, **options: Any) -> Finds:
    """Return finds among latents whose answers are given; a value of at least .5 will do."""
    generator = Line()
    asker = Asker(generator, BlackBox(bright, class_names=NAMES[:2], check_determinism=False))
    take_in(asker, list(range(len(values))), values, names)
    goal = HighResponse(response=lambda responses: responses[:, 0], threshold=0.5)
    aim = Aim(goal=goal, index=-1, description="high", wanted=None, slack=0.0)
    return Finds(asker=asker, aim=aim, n=n, radius=radius, **options)


def take_in(asker: Asker, latents: list[float], values: list[float], names: list[str] | None = None) -> None:
    rows = torch.tensor(latents, dtype=torch.float64)[:, None]
    asker.known = asker.known.joined(rows, torch.tensor(values, dtype=torch.float64)[:, None])
    asker.digests = [*asker.digests, *(names or [str(value) for value in latents])]  # type: ignore[list-item]


class Fixed:
    """A strategy that asks what it is told to, and notes what it hears."""

    loss = "log"

    def __init__(self, latents: list[list[float]], *, n_screen: int = 0) -> None:
        self.latents, self.n_screen = latents, n_screen
        self.problems: list[Problem] = []
        self.told: list[tuple[Tensor, Tensor]] = []

    def begin(self, problem: Problem) -> Any:
        self.problems.append(problem)
        strategy = self

        class Under(Search):
            def _propose(self) -> Tensor:
                now = strategy.latents[min(len(strategy.told), len(strategy.latents) - 1)]
                return torch.tensor(now, dtype=torch.float64)[:, None]

            def _learn(self, latents: Tensor, fitness: Tensor, responses: Tensor | None) -> None:
                assert responses is not None
                strategy.told.append((fitness, responses))

        return Under(1)


class Once:
    """Raises the one interruption that a Ctrl-C is, at the n-th report."""

    def __init__(self, at: int) -> None:
        self.at, self.seen = at, 0

    def __call__(self, _: Progress) -> None:
        self.seen += 1
        if self.seen == self.at:
            raise KeyboardInterrupt
