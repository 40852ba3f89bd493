"""The steps from the bias to the logit: what is printed adds up."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from likethat.explanations.explanation import Explanation
from likethat.report.text import decimals_for, rounded_to_sum, shorten, signed

Kind = Literal["bias", "row", "others", "remainder", "rounding", "logit"]


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One piece of a bar, in percent of the axis.

    Attributes:
        left: where it begins.
        width: how wide it is.
        sign: ``"for"``, ``"against"`` or ``"total"``.
        hatched: whether it is not localised.
    """

    left: float
    width: float
    sign: Literal["for", "against", "total"]
    hatched: bool = False


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A bar of one or two pieces.

    Attributes:
        origin: where it starts, in percent of the axis.
        segments: its pieces.
    """

    origin: float
    segments: tuple[Segment, ...]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One term of the logit.

    Attributes:
        kind: what it is.
        label: what to call it.
        located: its share from places in the image (for the bias and the like: all of it).
        unlocated: its share without a place.
        place: of the row, from 0; None otherwise.
    """

    kind: Kind
    label: str
    located: float
    unlocated: float = 0.0
    place: int | None = None

    @property
    def value(self) -> float:
        """The whole term."""
        return self.located + self.unlocated


@dataclass(frozen=True, kw_only=True)
class Waterfall:
    """Terms that add up to the logit.

    Attributes:
        steps: in the order shown.
        printed: each step's number, signed; these add up to `total`.
        bars: each step's bar, and last the logit's.
        total: the logit as printed.
        decimals: that numbers of this explanation are printed with.
        zero: where the axis has its zero, in percent.
    """

    steps: tuple[Step, ...]
    printed: tuple[str, ...]
    bars: tuple[Bar, ...]
    total: str
    decimals: int
    zero: float

    @property
    def printed_rows(self) -> tuple[str, ...]:
        """The printed numbers of the rows alone, in order."""
        return tuple(number for number, step in zip(self.printed, self.steps, strict=True) if step.place is not None)


def waterfall(explanation: Explanation, noun: str = "channel") -> Waterfall:
    """Return the steps from the bias to the logit of an explanation.

    A remainder that belongs to the units (a class token's) is shown with them, hatched; others stand by name. What
    floating point loses between the terms and the logit is a step too where it could be seen.

    Args:
        explanation: what is shown.
        noun: what to call a unit.

    Raises:
        ModelError: the terms do not add up to the logit.
    """
    explanation.check()
    steps = [
        Step(kind="bias", label="bias", located=explanation.bias),
        *(
            Step(
                kind="row", label=shorten(row.name, 60), located=row.contribution, unlocated=row.unlocated, place=place
            )
            for place, row in enumerate(explanation.rows)
        ),
        *_others(explanation, noun),
        *_remainders(explanation),
    ]
    decimals = decimals_for([explanation.logit, *(step.value for step in steps)])
    missing = explanation.logit - math.fsum(step.value for step in steps)
    if abs(missing) >= 0.5 * 10**-decimals:
        steps.append(Step(kind="rounding", label="rounding", located=missing))
    rounded = rounded_to_sum([step.value for step in steps], decimals)
    bars, zero = _bars(steps, explanation.logit)
    return Waterfall(
        steps=tuple(steps),
        printed=tuple(signed(value, decimals) for value in rounded),
        bars=bars,
        total=signed(math.fsum(rounded), decimals),
        decimals=decimals,
        zero=zero,
    )


def _others(explanation: Explanation, noun: str) -> list[Step]:
    located = explanation.contributions.astype(np.float64)
    unlocated = explanation.unlocated.astype(np.float64)
    hidden = np.ones(len(located), dtype=bool)
    hidden[[row.unit for row in explanation.rows]] = False
    steps = []
    for sign, word in ((1, "for"), (-1, "against")):
        chosen = hidden & (sign * (located + unlocated) > 0)
        n = int(chosen.sum())
        if n:
            label = f"{n:,} other {noun}{'' if n == 1 else 's'} {word}"
            steps.append(
                Step(
                    kind="others",
                    label=label,
                    located=float(located[chosen].sum()),
                    unlocated=float(unlocated[chosen].sum()),
                )
            )
    return steps


def _remainders(explanation: Explanation) -> list[Step]:
    """Return the named remainders less what is shown with the units already."""
    shared = float(explanation.unlocated.sum(dtype=np.float64))
    terms = dict(explanation.remainder_terms)
    if shared and terms:
        name = min(terms, key=lambda term: abs(terms[term] - shared))
        terms[name] -= shared
        tolerance = 1e-5 * float(np.abs(explanation.unlocated).sum(dtype=np.float64))
        if abs(terms[name]) <= tolerance:
            del terms[name]
    return [Step(kind="remainder", label=shorten(name), located=value) for name, value in terms.items()]


def _bars(steps: list[Step], logit: float) -> tuple[tuple[Bar, ...], float]:
    """Return floating bars, each from where the last one ended, and the place of zero on their common axis."""
    ends = [0.0]
    for step in steps:
        ends += [ends[-1] + step.located, ends[-1] + step.value]
    low, high = min(*ends, logit), max(*ends, logit)
    span = (high - low) or 1.0

    def segment(start: float, end: float, *, hatched: bool = False, total: bool = False) -> Segment:
        left, right = sorted(((start - low) / span, (end - low) / span))
        sign: Literal["for", "against", "total"] = "total" if total else "for" if end >= start else "against"
        return Segment(left=round(100 * left, 3), width=round(100 * (right - left), 3), sign=sign, hatched=hatched)

    bars = []
    at = 0.0
    for step in steps:
        middle, end = at + step.located, at + step.value
        pieces = [segment(at, middle)] if step.located else []
        pieces += [segment(middle, end, hatched=True)] if step.unlocated else []
        bars.append(Bar(origin=round(100 * (at - low) / span, 3), segments=tuple(pieces)))
        at = end
    zero = round(100 * -low / span, 3)
    bars.append(Bar(origin=zero, segments=(segment(0.0, logit, total=True),)))
    return tuple(bars), zero
