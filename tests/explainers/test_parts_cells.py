"""Which class an image is for, which cells its class learns from, and which classes are factorised together."""

from typing import Any

import numpy as np
import pytest
import torch
from toys import features_of

from likethat.errors import InputError
from likethat.explainers.parts import cells as module
from likethat.explainers.parts.cells import ClassCells, blocks, cells_of, classes_of, seeded
from likethat.features import Features

NAMES = ("ant", "bee", "cat")


def passed(**more: Any) -> Features:
    """Four images: two of them have labels."""
    maps = torch.arange(24.0).reshape(4, 2, 3)
    return features_of(maps, predicted=torch.tensor([2, 1, 0, 0]), **more)


def member(n: int, *, images: int = 1, target: int = 0, n_channels: int = 2) -> ClassCells:
    """A class of n cells, dealt out to its images in turn."""
    return ClassCells(
        target=target, cells=torch.ones(n, n_channels), images=torch.arange(n) % images,
        places=torch.zeros(n, dtype=torch.long), rows=torch.arange(images), n_all=n,
    )  # fmt: skip


def test_labels_of_the_source_go_before_predictions_and_predictions_stand_in_where_there_are_none() -> None:
    labels = torch.tensor([-1, 0, -1, -1])  # class 0 is a label like any other
    assert classes_of(passed(labels=labels), None, NAMES).tolist() == [-1, 0, -1, -1]
    assert classes_of(passed(labels=labels), "given", NAMES).tolist() == [-1, 0, -1, -1]
    assert classes_of(passed(labels=labels), "predicted", NAMES).tolist() == [2, 1, 0, 0]
    assert classes_of(passed(), None, NAMES).tolist() == [2, 1, 0, 0]
    with pytest.raises(InputError, match=r"got 'given'\. The images have none\."):
        classes_of(passed(), "given", NAMES)


def test_labels_of_the_source_that_are_no_classes_say_why() -> None:
    features = passed()
    features.remarks.append("Its labels are of other classes.")
    with pytest.raises(InputError, match="The images have none"):  # the remark speaks of something else
        classes_of(features, "given", NAMES)
    features.data["labels"] = {"accuracy": 0.0}
    with pytest.raises(InputError, match="Its labels are of other classes"):
        classes_of(features, "given", NAMES)


def test_labels_beyond_the_classes_stop_only_who_wants_them() -> None:
    features = passed(labels=torch.tensor([0, 1, 2, -1]))
    features.data["labels"] = {"beyond": 7}
    for labels in (None, "given"):
        with pytest.raises(InputError, match=r"from 0 to 2 .* got up to 7 from the images"):
            classes_of(features, labels, NAMES)
    assert classes_of(features, "predicted", NAMES).tolist() == [2, 1, 0, 0]
    assert classes_of(features, [0, 0, 1, 1], NAMES).tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([0, 1, 2, -1], [0, 1, 2, -1]),
        (["cat", "ant", None, "bee"], [2, 0, -1, 1]),
        (np.array(["cat", "ant", "bee", "bee"]), [2, 0, 1, 1]),
        (("ant", 2, -1, "bee"), [0, 2, -1, 1]),  # names and indices may be mixed
        (torch.tensor([2, 2, 0, 0, 1]), [2, 2, 0, 0]),  # more items than images could be read
    ],
    ids=str,
)
def test_classes_are_given_by_index_or_by_name(given: Any, expected: list[int]) -> None:
    assert classes_of(passed(), given, NAMES).tolist() == expected


