"""Whether values come in two states, such as a mark that is there or is not: two Gaussians a class against one."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

_CUTS = (0.0, 0.75, 1.5, 2.25)
"""Where the states are first cut, in standard deviations from a class's mean: a half to a hundredth of the values."""
_LEAST = 1e-4  # of the variance within a state, beside 1 for all values: a constant is no state
_RARER, _FEWEST = 0.015, 4.0
"""Share and number of a class's values that the rarer state needs there: with fewer, whether the class is all on or all
off cannot be told from where its mean lies."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TwoStates:
    """Two states for each row of values; the upper one is called on.

    Attributes:
        gains: (row, value) log-likelihood of two states over one, in nats; `gain` is their mean.
        separation: (row,) distance of the states over the standard deviation within one.
        gap: (row,) their distance, in units of the values.
        on: (row, value) probability that the state is on, in [0, 1].
        share: (row, group) of each group that is on, in [0, 1].
        cut: (row, group) value above which a member of the group is likelier on than off.
        spread: (row,) largest less smallest share, among the groups in which both states occur, in [0, 1].
    """

    gains: Float[Tensor, "row value"]
    separation: Float[Tensor, " row"]
    gap: Float[Tensor, " row"]
    on: Float[Tensor, "row value"]
    share: Float[Tensor, "row group"]
    cut: Float[Tensor, "row group"]
    spread: Float[Tensor, " row"]

    @property
    def gain(self) -> Float[Tensor, " row"]:
        """(row,) mean log-likelihood a value of two states over one, in nats."""
        return self.gains.mean(1)

    @property
    def score(self) -> Float[Tensor, " row"]:
        """(row,) gain times spread: two states, and one of them mostly in some classes."""
        return self.gain * self.spread


def two_states(
    values: Float[Tensor, "row value"], groups: Int[Tensor, " value"], *, n_groups: int, steps: int = 40
) -> TwoStates:
    """Fit two states to each row: one distance and one spread for all groups, a place and a share for each.

    The groups are classes: a state that is nearly always on in one class and nearly never in the others shows only
    where each class has a share of its own.

    Source:
        Dempster, Laird, Rubin (1977), section 4.3: a mixture of Gaussians by expectation and maximisation.

    Differs:
        Means are m_g and m_g + gap, so the groups share the gap; the best of four starts. A share counts half a value
        more of each state, so that none is 0 or 1.

    Args:
        values: (row, value), each row by itself.
        groups: (value,) from 0 to n_groups - 1; a group may be empty.
        n_groups: how many.
        steps: of expectation and maximisation; gains move by less than 1e-3 after 30.

    Example:
        >>> values = torch.tensor([[0.0, 0.1, -0.1, 5.0, 5.1, 4.9]])
        >>> two_states(values, torch.zeros(6, dtype=torch.long), n_groups=1).on[0].round().tolist()
        [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    """
    values, sizes = values.double(), torch.bincount(groups, minlength=n_groups).double()
    means = _sums(values, groups, n_groups) / sizes.clamp_min(1)
    apart = values - means[:, groups]
    width = apart.square().mean(1, keepdim=True).sqrt().clamp_min(1e-300)
    fit = _climbed(apart / width, groups, n_groups=n_groups, steps=steps)
    best = fit.gain.reshape(len(_CUTS), -1).argmax(0) * len(values) + torch.arange(len(values))
    picked = {name: value[best] for name, value in vars(fit).items()}
    picked |= {"cut": means + picked["cut"] * width, "gap": picked["gap"] * width[:, 0]}
    return TwoStates(**picked)


def _climbed(z: Float[Tensor, "row value"], groups: Int[Tensor, " value"], *, n_groups: int, steps: int) -> TwoStates:
    """Climb from every cut, all rows from the first, then all from the second; `z` has mean 0 in each group."""
    lower_tail = _sums(z**3, groups, n_groups)[:, groups] < 0  # a group with a long lower tail is mostly on
    on = torch.cat([(z > cut) | (lower_tail & (z > -cut)) for cut in _CUTS]).double()
    z = z.repeat(len(_CUTS), 1)
    for _ in range(steps):
        fit = step(z, groups, on, n_groups=n_groups)
        on = fit.on
    return fit


def step(
    z: Float[Tensor, "row value"], groups: Int[Tensor, " value"], on: Float[Tensor, "row value"], *, n_groups: int
) -> TwoStates:
    """Fit the states to given shares of each value, and say how likely each value is on then; differentiable.

    Args:
        z: (row, value) of mean 0 in each group and variance 1 in each row.
        groups: (value,) of each.
        on: (row, value) in [0, 1].
        n_groups: how many.
    """
    sizes = torch.bincount(groups, minlength=n_groups).double().clamp_min(1)
    n_on, sums = _sums(on, groups, n_groups), _sums(z, groups, n_groups)
    # least squares of z on the state, within groups: of soft states as of hard ones, whose square is themselves
    within = (n_on - n_on.square() / sizes).sum(1).clamp_min(1e-9)
    gap = ((_sums(on * z, groups, n_groups) - n_on * sums / sizes).sum(1) / within)[:, None].clamp_min(1e-9)
    low = (sums - gap * n_on) / sizes
    below = z - low[:, groups]
    variance = ((1 - on) * below.square() + on * (below - gap).square()).mean(1, keepdim=True).clamp_min(_LEAST)
    share = (n_on + 0.5) / (sizes + 1)
    odds = (share / (1 - share)).log()
    log_odds = odds[:, groups] + gap * (below - gap / 2) / variance
    off = (1 - share).log()[:, groups] - below.square() / (2 * variance)
    return TwoStates(
        gains=off + torch.nn.functional.softplus(log_odds) - variance.log() / 2 + z.square() / 2,
        separation=gap[:, 0] / variance[:, 0].sqrt(),
        gap=gap[:, 0],
        on=torch.sigmoid(log_odds),
        share=share,
        cut=low + gap / 2 - variance * odds / gap,
        spread=_spread(share, torch.minimum(n_on, sizes - n_on) >= (_RARER * sizes).clamp_min(_FEWEST)),
    )


def _spread(share: Tensor, has_both: Tensor) -> Tensor:
    """Return the largest less the smallest share among groups that have both states; 0 for fewer than two of them."""
    highest = torch.where(has_both, share, -1.0).amax(1)
    lowest = torch.where(has_both, share, 2.0).amin(1)
    return torch.where(has_both.sum(1) > 1, highest - lowest, 0.0)


def _sums(values: Tensor, groups: Tensor, n_groups: int) -> Tensor:
    """Return (row, group) the sum of each group's values."""
    return values.new_zeros(len(values), n_groups).index_add(1, groups, values)
