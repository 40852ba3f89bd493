"""What two sides have in common: partners, what is not foretold, and intervals by drawing the pictures again."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from likethat._progress import Stage, Watcher
from likethat.auditing.sides import Both, Side
from likethat.explanations.comparison import NOTABLE, UNKNOWN_FROM, UnitState
from likethat.functional.foretold import Moments, Unforeseen, unforeseen
from likethat.functional.matching import Pairs, correlations, match_units

_DRAWS = 400  # of the pictures: ends of a 95 % interval to a tenth of its length
_STILL = 1e-10  # of what a response could be, squared: below it nothing varies but the last digits of float32
_ENDS = (0.025, 0.975)  # of 95 %
_ORDER = ("new", "lost", "stronger", "weaker", "matched", "shared")


@dataclass(kw_only=True, eq=False)
class Draft:
    """A unit of the comparison while its flips are not counted."""

    state: UnitState
    a: int | None
    b: int | None
    values: dict[str, Any]
    n_flips: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Direction:
    """A direction of one side's logits that the other side's logits do not foretell.

    Attributes:
        side: "new" or "lost".
        reader: (channel,).
        speaks_for: (class,).
        share: and its interval.
        foretold: how much of it the other side's features foretell.
        carries: (unit,) of its side.
        scores: (picture,) how much of it is there beyond what was foretold.
        readings: (picture,) how much of it is there at all.
    """

    side: str
    reader: Float[Tensor, " channel"]
    speaks_for: Float[Tensor, " cls"]
    share: float
    interval: tuple[float, float]
    foretold: float
    carries: Float[Tensor, " unit"]
    scores: Float[Tensor, " picture"]
    readings: Float[Tensor, " picture"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """What a comparison measured, but for the predictions that flipped."""

    units: list[Draft]
    directions: list[Direction]
    pairs: Pairs
    before: Int[Tensor, " picture"]
    after: Int[Tensor, " picture"]


@dataclass(kw_only=True, eq=False)
class _Sums:
    """Sums over the pictures of one side: a row for all of them, and one for each draw.

    Attributes:
        use: (draw, unit) absolute contributions to what the model gives.
        missed: (draw, unit) squares of what is not foretold of a response.
        spread: (draw, unit) squares of responses less their mean.
        size: (unit,) squares of the largest responses that such features could have: what rounding goes by.
        evidence: (unit,) absolute contributions that are not foretold.
        reach: (unit,) what each response would supply, read with the weight of all units together.
        missed_along: (draw, direction) squares of what logits do not foretell along a direction.
        unseen_along: (direction,) squares of what features do not foretell either.
        carried: (channel, direction) products of features and what is not foretold along a direction.
        apart: (draw, 1) squares of logits less their mean over classes and pictures.
        predicted: blocks of (picture,).
        scores, readings: blocks of (picture, direction), what logits do not foretell and all of it.
    """

    side: Side
    lacks: Unforeseen
    lacks_evidence: Unforeseen
    mean: Float[Tensor, " channel"]
    along: Float[Tensor, "cls direction"]
    use: Any = 0.0
    missed: Any = 0.0
    spread: Any = 0.0
    size: Any = 0.0
    evidence: Any = 0.0
    reach: Any = 0.0
    missed_along: Any = 0.0
    unseen_along: Any = 0.0
    carried: Any = 0.0
    apart: Any = 0.0
    predicted: list[Tensor]
    scores: list[Tensor]
    readings: list[Tensor]

    def add(self, features: Tensor, evidence: Tensor, is_second: Tensor, draws: Tensor) -> None:
        """Take pictures in: their features in both models, and their logits less their mean over classes."""
        side = self.side
        x, lacked = features[:, side.columns], self.lacks.of(features, is_second)
        predicted = (x @ side.head.T + side.bias).argmax(1)
        weights, responses = side.weights[predicted], x @ side.readers.T
        unforeseen_ones = lacked @ side.readers.T
        scores = self.lacks_evidence.of(evidence, is_second) @ self.along
        self.use = self.use + draws @ (weights * responses).abs()
        self.missed = self.missed + draws @ unforeseen_ones.square()
        self.spread = self.spread + draws @ ((x - self.mean) @ side.readers.T).square()
        self.size = self.size + x.square().sum() * side.readers.square().sum(1)
        self.evidence = self.evidence + (weights * unforeseen_ones).abs().sum(0)
        self.reach = self.reach + (weights.norm(dim=1, keepdim=True) * responses).abs().sum(0)
        self.missed_along = self.missed_along + draws @ scores.square()
        self.unseen_along = self.unseen_along + (lacked @ side.own.T @ self.along).square().sum(0)
        self.carried = self.carried + (x - self.mean).T @ scores
        self.apart = self.apart + draws @ ((x - self.mean) @ side.own.T).square().sum(1, keepdim=True)
        self.predicted.append(predicted)
        self.scores.append(scores)
        self.readings.append(x @ side.own.T @ self.along)

    @cached_property
    def shares(self) -> Tensor:
        """(draw, unit) of all evidence."""
        return _ratio(self.use, self.use.sum(1, keepdim=True))

    @cached_property
    def lacking(self) -> Tensor:
        """(draw, unit) share of each response's variance that is not foretold."""
        return _ratio(self.missed, self.spread).clamp_max(1.0)

    @cached_property
    def evidence_share(self) -> Tensor:
        """(unit,) of all evidence, what is not foretold in each unit."""
        return _ratio(self.evidence, self.use[0].sum())

    @property
    def varies(self) -> list[bool]:
        """(unit,) whether a unit varies by more than rounding."""
        varies: list[bool] = (self.spread[0] > _STILL * self.size).tolist()
        return varies

    def room(self, unit: int, correlation: float) -> float:
        """Return how far a unit's share may change by coordinates alone that are turned as far as the correlation says.

        Turned by an angle, a unit takes up to its sine of the weight of all other units.
        """
        sine = max(0.0, 1 - correlation**2) ** 0.5
        return sine * float(_ratio(self.reach[unit], self.use[0].sum()))

    def directions(self, name: str) -> list[Direction]:
        """Return the directions, each the way round in which fewer pictures have much of it."""
        scores, readings = torch.cat(self.scores), torch.cat(self.readings)
        share = _ratio(self.missed_along, self.apart)
        found = []
        for place in range(self.along.shape[1]):
            centred = readings[:, place] - readings[:, place].mean()
            sign = -1.0 if float(centred.pow(3).sum()) < 0 else 1.0
            speaks_for = sign * self.along[:, place]
            reader = speaks_for @ self.side.own
            products, weights = sign * self.carried[:, place], (speaks_for - speaks_for.mean()) @ self.side.weights
            seen = 1 - float(_ratio(self.unseen_along[place], self.missed_along[0, place]))
            found.append(
                Direction(
                    side=name,
                    reader=reader,
                    speaks_for=speaks_for,
                    share=float(share[0, place]),
                    interval=_interval(share[1:, place]),
                    foretold=min(max(seen, 0.0), 1.0),
                    carries=_ratio(weights * (self.side.readers @ products), reader @ products),
                    scores=sign * scores[:, place],
                    readings=sign * readings[:, place],
                )
            )
        return found


