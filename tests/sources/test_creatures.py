"""Drawn creatures: repeatable, balanced, with true parts that can be taken away."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import likethat as lt
from likethat.errors import InputError
from likethat.sources.creatures import (
    CLASS_NAMES,
    CLASS_PARTS,
    PART_NAMES,
    REMOVABLE_PARTS,
    VARIANTS,
    Pose,
    coverage,
    draw,
)


@pytest.fixture(scope="module")
def book() -> Any:
    return lt.creatures(48, seed=3, size=64)


def test_the_issue_is_met() -> None:
    assert len(CLASS_NAMES) == len(set(CLASS_NAMES)) >= 20
    assert len(PART_NAMES) >= 6
    assert all(len(variants) >= 4 for variants in VARIANTS.values())


def test_no_part_gives_the_class_away() -> None:
    assert len({tuple(sorted(parts.items())) for parts in CLASS_PARTS}) == len(CLASS_NAMES)
    for part in PART_NAMES:
        for variant in VARIANTS[part]:
            assert sum(parts[part] == variant for parts in CLASS_PARTS) != 1


def test_pictures_depend_on_seed_and_number_alone(book: Any) -> None:
    first = book[7].image
    assert torch.equal(first, lt.creatures(9, seed=3, size=64)[7].image)
    assert not torch.equal(first, lt.creatures(9, seed=4, size=64)[7].image)
    assert first.shape == (3, 64, 64)
    assert 0.0 <= float(first.min()) < float(first.max()) <= 1.0


@pytest.mark.slow
def test_order_of_access_and_the_other_doors_do_not_matter(book: Any) -> None:
    again = lt.creatures(48, seed=3, size=64)
    backwards = [again[index].image for index in reversed(range(6))][::-1]
    images, labels = lt.creatures(6, seed=3, size=64).tensors()
    for index in range(6):
        assert torch.equal(book[index].image, backwards[index])
        assert torch.equal(book[index].image, images[index].float() / 255)
        assert torch.equal(book[index].image, draw(book.creature(index), 64))
        assert book.label(index) == labels[index]


def test_neighbours_in_a_family_differ_in_two_parts() -> None:
    for index, parts in enumerate(CLASS_PARTS):
        differing = [sum(parts[part] != other[part] for part in PART_NAMES) for other in CLASS_PARTS]
        assert sorted(differing)[:4] == [0, 2, 2, 2], CLASS_NAMES[index]


def test_every_variant_is_worn_in_two_families() -> None:
    for part in PART_NAMES:
        for variant in VARIANTS[part]:
            assert len({index // 4 for index, parts in enumerate(CLASS_PARTS) if parts[part] == variant}) >= 2


def test_a_part_taken_off_can_be_put_back(book: Any) -> None:
    creature = book.creature(2)
    assert creature.without("tail").swap("tail", creature.parts["tail"]) == creature


@pytest.mark.slow
def test_any_variant_can_be_drawn_on_any_build(book: Any) -> None:
    kinds = {book.creature(index).kind: index for index in range(24)}
    assert set(kinds) == {"bird", "beast"}
    for index in kinds.values():
        for part in PART_NAMES:
            for variant in VARIANTS[part]:
                assert book.with_part(index, part, variant).masks[part].any(), (part, variant)


def test_classes_are_balanced(book: Any) -> None:
    labels = [book.label(index) for index in range(48)]
    assert np.bincount(labels, minlength=24).tolist() == [2] * 24
    assert [book[index].label for index in (0, 11)] == [labels[0], labels[11]]


@pytest.mark.slow
def test_masks_are_disjoint_and_parts_are_seen(book: Any) -> None:
    seen = dict.fromkeys(PART_NAMES, 0)
    for index in range(24):
        masks = book[index].masks
        assert np.stack(list(masks.values())).sum(0).max() <= 1
        for part, mask in masks.items():
            assert mask.shape == (64, 64)
            seen[part] += int(mask.any())
    assert min(seen.values()) >= 22


@pytest.mark.parametrize("part", REMOVABLE_PARTS)
def test_removing_a_part_leaves_all_else(part: str, book: Any) -> None:
    for index in range(3):
        whole, bare = book[index], book.without(index, part)
        assert part not in bare.masks or not bare.masks[part].any()
        place = 1 + PART_NAMES.index(part)
        touched = coverage(whole.creature, 64)[place] > 0
        changed = (whole.image != bare.image).any(0).numpy()
        assert changed.any()
        assert not (changed & ~touched).any()


@pytest.mark.parametrize("part", PART_NAMES)
def test_swapping_a_part_leaves_all_else(part: str, book: Any) -> None:
    whole = book[5]
    other = next(variant for variant in VARIANTS[part] if variant != whole.parts[part])
    swapped = book.with_part(5, part, other)
    assert swapped.parts == {**whole.parts, part: other}
    place = 1 + PART_NAMES.index(part)
    touched = (coverage(whole.creature, 64)[place] > 0) | (coverage(swapped.creature, 64)[place] > 0)
    changed = (whole.image != swapped.image).any(0).numpy()
    assert changed.any()
    assert not (changed & ~touched).any()


def test_true_part_is_the_largest_in_the_box(book: Any) -> None:
    masks = book[4].masks
    rows, columns = np.nonzero(masks["body"])
    middle = (int(np.median(columns)), int(np.median(rows)))
    box = (middle[0] - 2, middle[1] - 2, middle[0] + 2, middle[1] + 2)
    shares = {part: mask[box[1] : box[3], box[0] : box[2]].mean() for part, mask in masks.items()}
    assert book.true_part(4, box) == max(shares, key=lambda part: shares[part])
    assert book.true_part(4, (0, 0, 6, 6)) is None


def test_removed_parts(book: Any) -> None:
    bare = lt.creatures(60, seed=3, size=32, removed_parts=1.0)
    assert all(len(bare.creature(index).parts) == len(PART_NAMES) - 1 for index in range(60))
    assert all(len(book.creature(index).parts) == len(PART_NAMES) for index in range(48))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lt.creatures(0), "`n` must be a whole number of at least 1, got 0"),
        (lambda: lt.creatures(2, size=4), "`size` must be a whole number of at least 16"),
        (lambda: lt.creatures(2, removed_parts=1.5), "must be a number from 0 to 1, got 1.5"),
        (lambda: lt.creatures(2).without(0, "body"), "body"),
        (lambda: lt.creatures(2).with_part(0, "tail", "jet"), "jet"),
        (lambda: lt.creatures(2).true_part(0, (5, 5, 5, 9)), "inside 96 x 96 pixels"),
        (lambda: lt.creatures(True), "`n` must be a whole number"),
        (lambda: lt.creatures(2, seed=-1), "`seed` must be a whole number of at least 0, got -1"),
        (lambda: lt.creatures(2, removed_parts=float("nan")), "must be a number from 0 to 1, got nan"),
        (lambda: lt.creatures(2).without(0, "fin"), "`part` must be one of .*'tail'.*, got 'fin'"),
        (lambda: Pose(tilt=float("nan")), "`pose` must be finite"),
        (lambda: replace(lt.creatures(2).creature(0), label=24), "`label` must be from 0 to 23, got 24"),
        (lambda: replace(lt.creatures(2).creature(0), variants=("spotted",)), "`variants` must be 8"),
        (lambda: draw(lt.creatures(2).creature(0), 8), "`size` must be a whole number of at least 16, got 8"),
    ],
)
def test_bad_calls(call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
