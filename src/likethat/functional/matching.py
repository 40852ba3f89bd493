"""Which unit of one network is which of another: one partner each, and how alike chance would make them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

_DRAWS, _DRAWN = 20, 1280
"""Draws of turned units, at most, and correlations that are enough: the best hundredth of 64 units turned 20 times is
known to about .01, and 1,280 units need turning once."""
_CLEAR = 0.99  # of these correlations lie below what is called clear
_LEAST = 0.7  # half of a unit's variance is its partner's: less is no partner, however little chance makes alike
_SAME = 1 - 1e-6  # what rounding leaves of 1: the same unit is a clear pair whatever chance does
_TIE = 1e-9  # added for units in the same place: of two that are alike to rounding, each is its own partner
_STILL = 1e-10  # of the largest variance: below it a unit never varies, but for float32 rounding


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """Units of two sides, one partner each.

    Attributes:
        first: (pair,) units of the first side.
        second: (pair,) their partners.
        correlation: (pair,) of the two.
        clear_from: the correlation above which a pair is no chance, at least .7.
    """

    first: Int[Tensor, " pair"]
    second: Int[Tensor, " pair"]
    correlation: Float[Tensor, " pair"]
    clear_from: float


def correlations(covariance: Float[Tensor, "unit unit"]) -> Float[Tensor, "unit unit"]:
    """Return correlations of a covariance; 0 where a unit never varies.

    Example:
        >>> correlations(torch.tensor([[4.0, 3.0, 0.0], [3.0, 9.0, 0.0], [0.0, 0.0, 0.0]]))[0]
        tensor([1.0000, 0.5000, 0.0000])
    """
    variance = covariance.diagonal().clamp_min(0)
    varies = variance > _STILL * variance.max()
    scale = torch.where(varies, variance.clamp_min(torch.finfo(variance.dtype).tiny).rsqrt(), 0.0)
    return covariance * scale[:, None] * scale


def match_units(
    correlation: Float[Tensor, "unit unit"],
    groups: Sequence[tuple[Int[Tensor, " first"], Int[Tensor, " second"]]],
    *,
    rng: torch.Generator,
) -> Pairs:
    """Give each unit the partner that makes the sum of all correlations largest, and say what is clear.

    The null: units of the second side turned at random among themselves, as another rotation of the same features
    would have them, matched in the same way. Units of networks that share their features but not their coordinates are
    that much alike.

    Args:
        correlation: of all units of both sides, those of the first before those of the second.
        groups: which units of the first side may be partners of which of the second, as places in `correlation`.
        rng: of the turned units.

    Source:
        The assignment: Kuhn (1955), as SciPy has it. Matching units by correlation: Li et al. (2016), Convergent
        learning.
    """
    pairs, chance = [], []
    n_draws = min(_DRAWS, -(-_DRAWN // max(1, sum(len(second) for _, second in groups))))
    for first, second in groups:
        between, within = correlation[first][:, second], correlation[second][:, second]
        ties = _TIE * torch.eye(*between.shape, dtype=between.dtype)
        rows, columns = linear_sum_assignment((between + ties).numpy(), maximize=True)
        pairs.append(torch.stack([first[torch.from_numpy(rows)], second[torch.from_numpy(columns)]]))
        chance += [_turned(between, within, rng) for _ in range(n_draws if len(second) > 1 else 0)]
    joined = torch.cat(pairs, 1) if pairs else torch.zeros(2, 0, dtype=torch.long)
    nothing = torch.zeros(1, dtype=correlation.dtype)
    clear_from = min(max(float(torch.cat([nothing, *chance]).quantile(_CLEAR)), _LEAST), _SAME)
    return Pairs(
        first=joined[0], second=joined[1], correlation=correlation[joined[0], joined[1]], clear_from=clear_from
    )


def _turned(
    between: Float[Tensor, "first second"], within: Float[Tensor, "second second"], rng: torch.Generator
) -> Float[Tensor, " pair"]:
    """Return correlations of the best partners among units that were turned at random."""
    n = len(within)
    turn = torch.linalg.qr(torch.randn(n, n, generator=rng, dtype=within.dtype)).Q
    spread = (turn * (within @ turn)).sum(0)
    found = between @ turn * torch.where(spread > _STILL, spread.clamp_min(_STILL).rsqrt(), 0.0)
    rows, columns = linear_sum_assignment(found.numpy(), maximize=True)
    return found[torch.from_numpy(rows), torch.from_numpy(columns)]