def find(both: Both, *, n_directions: int, seed: int, watch: Watcher | None) -> Found:
    """Measure all but the flips.

    Args:
        both: the two sides.
        n_directions: of each side, at most.
        seed: of the null and the draws.
        watch: told how far it is.
    """
    stage = Stage("comparing", watch, total=len(both))
    halves = (Moments.empty(both.b.columns.stop), Moments.empty(both.b.columns.stop))
    for part, features in both.blocks():
        for half, members in zip(halves, (~both.is_second[part], both.is_second[part]), strict=True):
            half.add(features[members])
        stage.add(len(part))
    stage = Stage("matching units", watch, total=5)  # the partners, and what two things of either side foretell
    everything = _joined(halves)
    covariance = everything.about(everything.mean)
    pairs = match_units(
        correlations(_of_units(both, covariance)), _groups(both), rng=torch.Generator().manual_seed(seed)
    )
    stage.add(1)
    own = torch.block_diag(both.a.own.T, both.b.own.T)
    evidence = (halves[0].through(own), halves[1].through(own))
    n_classes, sums = len(both.a.own), []
    of_classes = (slice(0, n_classes), slice(n_classes, 2 * n_classes))
    for place, (side, other) in enumerate(((both.a, both.b), (both.b, both.a))):
        lacks_evidence = unforeseen(evidence, of_classes[1 - place], of_classes[place])
        stage.add(1)
        lacks = unforeseen(halves, other.columns, side.columns)
        stage.add(1)
        sums.append(
            _Sums(
                side=side, lacks=lacks, lacks_evidence=lacks_evidence,
                mean=everything.mean[side.columns], along=_along(lacks_evidence.covariance, n_directions),
                predicted=[], scores=[], readings=[],
            )
        )  # fmt: skip
    stage = Stage("drawing the pictures again", watch, total=len(both))
    rng = torch.Generator().manual_seed(seed + 1)
    for part, features in both.blocks():
        draws = torch.poisson(torch.ones(_DRAWS + 1, len(part), dtype=torch.float64), generator=rng)
        draws[0] = 1.0
        for each in sums:
            each.add(features, features @ own, both.is_second[part], draws)
        stage.add(len(part))
    directions = [*sums[1].directions("new"), *sums[0].directions("lost")]
    return Found(
        units=_units(both, sums[0], sums[1], pairs),
        directions=sorted(directions, key=lambda one: -one.share),
        pairs=pairs,
        before=torch.cat(sums[0].predicted),
        after=torch.cat(sums[1].predicted),
    )


