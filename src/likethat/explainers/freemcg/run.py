"""One search from the first particle to the last query, whatever ends it."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import Tensor

from likethat._status import Reason
from likethat.errors import LikethatError
from likethat.explainers.freemcg.log import Archive
from likethat.explainers.freemcg.search import Plan, bring_nearer, reach
from likethat.explainers.freemcg.spaces import ImageSpace, Space

_DECIDED = 1e-6  # of a margin: on the wanted side
_MOST = 0.85  # of the largest margin met, where the one asked for never was: leaves room to come nearer


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What was asked for.

    Attributes:
        n: different counterfactuals.
        budget: queries in all; None for no limit.
        n_particles: of a generation.
        confidence: probability of the target that is enough; one half for the line that a number shall pass.
    """

    n: int
    budget: int | None
    n_particles: int
    confidence: float

    @property
    def margin(self) -> float:
        """The log odds of `confidence`; above 0, for at 0 nothing is decided."""
        return max(math.log(self.confidence / (1 - self.confidence)), _DECIDED)


@dataclass(frozen=True, kw_only=True)
class Found:
    """How a search ended; what it found lies in the archive.

    Attributes:
        mean_row: row of the mean of the particles that arrived; None where none did.
        target_margin: margin that counts as arrived: that of the confidence, or less where the model never went so far.
        reason: why it ended.
        error: the sentence of what broke, without its end; empty where nothing did.
    """

    mean_row: int | None
    target_margin: float
    reason: Reason = Reason.BUDGET
    error: str = ""


Search: TypeAlias = Callable[[Space, Archive, Settings, torch.Generator], Found]
"""Fills the archive until its budget ends, or it knows no better."""


def seek(space: Space, archive: Archive, settings: Settings, search: Search, *, rng: torch.Generator) -> Found:
    """Fill the archive; an error or an interruption ends the search, and what came before is kept."""
    found = Found(mean_row=None, target_margin=settings.margin)
    try:
        found = search(space, archive, settings, rng)
    except LikethatError as error:
        if len(archive.distances) < 2:
            raise
        found = replace(found, reason=Reason.FAILED, error=str(error).rstrip("."))
    except KeyboardInterrupt:
        if len(archive.distances) < 2:
            raise
        found = replace(found, reason=Reason.INTERRUPTED)
    archive.until = None
    return replace(found, target_margin=_within_reach(max(archive.margins.tolist()), found.target_margin))


def one_after_the_other(space: Space, archive: Archive, settings: Settings, rng: torch.Generator) -> Found:
    """Find one counterfactual after the other, each with its share of the budget."""
    mean_row, reason, target_margin = None, Reason.BUDGET, settings.margin
    assert settings.budget is not None
    for left in range(settings.n, 0, -1):
        first = len(archive.distances)
        plan = _planned(archive, settings, share=(settings.budget - archive.box.queries) // left)
        reason = reach(space, archive, plan, rng=rng)
        if mean_row is None and isinstance(space, ImageSpace):
            mean_row = _mean_of_arrived(archive, first, plan.target_margin)
        plan = replace(plan, target_margin=_within_reach(archive.largest(first), plan.target_margin))
        if archive.nearest(plan.target_margin) is not None:
            target_margin = min(target_margin, plan.target_margin)
            bring_nearer(space, archive, plan, rng=rng)
            row = archive.nearest(plan.target_margin)
            archive.found += [] if row is None else [row]
    return Found(mean_row=mean_row, reason=reason, target_margin=target_margin)


def _planned(archive: Archive, settings: Settings, *, share: int) -> Plan:
    """Return what the next search aims at, and keep the archive within its share of the budget."""
    before = archive.box.queries
    archive.until = before + share
    return Plan(
        n_particles=settings.n_particles,
        target_margin=settings.margin,
        asked=before,
        budget=share,
        n_generations=2 * math.ceil(share / settings.n_particles),
    )


def _within_reach(largest: float, target_margin: float) -> float:
    """Return the margin wanted; most of the largest one, where none is so large but one is on the right side."""
    return target_margin if largest >= target_margin or largest <= 0 else _MOST * largest


def _mean_of_arrived(archive: Archive, first: int, target_margin: float) -> int | None:
    """Ask for the mean of the particles that arrived; return its row."""
    rows = (archive.margins >= target_margin).nonzero()[:, 0].tolist()
    points = [archive.point(row) for row in rows if row >= first and archive.points[row] is not None]
    if len(points) < 2:
        return None
    mean: Tensor = torch.stack(points).mean(dim=0, keepdim=True)
    return len(archive.distances) - 1 if len(archive.ask(mean, mean)) else None
