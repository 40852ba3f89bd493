"""What was asked of a black box while a counterfactual was sought: everything is kept, nothing is asked twice."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from likethat._inputs import Inputs, join_inputs, take
from likethat._queries import QueryLog
from likethat._responses import Measure
from likethat.functional.margins import margins_of

_BEHIND = 1e6  # above all costs: columns of a table, or pixels
_APART = 0.4  # from this on two changes are different ones; 0 the same, 1 nothing in common


@dataclass(kw_only=True, eq=False)
class Archive(QueryLog):
    """All that was asked, in order.

    Attributes:
        target: class wanted; None for any but the source's, or where `measure` says what is.
        source_class: the class of the source.
        distance: of inputs from the source, (n,).
        cost: what is to be small, (n,): the distance; of tables the number of columns changed before that,
            one that moves by several spreads counted as often.
        dissimilarity: how different the changes of inputs are from that of one input, (n,) in [0, 1].
        plausible: which inputs could be real, (n,); None for all. The others come behind them.
        measure: reads the number that is asked about off the answers; None where that is a class.
        found: rows of counterfactuals found before, from which further ones shall differ.
        passed_over: whether each of the leading rows is no answer, though its margin is enough.
        n_typical: how many inputs were asked that the generator made anywhere, not near the source.
    """

    target: int | None
    source_class: int
    distance: Callable[[Inputs], Float[Tensor, " n"]]
    cost: Callable[[Inputs], Float[Tensor, " n"]]
    dissimilarity: Callable[[Inputs, Inputs], Float[Tensor, " n"]]
    plausible: Callable[[Inputs], Bool[Tensor, " n"]] | None = None
    measure: Measure | None = None
    found: list[int] = field(default_factory=list)
    passed_over: Bool[Tensor, " row"] | None = None
    n_typical: int = 0
    inputs: list[Inputs] = field(default_factory=list)
    points: list[Tensor | None] = field(default_factory=list)
    probabilities: Float[Tensor, "n cls"] = field(default_factory=lambda: torch.zeros(0, 0, dtype=torch.float64))
    distances: Float[Tensor, " n"] = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))
    costs: Float[Tensor, " n"] = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))
    at_query: list[int] = field(default_factory=list)
    reals: Bool[Tensor, " n"] = field(default_factory=lambda: torch.zeros(0, dtype=torch.bool))

    def ask(self, inputs: Inputs, points: Tensor | None = None) -> Float[Tensor, " asked"]:
        """Return the margins of the leading inputs that the budget allows, and keep them."""
        found = self.query(inputs)
        n = len(found)
        if not n:
            return torch.zeros(0, dtype=torch.float64)
        given = [None] * n if points is None else list(points[:n])
        reals = torch.ones(n, dtype=torch.bool) if self.plausible is None else self.plausible(found.inputs)
        everything = (
            [*self.inputs, found.inputs],
            [*self.points, *given],
            torch.cat([self.probabilities.reshape(-1, found.probabilities.shape[1]), found.probabilities]),
            torch.cat([self.distances, self.distance(found.inputs).cpu().double()]),
            torch.cat([self.costs, self._costs_of(found.inputs, reals)]),
            [*self.at_query, *found.at_query],
            torch.cat([self.reals, reals]),
        )  # kept all at once: an interruption must not leave rows without their costs
        self.inputs, self.points, self.probabilities, self.distances, self.costs, self.at_query, self.reals = everything
        self.tell()
        return self._margins(found.probabilities)

    @property
    def margins(self) -> Float[Tensor, " n"]:
        """Of everything asked."""
        return self._margins(self.probabilities)

    def _margins(self, probabilities: Float[Tensor, "n cls"]) -> Float[Tensor, " n"]:
        if not len(probabilities):
            return torch.zeros(0, dtype=torch.float64)
        if self.measure is not None:
            return self.measure.margins(probabilities)
        return margins_of(probabilities, target=self.target, source_class=self.source_class)

    def _costs_of(self, inputs: Inputs, reals: Bool[Tensor, " n"]) -> Float[Tensor, " n"]:
        cost: Tensor = self.cost(inputs).cpu().double()
        return torch.where(reals, cost, cost + _BEHIND)

    def input(self, row: int) -> Inputs:
        """Return one input asked, as a batch of one."""
        for batch in self.inputs:
            if row < len(batch):
                return take(batch, [row])
            row -= len(batch)
        raise IndexError(row)

    def point(self, row: int) -> Tensor:
        """Return the point that an input was made from."""
        point = self.points[row]
        assert point is not None
        return point

    def surest(self, target_margin: float) -> list[int]:
        """Return the rows made from points whose margin is enough, the largest margin first."""
        margins, good = self.margins, (self.margins >= target_margin) & self._different()
        order = margins.argsort(descending=True).tolist()
        return [row for row in order if bool(good[row]) and self.points[row] is not None]

    def largest(self, first: int) -> float:
        """Return the largest margin from a row on, of inputs unlike what was found before; -inf where there is none."""
        return max(self.margins[first:][self._different()[first:]].tolist(), default=-math.inf)

    def apart(self, margins: Float[Tensor, " latest"]) -> Float[Tensor, " latest"]:
        """Return the margins of the latest rows; of those like what was found before, the least of all."""
        return torch.where(self._different()[len(self.distances) - len(margins) :], margins, margins.min())

    def best_point(self) -> Tensor:
        """Return the point with the largest margin, of those unlike what was found before."""
        order = torch.where(self._different(), self.margins, -torch.inf).argsort(descending=True).tolist()
        return self.point(next(row for row in order if self.points[row] is not None))

    def nearest(self, target_margin: float, *, with_point: bool = False) -> int | None:
        """Return the row of least cost among those whose margin is enough; None where there is none."""
        good = (self.margins >= target_margin) & self._different() & self._stands()
        if with_point:
            good &= torch.tensor([point is not None for point in self.points])
        if not bool(good.any()):
            return None
        cost = torch.where(good, self.costs, torch.inf)
        return int((cost == cost.min()).nonzero()[-1])  # of equals the latest, which was sought nearest

    def pass_over(self, *, up_to: float) -> None:
        """Take no row for an answer that was asked so far and costs no more; what was found before stays."""
        self.passed_over = ~self._stands() | (self._different() & (self.costs <= up_to))

    @property
    def nearest_to(self) -> int:
        """The row with the largest margin."""
        return int(self.margins.argmax())

    @property
    def is_constant(self) -> bool:
        """Whether all answers so far are the same."""
        return bool((self.probabilities.amax(dim=0) - self.probabilities.amin(dim=0) < 1e-9).all())

    @property
    def are_hard(self) -> bool:
        """Whether all answers so far are labels: one class has all the probability."""
        is_number = self.measure is not None and not self.measure.about.is_probability
        return not is_number and bool(((self.probabilities < 1e-9) | (self.probabilities > 1 - 1e-9)).all())

    def _stands(self) -> Tensor:
        stands = torch.ones(len(self.distances), dtype=torch.bool)
        if self.passed_over is not None:
            stands[: len(self.passed_over)] = ~self.passed_over
        return stands

    def _different(self) -> Tensor:
        """Whether each input differs from the counterfactuals that were found before."""
        if not self.found:
            return torch.ones(len(self.distances), dtype=torch.bool)
        everything = join_inputs(self.inputs)
        return torch.stack([self.dissimilarity(everything, self.input(row)) >= _APART for row in self.found]).all(dim=0)