def test_a_label_belongs_to_the_item_of_its_number_where_images_were_skipped() -> None:
    features = passed()
    features.indices = torch.tensor([0, 2, 3, 5])
    assert classes_of(features, [0, 9, 1, 2, 9, 0], NAMES).tolist() == [0, 1, 2, 0]
    with pytest.raises(InputError, match=r"at least 6, got torch.int64 of shape \(5,\)"):
        classes_of(features, [0, 0, 1, 2, 0], NAMES)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([3, 0, 0, 0], "from 0 to 2 .* got 0 to 3"),
        ([-2, 0, 0, 0], "from 0 to 2 .* got -2 to 0"),
        ([0.0, 1.0, 1.0, 1.0], "got torch.float32 of shape"),
        ([[0, 1, 1, 1]] * 4, "got torch.int64 of shape"),
        (["dog", "ant", "bee", "bee"], "got 'dog', which is none of 'ant', 'bee', 'cat'"),
        (["yak", "ant", "dog", "bee"], "got 'dog', which is none of"),
        ({"ant": 1}, "got dict"),
        (["ant", "", "bee", "bee"], "must be classes of the model where they are names, got ''"),
    ],
    ids=str,
)
def test_classes_that_cannot_be_meant_are_refused(given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        classes_of(passed(), given, NAMES)


def test_cells_of_a_class_by_hand() -> None:
    features, classes = passed(), torch.tensor([1, 0, 1, 0])
    found = cells_of(features, classes, 1, limit=6, seed=0)
    # Image 0 holds 0..5 (two channels of three cells), image 2 holds 12..17.
    assert found.cells.tolist() == [[0, 3], [1, 4], [2, 5], [12, 15], [13, 16], [14, 17]]
    assert found.images.tolist() == [0, 0, 0, 2, 2, 2]
    assert found.places.tolist() == [0, 1, 2, 0, 1, 2]
    assert found.rows.tolist() == [0, 2]
    assert (found.n_all, found.n_images, len(found)) == (6, 2, 6)


def test_images_whose_maps_are_not_held_count_as_images_but_give_no_cells() -> None:
    features = passed()
    features.kept, features.maps = torch.tensor([1, 2]), features.maps[1:3]
    found = cells_of(features, torch.tensor([1, 0, 1, 1]), 1, limit=100, seed=0)
    assert found.rows.tolist() == [0, 2, 3]
    assert set(found.images.tolist()) == {2}
    assert found.cells.tolist() == [[12, 15], [13, 16], [14, 17]]


def test_a_sample_of_cells_is_a_sample() -> None:
    features = features_of(torch.arange(400.0).reshape(10, 2, 20))
    classes = torch.zeros(10, dtype=torch.long)
    found = cells_of(features, classes, 0, limit=50, seed=0)
    assert (len(found), found.n_all) == (50, 200)
    pairs = list(zip(found.images.tolist(), found.places.tolist(), strict=True))
    assert pairs == sorted(set(pairs))  # in order, none twice
    for (image, place), cell in zip(pairs, found.cells, strict=True):
        assert torch.equal(cell, features.maps[image, :, place])
    assert len(set(found.images.tolist())) > 7  # of all images, not of the first
    other = cells_of(features, classes, 0, limit=50, seed=1)
    assert pairs != list(zip(other.images.tolist(), other.places.tolist(), strict=True))


def test_the_halves_take_images_in_turn_whatever_their_rows() -> None:
    cells = ClassCells(
        target=0, cells=torch.ones(6, 1), images=torch.tensor([4, 4, 6, 9, 9, 12]),
        places=torch.arange(6), rows=torch.arange(4), n_all=6,
    )  # fmt: skip
    first, second = cells.halves()
    assert first.tolist() == [True, True, False, True, True, False]
    assert second.tolist() == [False, False, True, False, False, True]


def sizes(found: Any) -> list[list[int]]:
    return [[len(item) for item in block] for block in found]


def test_neighbours_are_factorised_together_while_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 24)
    monkeypatch.setattr(module, "_BLOCK_ON_GPU", 48)
    alike = [member(n) for n in (6, 5, 4, 6, 20, 1)]

    def same(_: ClassCells) -> int:
        return 2

    # Padded to the longest, two channels: 2 * 6 * 2 = 24 fit, a third does not; 20 cells do not fit even alone.
    assert sizes(blocks(alike, same, on_gpu=False)) == [[6, 5], [4, 6], [20], [1]]
    assert sizes(blocks(alike, same, on_gpu=True)) == [[6, 5, 4, 6], [20], [1]]
    assert sizes(blocks([], same, on_gpu=False)) == []


def test_only_classes_of_the_same_number_of_parts_stand_together() -> None:
    groups = blocks([member(n) for n in (3, 3, 2, 2, 3)], len, on_gpu=False)
    assert sizes(groups) == [[3, 3], [2, 2], [3]]


def test_random_numbers_differ_by_seed_class_and_purpose() -> None:
    seeds = {seeded(*key).initial_seed() for key in [(s, t, p) for s in range(3) for t in range(40) for p in (1, 2)]}
    assert len(seeds) == 240
    assert seeded(2, 3, 1).initial_seed() == (2 * 1_000_003 + 3) * 11 + 1  # the bytes of banks rest on it
