"""What became of a model: units that two banks share, evidence that one of them alone has, predictions that flipped."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from likethat._calls import public
from likethat._session import in_own_session
from likethat.explanations.images import ImageStore
from likethat.explanations.records import Provenance
from likethat.explanations.result import Result
from likethat.explanations.saved import write_result

CLEAR = 0.2
"""Share of what tells a model's classes apart from which on a direction is called new, or lost, where the other model's
evidence does not foretell it. Chosen on networks that are measured nowhere: trained again with another seed they reach
.05, with a badge or a texture planted .4, and what these lost for it .14 (benchmarks/results/compare.md)."""
UNKNOWN_FROM = 0.5
"""Share of a unit's variance that the other model does not foretell, from which on the unit is new, or lost: more than
half of it. Networks trained again with another seed reach .17, and .37 with 80 pictures."""
NOTABLE = 1.25
"""Times its share of the evidence by which a unit is called stronger (or, divided, weaker), beyond what other
coordinates of the same features could make of it: less is seldom looked at."""

UnitState = Literal["new", "lost", "stronger", "weaker", "matched", "shared"]
VALUES = (
    "flipped", "broken", "fixed", "accuracy_before", "accuracy_after", "accuracy_drop",
    "new_units", "lost_units", "stronger_units", "weaker_units", "matched_units", "shared_units",
    "new_directions", "lost_directions", "new_share", "lost_share",
)  # fmt: skip
"""Names of `Comparison.values`."""


@dataclass(frozen=True, kw_only=True)
class ComparedPicture:
    """A picture that both models saw.

    Attributes:
        image: key of the picture in ``comparison.images``.
        source: where it came from.
        index: the item's number in its source.
        label: the class that the data gives; None where it gives none.
        before: the class that the first model gives.
        after: the class that the second gives.
    """

    image: str
    source: str
    index: int
    label: int | None
    before: int
    after: int


@dataclass(frozen=True, kw_only=True)
class ComparedUnit:
    """A unit of either bank, or one of both that is the same.

    Attributes:
        state: "matched": the same unit in both, as "stronger" and "weaker" are; "shared": no one partner, but the other
            model foretells it from all its features together; "new", "lost": it does not.
        a: number of the unit in the first bank; None where it has none.
        b: in the second.
        name_a: what the first bank calls it, or "".
        name_b: the second.
        correlation: of the two over the pictures; NaN without a partner.
        use_a: its share of the evidence for what the first model gives, in [0, 1]; 0 without one.
        use_b: likewise in the second.
        ratio: use_b / use_a; NaN without a partner, or where use_a is 0.
        ratio_interval: 95 % by drawing the pictures again.
        unforeseen: share of its variance that the other model does not foretell on pictures kept back, at least 0; of a
            pair the second's.
        unforeseen_interval: 95 %, likewise.
        evidence: share of its model's evidence that is unforeseen in it.
        n_flips: predictions that would not have flipped had this unit stayed as it was.
        carried: the name that people gave the first bank's unit and that its partner can have; "" without one.
        prototypes: keys of pictures of it, strongest first; only of units that changed.
    """

    state: UnitState
    a: int | None
    b: int | None
    name_a: str
    name_b: str
    correlation: float
    use_a: float
    use_b: float
    ratio: float
    ratio_interval: tuple[float, float]
    unforeseen: float
    unforeseen_interval: tuple[float, float]
    evidence: float
    n_flips: int
    carried: str
    prototypes: tuple[str, ...]

    @property
    def name(self) -> str:
        """What it is called: by the second bank, else by the first."""
        return self.name_b or self.name_a


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """A direction of one model's evidence, its logits, that the other model's evidence does not foretell.

    Attributes:
        side: "new" of the second model, "lost" of the first.
        reader: (channel,) r: r' x is how much of it is in a picture's pooled features x.
        speaks_for: (class,) what one of r' x adds to each class's logit, their mean taken off.
        share: how much of what tells the model's classes apart lies along it and is not foretold, in [0, 1].
        interval: 95 % by drawing the pictures again.
        foretold: how much of that the other model's features foretell, in [0, 1]: near 1 it sees as much and does not
            go by it, near 0 it sees nothing of it.
        n_flips: predictions that would not have flipped without it.
        units: (unit,) of its model's bank that carry it, most first.
        carries: (unit,) how much of it each of them carries; of all units they add up to 1.
        most: pictures that have most of it, by r' x.
        least: pictures that have least.
    """

    side: Literal["new", "lost"]
    reader: Float[NDArray[np.float32], " channel"]
    speaks_for: Float[NDArray[np.float32], " cls"]
    share: float
    interval: tuple[float, float]
    foretold: float
    n_flips: int
    units: tuple[int, ...]
    carries: tuple[float, ...]
    most: tuple[ComparedPicture, ...]
    least: tuple[ComparedPicture, ...]

    @property
    def is_clear(self) -> bool:
        """Whether its interval lies above what a network that was merely trained again has."""
        return self.interval[0] > CLEAR


@dataclass(frozen=True, kw_only=True)
class FlipRow:
    """What a unit did to a prediction that flipped.

    Attributes:
        unit: place in ``comparison.units``.
        before: what it supplied for the new class less the old, in the first model; 0 where it has no such unit.
        after: in the second.
    """

    unit: int
    before: float
    after: float


@dataclass(frozen=True, kw_only=True)
class Flip:
    """A prediction that flipped: margins are the new class's logit less the old one's.

    ``before + sum of (row.after - row.before) + others + shared + bias == after``, to rounding.

    Attributes:
        picture: itself.
        before: margin in the first model, at most 0.
        after: margin in the second, at least 0.
        rows: the units that moved it most towards the new class, most first.
        others: what all other units with a row of their own moved it by.
        shared: what the units without a partner moved it by that the other model has in other coordinates.
        bias: what the biases moved it by.
        along: (direction,) how much of the margin after less before lies along each of ``comparison.directions``, in
            the units above and beside them; no further term of the sum.
    """

    picture: ComparedPicture
    before: float
    after: float
    rows: tuple[FlipRow, ...]
    others: float
    shared: float
    bias: float
    along: tuple[float, ...]

    @property
    def gap(self) -> float:
        """What the terms leave of the margin after: rounding."""
        moved = sum(row.after - row.before for row in self.rows) + self.others + self.shared + self.bias
        return self.before + moved - self.after


@public
@in_own_session
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)  # Result prints one line
class Comparison(Result):
    """What two models have in common on some pictures, and what not.

    Attributes:
        units: of both banks: what is new first, then lost, stronger, weaker, matched, shared; within each the one with
            most evidence first.
        directions: of either model's evidence that the other's does not foretell, the largest share first;
            those that are not `is_clear` are there to be looked at.
        flips: predictions that flipped, the most decided first; at most as many as were asked for.
        n_flips: how many there are in all.
        n_labelled: pictures whose label is a class of the models.
        n_right: of these, how many the first model and the second give their label.
        n_broken: of these, right before and wrong now.
        n_fixed: wrong before and right now.
        clear_from: correlation from which two units are one, above what turned units reach by chance.
        models: what the two are called.
        fingerprints: of the two.
        class_names: of both.
        images: the pictures shown.
        provenance: how it was made; the model, its data and its skipped images are the second's.
    """

    units: tuple[ComparedUnit, ...]
    directions: tuple[Evidence, ...]
    flips: tuple[Flip, ...]
    n_flips: int
    n_labelled: int
    n_right: tuple[int, int]
    n_broken: int
    n_fixed: int
    clear_from: float
    models: tuple[str, str]
    fingerprints: tuple[str, str]
    class_names: tuple[str, ...]
    images: ImageStore
    provenance: Provenance

    @property
    def values(self) -> Mapping[str, float]:
        """Figures for a gate, by name.

        ``flipped``: share of all predictions; ``broken``, ``fixed`` and accuracies: of labelled pictures, NaN without
        any; ``new_units`` and so on: counts; ``new_directions``, ``lost_directions``: counts of clear ones;
        ``new_share``, ``lost_share``: of the largest of each, clear or not.
        """
        n, labelled = self.provenance.n_images, self.n_labelled or float("nan")
        before, after = (right / labelled for right in self.n_right)
        found = {"flipped": self.n_flips / max(n, 1), "broken": self.n_broken / labelled}
        found |= {"fixed": self.n_fixed / labelled, "accuracy_before": before, "accuracy_after": after}
        found["accuracy_drop"] = before - after
        states = Counter(one.state for one in self.units)
        found |= {f"{state}_units": float(states[state]) for state in get_args(UnitState)}
        for side in ("new", "lost"):
            some = [one for one in self.directions if one.side == side]
            found[f"{side}_directions"] = float(sum(one.is_clear for one in some))
            found[f"{side}_share"] = max((one.share for one in some), default=0.0)
        return MappingProxyType({name: found[name] for name in VALUES})

    @property
    def clear(self) -> tuple[Evidence, ...]:
        """The directions that are above what a network that was merely trained again has."""
        return tuple(one for one in self.directions if one.is_clear)

    @property
    def names(self) -> dict[int, str]:
        """Names that the first bank's people gave, by the second bank's unit: ``bank_b.rename(unit, name)``."""
        return {one.b: one.carried for one in self.units if one.carried and one.b is not None}

    def _line(self) -> str:
        states = Counter(one.state for one in self.units)
        said = ", ".join(f"{states[state]} {state}" for state in get_args(UnitState) if states[state])
        return (
            f"<Comparison of {self.models[0]} and {self.models[1]} on {self.provenance.n_images:,} pictures: "
            f"{self.n_flips:,} flipped; units: {said or 'none'}>"
        )

    def _write(self, path: Path, *, overwrite: bool) -> Path:
        return write_result(self, path, overwrite=overwrite)

    def _facts(self) -> dict[str, Any]:
        shown = [{**vars(one), "is_clear": one.is_clear} for one in self.directions]
        kept = {name: value for name, value in vars(self).items() if name != "images"}
        return {**kept, "directions": shown, "values": self.values, "names": self.names}

    def _columns(self) -> dict[str, Any]:
        names = ["state", "a", "b", "name_a", "name_b", "correlation", "use_a", "use_b", "ratio", "unforeseen"]
        names += ["evidence", "n_flips"]
        columns: dict[str, Any] = {name: [getattr(one, name) for one in self.units] for name in names}
        for field in ("ratio", "unforeseen"):
            for place, end in enumerate(("low", "high")):
                columns[f"{field}_{end}"] = [getattr(one, f"{field}_interval")[place] for one in self.units]
        return columns
