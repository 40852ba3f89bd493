"""How far a rotation may leave the network's own channels: as far as other images bear it out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from likethat.coordinates import Rotation
from likethat.features import Features
from likethat.fitting.held_out import judge, own_channels

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

    It pays where purity rises and coverage is not below that of the network's own channels.

    Args:
        features: of one pass.
        slots: the held maps that may be fitted to.
        head_weight: of the model.
        solve: the fit.
        coverage_weight: of coverage beside purity: who weights channels by use pays with purity for coverage.
    """
    halves = (slots[0::2], slots[1::2])

    def worth(mixings: Sequence[Tensor]) -> tuple[float, float]:
        """Return score and coverage of what was fitted to the other half, the mean over both."""
        pairs = zip(mixings, halves, strict=True)
        found = [judge(features, half, Rotation(mixing, head_weight)) for mixing, half in pairs]
        covered = sum(item.coverage.mean for item in found) / 2
        return sum(item.purity.mean for item in found) / 2 + coverage_weight * covered, covered

    best, own = OWN, own_channels(head_weight).matrix()
    score, own_coverage = worth((own, own))
    scores = {OWN: score}
    for shrinkage in SHRINKAGES:
        scores[shrinkage], covered = worth([solve(half, shrinkage) for half in reversed(halves)])
        if not (scores[shrinkage] > scores[best] and covered >= own_coverage):
            break
        best = shrinkage
    return Choice(shrinkage=best, scores=scores)
