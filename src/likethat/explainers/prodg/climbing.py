"""A group of channels from the samples it begins with to its prototypes: what a worker does of a run."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from likethat.explainers.prodg.ascent import Climb, Group, Summit, climb
from likethat.explainers.prodg.controls import starting_group
from likethat.generators.generated import Generated

RESTARTS = 2  # of channels that did not climb, each from other samples; then they are called dead
SILENT = 1e-3  # purity up to which a channel counts as not active


@dataclass(kw_only=True, eq=False)
class Climbed:
    """The channels that are done.

    Attributes:
        units: their numbers.
        latents: (unit, own, latent) and seeds: (unit, image) of their prototypes.
        purity: (unit, image) of the prototypes; start: of the samples they began with.
        calls: images made on the way.
        restarted: channels that were begun anew.
    """

    units: Int[Tensor, " unit"]
    latents: Float[Tensor, "unit own latent"]
    seeds: Int[Tensor, "unit image"]
    purity: Float[Tensor, "unit image"]
    start: Float[Tensor, "unit image"]
    calls: int = 0
    restarted: int = 0

    def joined(self, other: "Climbed") -> "Climbed":
        """Return both."""
        names = ("units", "latents", "seeds", "purity", "start")
        joined: dict[str, Any] = {name: torch.cat([getattr(self, name), getattr(other, name)]) for name in names}
        return Climbed(**joined, calls=self.calls + other.calls, restarted=self.restarted + other.restarted)

    def tensors(self) -> dict[str, Tensor]:
        """Return the columns."""
        return {name: getattr(self, name) for name in ("units", "latents", "seeds", "purity", "start")}


@dataclass(frozen=True, kw_only=True, eq=False)
class Climber:
    """What all groups of a run share.

    Attributes:
        options: how to climb.
        told: called with the number of images made; None where it cannot be heard.
    """

    options: Climb
    told: Callable[[int], None] | None = None

    def risen(self, kept: Climbed) -> Climbed:
        """Return what a group came to, given what it begins with."""
        options = self.options
        if not options.steps:
            return kept
        group = Group(units=kept.units, latents=kept.latents, seeds=kept.seeds)
        summit = climb(options, group, self.told or _unheard)
        return self.restarted(replace(kept, latents=summit.latents, purity=summit.purity, calls=summit.calls))

    def restarted(self, kept: Climbed) -> Climbed:
        """Begin anew, from fresh samples, with channels that no image activates."""
        n, options = kept.purity.shape[1], self.options
        for attempt in range(1, RESTARTS + 1):
            silent = (kept.purity.amax(1) <= SILENT).nonzero()[:, 0]
            if not len(silent):
                break
            n_fresh = len(silent) * n
            fresh = Generated(options.generator, n_fresh, seed=options.seed + 7919 * attempt)
            rows = torch.arange(n_fresh).reshape(len(silent), n)
            group = starting_group(fresh, rows, kept.units[silent], n)
            kept = _with_better(kept, silent, climb(options, group, _unheard), group.seeds)
        return kept


def _unheard(_: int) -> None:
    pass


def _with_better(kept: Climbed, silent: Tensor, summit: Summit, seeds: Tensor) -> Climbed:
    """Return channels with what a new beginning brought where that is better."""
    better = summit.purity.mean(1) > kept.purity[silent].mean(1)
    places = silent[better]
    latents, purity, all_seeds = kept.latents.clone(), kept.purity.clone(), kept.seeds.clone()
    latents[places], purity[places], all_seeds[places] = summit.latents[better], summit.purity[better], seeds[better]
    return replace(
        kept, latents=latents, purity=purity, seeds=all_seeds, calls=kept.calls + summit.calls,
        restarted=kept.restarted + len(silent),
    )  # fmt: skip
