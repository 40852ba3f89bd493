"""How much of one network's features another network's foretell, on pictures that the fit did not see."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

_PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Of the ridge, in mean variances of a feature: from no penalty that counts to one as large as the features. The one
that foretells most is taken."""
_FLOOR = 1e-30  # so that features that never vary can be divided by; far below the square of any float32 feature


@dataclass(kw_only=True, eq=False)
class Moments:
    """Count, sum and products of the rows of one half: all that a linear fit needs, however many rows there are.

    Attributes:
        n: rows.
        total: (column,) their sum, float64.
        products: (column, column) sum of their outer products, float64.
    """

    n: int
    total: Float[Tensor, " column"]
    products: Float[Tensor, "column column"]

    @classmethod
    def empty(cls, n_columns: int) -> "Moments":
        """Return those of no row."""
        zeros = torch.zeros(n_columns, dtype=torch.float64)
        return cls(n=0, total=zeros, products=torch.zeros(n_columns, n_columns, dtype=torch.float64))

    def add(self, rows: Float[Tensor, "row column"]) -> None:
        """Take rows in."""
        self.n += len(rows)
        self.total = self.total + rows.sum(0)
        self.products += rows.T @ rows

    @property
    def mean(self) -> Float[Tensor, " column"]:
        """The mean row."""
        return self.total / max(self.n, 1)

    def through(self, weights: Float[Tensor, "column read"]) -> "Moments":
        """Return those of ``rows @ weights``."""
        return Moments(n=self.n, total=self.total @ weights, products=weights.T @ self.products @ weights)

    def about(self, centre: Float[Tensor, " column"]) -> Float[Tensor, "column column"]:
        """Return the mean outer product of the rows less a centre: their covariance, about their mean."""
        apart = self.mean - centre
        return self.products / max(self.n, 1) - torch.outer(self.mean, self.mean) + torch.outer(apart, apart)


@dataclass(frozen=True, kw_only=True, eq=False)
class Unforeseen:
    """What a target's own features foretell of it and others' do not, for the rows of each half.

    Attributes:
        maps: one (column, target) a half: ``rows @ map + offset``.
        offsets: one (target,) a half.
        penalty: that was chosen.
        covariance: (target, target) of it over all rows.
    """

    maps: tuple[Float[Tensor, "column target"], Float[Tensor, "column target"]]
    offsets: tuple[Float[Tensor, " target"], Float[Tensor, " target"]]
    penalty: float
    covariance: Float[Tensor, "target target"]

    def of(self, rows: Float[Tensor, "row column"], is_second: Bool[Tensor, " row"]) -> Float[Tensor, "row target"]:
        """Return it for rows of either half."""
        found = torch.empty(len(rows), self.maps[0].shape[1], dtype=rows.dtype)
        for half, members in enumerate((~is_second, is_second)):
            found[members] = rows[members] @ self.maps[half] + self.offsets[half]
        return found


def unforeseen(halves: tuple[Moments, Moments], source: slice, target: slice) -> Unforeseen:
    """Foretell each half's target columns by ridge regression on the other half: from the source, and from themselves.

    The target foretold from itself less the target foretold from the source: zero, to rounding, where both are the same
    features, and where few rows foretell little of anything, little is said to be unforeseen.

    Args:
        halves: of the same columns.
        source: the columns that foretell.
        target: the columns that are foretold.

    Source:
        Ridge regression (Hoerl & Kennard 1970); linear predictivity as a comparison of networks: Li et al. (2016),
        Convergent learning.
    """
    spreads = (halves[0].about(halves[0].mean), halves[1].about(halves[1].mean))
    kept = (halves[0].about(halves[1].mean), halves[1].about(halves[0].mean))
    sizes = (halves[0].n, halves[1].n)
    penalty = min(_PENALTIES, key=lambda one: _missed(sizes, kept, spreads[::-1], source, target, one))
    maps, offsets = [], []
    n_columns = len(halves[0].total)
    for learned, spread in ((halves[1], spreads[1]), (halves[0], spreads[0])):
        whole = torch.zeros(n_columns, target.stop - target.start, dtype=torch.float64)
        whole[target] += _fit(spread, target, target, penalty)
        whole[source] -= _fit(spread, source, target, penalty)
        maps.append(whole)
        offsets.append(-learned.mean @ whole)
    n_rows = max(1, halves[0].n + halves[1].n)
    middle = sum(half.n * (half.mean @ m + o) for half, m, o in zip(halves, maps, offsets, strict=True)) / n_rows
    total = torch.zeros(target.stop - target.start, target.stop - target.start, dtype=torch.float64)
    for half, spread, m, o in zip(halves, spreads, maps, offsets, strict=True):
        apart = half.mean @ m + o - middle
        total += half.n / n_rows * (m.T @ spread @ m + torch.outer(apart, apart))
    return Unforeseen(maps=(maps[0], maps[1]), offsets=(offsets[0], offsets[1]), penalty=penalty, covariance=total)


def _fit(covariance: Tensor, source: slice, target: slice, penalty: float) -> Float[Tensor, "source target"]:
    own = covariance[source, source]
    ridge = penalty * own.diagonal().mean() + _FLOOR
    return torch.linalg.solve(own + ridge * torch.eye(len(own), dtype=own.dtype), covariance[source, target])


def _missed(
    sizes: tuple[int, int],
    kept: tuple[Tensor, Tensor],
    learned: tuple[Tensor, ...],
    source: slice,
    target: slice,
    penalty: float,
) -> float:
    """Return the squared error of each half foretold from the other, over all target columns."""
    error = 0.0
    for n, spread, own in zip(sizes, kept, learned, strict=True):
        fit = _fit(own, source, target, penalty)
        explained = 2 * (fit * spread[source, target]).sum() - (fit * (spread[source, source] @ fit)).sum()
        error += n * float(spread[target, target].diagonal().sum() - explained)
    return error
