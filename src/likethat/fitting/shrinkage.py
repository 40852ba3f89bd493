"""How far a rotation may leave the network's own channels: as far as other images bear it out."""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from likethat.coordinates import Rotation
from likethat.features import Features
from likethat.fitting.held_out import judge, own_channels

__all__ = ["OWN", "SHRINKAGES", "Choice", "choose_shrinkage"]

SHRINKAGES = (0.3, 0.1, 0.0)
"""Tried, beside the network's own channels, the nearest to them first. With 300 to 6,000 photos the best was 0 to .4,
and next to the best value purity changed by less than .01."""
OWN = float("inf")
"""The shrinkage of the network's own channels."""

Solve = Callable[[Int[Tensor, " map"], float], Float[Tensor, "channel channel"]]
"""Fits a mixing to some of the held maps with a shrinkage."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The shrinkage that did best on the other half of the images.

    Attributes:
        shrinkage: lambda, `OWN` for the network's own channels.
        scores: of each that was tried, the mean over both halves; none was tried after one that did worse.
    """

    shrinkage: float
    scores: dict[float, float]


def choose_shrinkage(
    features: Features,
    slots: Int[Tensor, " map"],
    head_weight: Float[Tensor, "cls channel"],
    solve: Solve,
    *,
    coverage_weight: float = 0.0,
) -> Choice:
    """Fit each half of the images and judge on the other, going from the network's own channels while it pays.

    Args:
        features: of one pass.
        slots: the held maps that may be fitted to.
        head_weight: of the model.
        solve: the fit.
        coverage_weight: of coverage beside purity: who weights channels by use pays with purity for coverage.
    """
    halves = (slots[0::2], slots[1::2])

    def score(mixing: Tensor, half: Tensor) -> float:
        found = judge(features, half, Rotation(mixing, head_weight))
        return found.purity.mean + coverage_weight * found.coverage.mean

    own = own_channels(head_weight).matrix()
    scores = {OWN: sum(score(own, half) for half in halves) / 2}
    best = OWN
    for shrinkage in SHRINKAGES:
        pairs = zip(halves, reversed(halves), strict=True)
        scores[shrinkage] = sum(score(solve(fitted, shrinkage), other) for fitted, other in pairs) / 2
        if not scores[shrinkage] > scores[best]:
            break
        best = shrinkage
    return Choice(shrinkage=best, scores=scores)
