"""What an audit found beside shortcuts, in words: a sentence, what it means, its numbers, and what its pictures are."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from likethat.explanations.audit import Audit, Finding
from likethat.report.text import count, percent

__all__ = ["FindingText", "finding_text"]


@dataclass(frozen=True, kw_only=True)
class FindingText:
    """A finding in words.

    Attributes:
        title: what kind it is.
        sentence: what was found.
        meaning: what follows from it.
        facts: numbers, each with its name.
        on: what the pictures concerned are.
        off: what they are compared with.
    """

    title: str
    sentence: str
    meaning: str
    facts: tuple[tuple[str, str], ...]
    on: str
    off: str


def finding_text(found: Audit, one: Finding) -> FindingText:
    """Return what a finding says."""
    return _TEXTS[one.kind](found, one)


def _copies(_: Audit, one: Finding) -> FindingText:
    facts = one.facts
    before, without = facts["accuracy"], facts["accuracy_without"]
    said = (
        ""
        if math.isnan(before) or math.isnan(without)
        else f" Accuracy on all test pictures is {percent(before)}, on the others {percent(without)}."
    )
    n = one.n_pictures
    return FindingText(
        title="Test pictures that are copies",
        sentence=f"{count(n, 'test picture')[:1].upper()}{count(n, 'test picture')[1:]} "
        f"{'has a near copy' if n == 1 else 'have near copies'} among the training pictures.",
        meaning=f"What the model says of them is no evidence of what it says of new pictures.{said}",
        facts=(
            ("share of the test pictures", _share(one)),
            ("of chance", f"{percent(one.null)}"),
            ("likeness of a copy and its original, at half of them or more", f"{facts['likeness']:.2f}"),
            ("limit of likeness", f"{facts['limit']:.2f}"),
            ("the network finds the original near, too", percent(one.agreement)),
        ),
        on="Test picture",
        off="Most alike training picture",
    )


def _share(one: Finding) -> str:
    return f"{percent(one.score)} ({percent(one.interval[0])} to {percent(one.interval[1])})"


_TEXTS: dict[str, Callable[[Audit, Finding], FindingText]] = {"copies": _copies}
