"""One search from the first particle to the last query, whatever ends it."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from likethat.errors import LikethatError, TargetError
from likethat.explainers._freemcg_asking import Archive
from likethat.explainers._freemcg_samplers import paper_sampler
from likethat.explainers._freemcg_search import Plan, bring_nearer, reach
from likethat.explainers._freemcg_spaces import ImageSpace, Space

__all__ = ["Found", "Settings", "seek"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What was asked for.

    Attributes:
        rule: how particles are moved.
        n: different counterfactuals.
        budget: queries in all; None for no limit.
        n_particles: of a generation.
        n_steps: of the paper's sampler.
        confidence: probability of the target that is enough.
    """

    rule: str
    n: int
    budget: int | None
    n_particles: int
    n_steps: int
    confidence: float


@dataclass(frozen=True, kw_only=True)
class Found:
    """How a search ended; what it found lies in the archive.

    Attributes:
        mean_row: row of the mean of the particles that arrived; None where none did.
        wanted: margin that counts as arrived: that of the confidence, or less where the model never went so far.
        reason: "reached", "budget", "collapsed", or the sentence of what broke.
    """

    mean_row: int | None
    wanted: float
    reason: str


def seek(space: Space, archive: Archive, settings: Settings, *, rng: torch.Generator) -> Found:
    """Fill the archive; an error of the generator or the model ends the search, and what came before is kept."""
    mean_row, reason = None, "budget"
    try:
        if settings.rule == "kalman":
            mean_row, reason = _several(space, archive, settings, rng)
        else:
            mean_row = _as_published(space, archive, settings, rng)
    except LikethatError as error:
        if len(archive.distances) < 2:
            raise
        reason = str(error).rstrip(".")
    archive.until = None
    return Found(mean_row=mean_row, wanted=_wanted(archive, settings), reason=reason)


def _several(space: Space, archive: Archive, settings: Settings, rng: torch.Generator) -> tuple[int | None, str]:
    """Find one counterfactual after the other, each with its share of the budget."""
    mean_row, reason = None, "budget"
    assert settings.budget is not None
    for left in range(settings.n, 0, -1):
        before = archive.box.queries
        archive.until = before + (settings.budget - before) // left
        first = len(archive.distances)
        plan = Plan(
            n_particles=settings.n_particles,
            wanted=_margin(settings.confidence),
            halfway=before + round(0.75 * (archive.until - before)),
            n_generations=2 * math.ceil((archive.until - before) / settings.n_particles),
        )
        reason = reach(space, archive, plan, rng=rng)
        if mean_row is None and isinstance(space, ImageSpace):
            mean_row = _mean_of_arrived(archive, first, plan.wanted)
        if archive.nearest(plan.wanted) is not None:
            bring_nearer(space, archive, plan, rng=rng)
            row = archive.nearest(plan.wanted)
            archive.found += [] if row is None else [row]
    return mean_row, reason


def _margin(confidence: float) -> float:
    return math.log(confidence / (1 - confidence))


def _wanted(archive: Archive, settings: Settings) -> float:
    """Return the margin of the confidence asked for; half the largest one reached, where that was not."""
    wanted, reached = _margin(settings.confidence), float(archive.margins.max())
    return wanted if reached >= wanted or reached <= 0 else 0.5 * reached


def _mean_of_arrived(archive: Archive, first: int, wanted: float) -> int | None:
    """Ask for the mean of the particles that arrived; return its row."""
    rows = (archive.margins >= wanted).nonzero()[:, 0].tolist()
    points = [archive.point(row) for row in rows if row >= first and archive.points[row] is not None]
    if len(points) < 2:
        return None
    mean: Tensor = torch.stack(points).mean(dim=0, keepdim=True)
    return len(archive.distances) - 1 if len(archive.ask(mean, mean)) else None


def _as_published(space: Space, archive: Archive, settings: Settings, rng: torch.Generator) -> int | None:
    assert isinstance(space, ImageSpace)
    if archive.target is None:
        raise TargetError(f"`target` must be a class for rule={settings.rule!r}, got None.")
    mean = paper_sampler(
        space,
        archive,
        target=archive.target,
        rule="release" if settings.rule == "release" else "paper",
        n_particles=settings.n_particles,
        n_steps=settings.n_steps,
        rng=rng,
    )
    return None if mean is None or not len(archive.ask(mean, mean)) else len(archive.distances) - 1
