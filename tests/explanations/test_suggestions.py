"""Names that a bank suggests: only what most of a unit's prototypes have, and others have not."""

import dataclasses

import pytest
from toys import pictures, small_cnn

import likethat as lt
from likethat.explanations.suggestions import suggested_names

CLASSES = ("reed wader", "dart wader", "cap owl")


@pytest.fixture(scope="module")
def bank() -> lt.Bank:
    model = lt.split(small_cnn(), preprocess=lt.Preprocess(size=16), class_names=CLASSES)
    return lt.EPIC(n_prototypes=5).fit(model, pictures(60))


def labelled(bank: lt.Bank, unit: int, labels: list[int], parts: list[str | None]) -> lt.Bank:
    """Return the bank with these labels and parts for one unit's prototypes, and owls for all others."""
    own = iter(zip(labels, parts, strict=True))
    items = []
    for item in bank.prototypes:
        label, part = next(own) if item.unit == unit and item.kind == "positive" else (2, "wing")
        items.append(dataclasses.replace(item, label=label, label_name=None, true_part=part))
    kept = {name: getattr(bank, name) for name in ("coordinates", "images", "head", "provenance", "usage")}
    return lt.Bank(prototypes=items, class_names=CLASSES, **kept)


def test_what_most_have_in_common_is_suggested_with_its_source(bank: lt.Bank) -> None:
    unit = bank.prototypes[0].unit
    assert len(bank.prototypes_of(unit)) == 5
    told = suggested_names(labelled(bank, unit, [0, 1, 0, 1, 2], ["beak", "beak", "beak", None, "eye"]), unit)
    assert [(one.name, one.source, one.n, one.of) for one in told] == [
        ("beak", "the parts under its boxes", 3, 5),
        ("wader", "a word that classes of its pictures share", 4, 5),
    ]


def test_what_is_as_frequent_everywhere_or_rare_is_not_suggested(bank: lt.Bank) -> None:
    unit = bank.prototypes[0].unit
    told = labelled(bank, unit, [2] * 5, ["wing"] * 5)
    assert suggested_names(told, unit) == ()
    assert suggested_names(labelled(bank, unit, [0, 0, 1, 1, 2], ["a", "a", "b", "b", "c"]), unit)[0].name == "wader"
    assert suggested_names(labelled(bank, unit, [0, 1, 2, 2, 2], [None] * 5), unit) == ()


def test_a_class_before_the_words_in_it(bank: lt.Bank) -> None:
    unit = bank.prototypes[0].unit
    told = suggested_names(labelled(bank, unit, [0, 0, 0, 0, 1], [None] * 5), unit)
    assert [(one.name, one.n) for one in told] == [("reed wader", 4), ("wader", 5)]
    alone = suggested_names(labelled(bank, unit, [0] * 5, [None] * 5), unit)
    assert [(one.name, one.n) for one in alone] == [("reed wader", 5)]
