"""Names that a bank itself suggests for a unit: what its prototypes have in common in their labels, never invented."""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from likethat.explanations.names import is_name
from likethat.explanations.records import Prototype

if TYPE_CHECKING:
    from likethat.explanations.bank import Bank

_LEAST, _SHARE = 3, 0.6  # prototypes, and of all the unit's: two of two agree by chance too often
_TIMES = 2.0  # as frequent among the unit's as among all: a word that every class has says nothing of a unit


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """A name for a unit.

    Attributes:
        name: as it may be given to `Bank.rename`.
        source: what it is suggested from.
        n: prototypes that have it.
        of: prototypes that could.
    """

    name: str
    source: str
    n: int
    of: int


def suggested_names(bank: "Bank", unit: int) -> tuple[Suggestion, ...]:
    """Return names for a unit from the labels of its prototypes, the most common first; empty where they share none.

    They are true parts under the boxes, classes, and words that several classes share ("wader" of "reed wader" and
    "dart wader"), of three prototypes and three fifths of them at least, and twice as frequent as among all prototypes.
    """
    shared = _shared(name for item in bank.prototypes_of(unit) for name in _classes(bank, item))
    kinds: tuple[tuple[str, Callable[[Prototype], Iterable[str]]], ...] = (
        ("the parts under its boxes", lambda item: [item.true_part] if item.true_part else []),
        ("the classes of its pictures", lambda item: _classes(bank, item)),
        ("a word that classes of its pictures share", lambda item: _words(_classes(bank, item)) & shared),
    )
    found: dict[str, Suggestion] = {}
    for source, labels in kinds:
        for one in _common(bank, unit, source, labels):
            found.setdefault(one.name.casefold(), one)
    own = bank.coordinates.unit_names
    return tuple(one for one in found.values() if is_name(one.name, unit, own))


def _common(
    bank: "Bank", unit: int, source: str, labels: Callable[[Prototype], Iterable[str]]
) -> tuple[Suggestion, ...]:
    own, every = bank.prototypes_of(unit), [item for item in bank.prototypes if item.kind == "positive"]
    counts, total = (_counted(items, labels) for items in (own, every))
    return tuple(
        Suggestion(name=name, source=source, n=n, of=len(own))
        for name, n in counts.most_common()
        if n >= max(_LEAST, _SHARE * len(own)) and n / len(own) >= _TIMES * total[name] / len(every)
    )


def _counted(items: Iterable[Prototype], labels: Callable[[Prototype], Iterable[str]]) -> Counter[str]:
    return Counter(name for item in items for name in set(labels(item)))


def _classes(bank: "Bank", item: Prototype) -> list[str]:
    if item.label_name:
        return [item.label_name]
    index = item.predicted if item.label is None else item.label
    return [] if index is None or not 0 <= index < len(bank.class_names) else [bank.class_names[index]]


def _words(names: Iterable[str]) -> set[str]:
    return {word for name in names for word in re.findall(r"[^\W\d_]{3,}", name)}


def _shared(names: Iterable[str]) -> set[str]:
    """Return words of two classes or more: those of a single one are pieces of its name."""
    counts = Counter(word for name in set(names) for word in _words([name]))
    return {word for word, n in counts.items() if n > 1}
