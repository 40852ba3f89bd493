"""What an audit found beside shortcuts, in words: a sentence, what it means, its numbers, and what its pictures are."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from likethat.explanations.audit import Audit, Finding
from likethat.report.text import count, percent, shorten


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


def _slice(_: Audit, one: Finding) -> FindingText:
    facts = one.facts
    share, right, expected = (percent(facts[name]) for name in ("share", "accuracy", "accuracy_expected"))
    of_unit = (
        "Units are independent components of what the network sees beside its evidence: the pictures say what one is."
    )
    of_pixels = "Pictures of this kind are few among those the network learned from, or were prepared in another way."
    return FindingText(
        title="A slice of low accuracy",
        sentence=f"Of the {share} of pictures with the {one.what}, {right} are right; at the rate of their classes "
        f"{expected} would be.",
        meaning=of_unit if "unit" in one.what else of_pixels,
        facts=(
            ("wrong beyond their classes, on other pictures", f"{one.score:.2f} ({_ends(one)})"),
            ("where errors are dealt out by chance", f"{one.null:.2f}"),
            ("in the slice when found again", percent(one.agreement)),
            ("pictures searched", f"{facts['pictures_searched']:,.0f}"),
        ),
        on="Wrong, and in the slice",
        off="Right, of the same classes, and outside it",
    )


def _ends(one: Finding) -> str:
    return f"{one.interval[0]:.2f} to {one.interval[1]:.2f}"


def _unlike(_: Audit, one: Finding) -> FindingText:
    n, is_test = one.n_pictures, any(each.image.startswith("test-") for each in one.pictures)
    kind = "test picture" if is_test else "picture"
    said = count(n, kind)
    return FindingText(
        title="Pictures unlike the others",
        sentence=f"{said[:1].upper()}{said[1:]} {'is' if n == 1 else 'are'} unlike "
        f"{'those the network learned from' if is_test else 'the others'}.",
        meaning="What the model says of them is a guess. They may be of another set, or damaged.",
        facts=(
            ("share of the pictures", _share(one)),
            ("of vectors without any that are unlike", percent(one.null)),
            ("by light, contrast, detail and colour", f"{one.facts['by_pixels']:,.0f}"),
            ("by what the network sees", f"{one.facts['by_features']:,.0f}"),
            ("without a near neighbour, too", percent(one.agreement)),
        ),
        on="Unlike the others, the furthest first",
        off="The most usual",
    )


def _surroundings(_: Audit, one: Finding) -> FindingText:
    what = shorten(one.what, 40)
    return FindingText(
        title="Surroundings that carry a class",
        sentence=f"In the edge of a picture of another class, {percent(one.score)} more pictures are given to that "
        f"class; most are pulled to “{what}” ({percent(one.facts['strongest_pull'])}).",
        meaning="An eighth of each side was swapped for another picture's. Where objects reach the edge, or live in "
        "one place, clean networks follow it too, by up to a seventh: whether this one may, only you know.",
        facts=(
            ("pulled by the edge, beyond an edge of the own class", f"{one.score:.2f} ({_ends(one)})"),
            ("where the two edges are dealt out by chance", f"{one.null:.2f}"),
            ("right in an edge of the own class alone, of those right there", percent(one.agreement)),
            ("pictures put into two edges", f"{one.n_pictures:,}"),
        ),
        on="In the edge of another class, and given to it",
        off="The same in an edge of the own class",
    )


def doubt_facts(one: Finding) -> tuple[tuple[str, str], ...]:
    """Return the numbers of all doubtful labels, each with its name."""
    return (
        ("share of the labels", _share(one)),
        ("if all labels were right, and the model as sure as it may be", percent(one.null)),
        ("the nearest pictures have that other class, too", percent(one.agreement)),
    )


def _share(one: Finding) -> str:
    return f"{percent(one.score)} ({percent(one.interval[0])} to {percent(one.interval[1])})"


_TEXTS: dict[str, Callable[[Audit, Finding], FindingText]] = {
    "copies": _copies,
    "slice": _slice,
    "unlike": _unlike,
    "surroundings": _surroundings,
}