def _joined(halves: tuple[Moments, Moments]) -> Moments:
    first, second = halves
    return Moments(n=first.n + second.n, total=first.total + second.total, products=first.products + second.products)


def _of_units(both: Both, covariance: Tensor) -> Float[Tensor, "unit unit"]:
    """Return the covariance of the responses of all units, those of the first side first."""
    readers = torch.block_diag(both.a.readers, both.b.readers)
    return readers @ covariance @ readers.T


def _groups(both: Both) -> list[tuple[Tensor, Tensor]]:
    """Return which units may be partners: those of one class, or all of them."""
    found, n_first = [], len(both.a.readers)
    for group in both.a.group.unique().tolist():
        first, second = ((side.group == group).nonzero()[:, 0] for side in (both.a, both.b))
        if len(second):
            found.append((first, second + n_first))
    return found


def _along(lacking: Tensor, n: int) -> Float[Tensor, "cls direction"]:
    """Return the directions of the logits in which most is not foretold, each orthogonal to the others."""
    return torch.linalg.eigh(lacking).eigenvectors.flip(1)[:, : min(n, len(lacking) - 1)]


def _units(both: Both, a: _Sums, b: _Sums, pairs: Pairs) -> list[Draft]:
    """Return what became of each unit that varies at all."""
    n_first = len(both.a.readers)
    varies = (a.varies, b.varies)
    clear = pairs.correlation >= pairs.clear_from
    partner = {
        int(second) - n_first: (int(first), float(correlation))
        for first, second, correlation in zip(
            pairs.first[clear], pairs.second[clear], pairs.correlation[clear], strict=True
        )
        if varies[0][int(first)] and varies[1][int(second) - n_first]
    }
    taken = {first for first, _ in partner.values()}
    found = [_pair(a, b, first, second, correlation) for second, (first, correlation) in partner.items()]
    for sums, are_taken, states in ((b, partner.keys(), ("new", "shared")), (a, taken, ("lost", "shared"))):
        found += [
            _alone(sums, unit, states) for unit, is_one in enumerate(sums.varies) if is_one and unit not in are_taken
        ]
    return sorted(found, key=lambda one: (_ORDER.index(one.state), -one.values["order"], one.b or 0, one.a or 0))


def _pair(a: _Sums, b: _Sums, first: int, second: int, correlation: float) -> Draft:
    before, after = a.shares[:, first], b.shares[:, second]
    ratio = torch.where(before > 0, _ratio(after, before), torch.nan)
    rises = after[1:] - b.room(second, correlation) - NOTABLE * before[1:]
    falls = before[1:] - a.room(first, correlation) - NOTABLE * after[1:]
    is_up, is_down = (_interval(each)[0] > 0 for each in (rises, falls))
    state: UnitState = "stronger" if is_up else "weaker" if is_down else "matched"
    values = _lacking(b, second) | {"correlation": correlation, "use_a": float(before[0]), "use_b": float(after[0])}
    values |= {
        "ratio": float(ratio[0]),
        "ratio_interval": _interval(ratio[1:]),
        "order": max(float(before[0]), float(after[0])),
    }
    return Draft(state=state, a=first, b=second, values=values)


def _alone(sums: _Sums, unit: int, states: tuple[str, ...]) -> Draft:
    nan, use = float("nan"), float(sums.shares[0, unit])
    values = _lacking(sums, unit) | {"correlation": nan, "ratio": nan, "ratio_interval": (nan, nan)}
    is_first = "lost" in states
    values |= {"use_a": use if is_first else 0.0, "use_b": 0.0 if is_first else use}
    state: Any = states[0] if values["unforeseen_interval"][0] > UNKNOWN_FROM else states[1]
    values["order"] = use if state == "shared" else values["evidence"]
    return Draft(state=state, a=unit if is_first else None, b=None if is_first else unit, values=values)


def _lacking(sums: _Sums, unit: int) -> dict[str, Any]:
    lacking = sums.lacking[:, unit]
    return {
        "unforeseen": float(lacking[0]),
        "unforeseen_interval": _interval(lacking[1:]),
        "evidence": float(sums.evidence_share[unit]),
    }


def _interval(draws: Float[Tensor, " draw"]) -> tuple[float, float]:
    low, high = draws.quantile(torch.tensor(_ENDS, dtype=draws.dtype)).tolist()
    return low, high


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """Return part / whole, 0 where the whole is nothing."""
    return torch.where(whole > 0, part / torch.where(whole > 0, whole, 1.0), 0.0)
