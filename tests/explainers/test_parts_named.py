"""From marks to the share of each cell, worked out by hand on a network of 2 x 3 cells."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import likethat as lt
from likethat.errors import InputError
from likethat.explainers.parts.marked import MarkedPicture
from likethat.explainers.parts.named import _lesson, _of_points, learn_names, marked_shares
from likethat.features import Features, collect
from likethat.sources.marks.records import SURROUNDINGS, Mark, MarkedImage

GRID = (2, 3)


@pytest.fixture(scope="module")
def model() -> lt.SplitModel:
    """One cell for every 8 x 8 pixels of a picture of 16 x 24."""
    network = nn.Sequential(nn.AvgPool2d(8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    return lt.split(network.eval(), preprocess=None, example=torch.rand(2, 3, 16, 24))


def shares_of(model: lt.SplitModel, *marks: Mark, orientation: int = 1, frame: Any = None) -> dict[str, list[float]]:
    image = MarkedImage(image="robin.jpg", marks=marks)
    picture = MarkedPicture(row=0, marked=image, size=(16, 24), orientation=orientation, frame=frame)
    problems: list[tuple[str, str]] = []
    found = marked_shares(model, picture, GRID, problems=problems)
    assert problems == []
    return {name: cells.tolist() for name, cells in found.items()}


def box(name: str, left: float, top: float, right: float, bottom: float) -> Mark:
    return Mark(name=name, box=(left, top, right, bottom))


def test_a_cell_belongs_to_the_parts_on_it_in_proportion_and_else_to_the_surroundings(model: lt.SplitModel) -> None:
    found = shares_of(model, box("beak", 0, 0, 8, 4), box("eye", 0, 4, 8, 6), box("wing", 16, 8, 24, 16))
    # Of the first cell the beak covers a half and the eye a quarter: two thirds and one third of what is known.
    assert found["beak"] == pytest.approx([2 / 3, 0, 0, 0, 0, 0])
    assert found["eye"] == pytest.approx([1 / 3, 0, 0, 0, 0, 0])
    assert found["wing"] == pytest.approx([0, 0, 0, 0, 0, 1])
    assert found[SURROUNDINGS] == pytest.approx([0, 1, 1, 1, 1, 0])


def test_a_part_that_covers_less_than_a_tenth_of_a_cell_does_not_take_it(model: lt.SplitModel) -> None:
    found = shares_of(model, box("beak", 0, 0, 9, 2))  # a quarter of the first cell, a 32nd of the second
    assert found["beak"] == pytest.approx([1, 0, 0, 0, 0, 0])
    assert found[SURROUNDINGS] == pytest.approx([0, 1, 1, 1, 1, 1])


def test_surroundings_that_are_marked_take_no_cell_from_a_part(model: lt.SplitModel) -> None:
    found = shares_of(model, box("beak", 0, 0, 8, 8), box("background", 8, 0, 16, 8))
    assert found["beak"] == pytest.approx([1, 0, 0, 0, 0, 0])
    assert found[SURROUNDINGS] == pytest.approx([0, 1, 1, 1, 1, 1])


def test_marks_of_stored_pixels_are_turned_with_the_picture(model: lt.SplitModel) -> None:
    found = shares_of(model, box("beak", 16, 8, 24, 16), orientation=3, frame="stored")  # upside down
    assert found["beak"] == pytest.approx([1, 0, 0, 0, 0, 0])


def test_a_part_beside_what_the_network_sees_is_said_and_the_others_count() -> None:
    network = nn.Sequential(nn.AvgPool2d(8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)).eval()
    cropped = lt.split(network, preprocess=lt.Preprocess(size=16), example=torch.rand(2, 3, 16, 16))
    image = MarkedImage(image="robin.jpg", marks=(box("tail", 0, 0, 4, 16), box("beak", 4, 0, 12, 8)))
    problems: list[tuple[str, str]] = []
    picture = MarkedPicture(row=0, marked=image, size=(16, 24), orientation=1, frame="upright")
    found = marked_shares(cropped, picture, (2, 2), problems=problems)  # of 24 columns, the middle 16
    assert problems == [("robin.jpg", "the mark of 'tail' lies outside what the network sees")]
    assert found["beak"].tolist() == pytest.approx([1, 0, 0, 0])
    alone = MarkedImage(image=3, marks=(box("tail", 0, 0, 4, 16),))
    picture = MarkedPicture(row=0, marked=alone, size=(16, 24), orientation=1, frame="upright")
    assert marked_shares(cropped, picture, (2, 2), problems=problems) == {}
    assert problems[1][0] == "3"


def touching(rows: int, columns: int, *cells: tuple[int, int]) -> Tensor:
    found = torch.zeros(rows, columns)
    for cell in cells:
        found[cell] = 0.02  # a point is a small disc
    return found.flatten()


def test_cells_three_away_from_all_points_are_surroundings() -> None:
    covered = {"beak": touching(8, 8, (0, 0)), "eye": touching(8, 8, (7, 7))}
    around = _of_points(covered, (8, 8))[SURROUNDINGS].reshape(8, 8)
    expected = torch.ones(8, 8)
    expected[:3, :3] = expected[5:, 5:] = 0
    assert torch.equal(around, expected)


def test_a_point_says_what_its_cell_shows_alone() -> None:
    covered = {"beak": touching(4, 4, (0, 0)), "eye": touching(4, 4, (0, 0), (0, 1))}
    covered["eye"][1] = 0.015  # most of the eye's disc lies in the first cell
    found = _of_points(covered, (4, 4))
    assert found["beak"].nonzero().flatten().tolist() == [0]
    assert (float(found["beak"][0]), float(found["eye"][0])) == (0.5, 0.5)  # two parts in one cell share it
    assert found["eye"].nonzero().flatten().tolist() == [0]
    total = torch.stack(list(found.values())).sum(0)
    assert set(total.tolist()) == {0.0, 1.0}


def test_surroundings_that_a_point_marks_are_what_is_marked() -> None:
    found = _of_points({"beak": touching(8, 8, (0, 0)), SURROUNDINGS: touching(8, 8, (7, 7))}, (8, 8))
    assert found[SURROUNDINGS].nonzero().flatten().tolist() == [63]


def test_one_point_on_a_picture_teaches_its_cell_and_what_is_far(model: lt.SplitModel) -> None:
    found = shares_of(model, Mark(name="beak", point=(4.0, 4.0)))
    assert found["beak"] == pytest.approx([1, 0, 0, 0, 0, 0])
    assert found[SURROUNDINGS] == pytest.approx([0] * 6)  # two rows of three: nothing is far


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(4, 3, 16, 24, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def features(model: lt.SplitModel, images: Tensor) -> Features:
    return collect(model, lt.Images(images))


def test_a_lesson_holds_the_cells_of_which_most_is_known(
    model: lt.SplitModel, images: Tensor, features: Features
) -> None:
    beak = torch.tensor([0.6, 1.0, 0.2, 0.0, 0.0, 0.5])
    around = torch.tensor([0.2, 0.0, 0.2, 0.0, 1.0, 0.0])
    shares = {2: {"beak": beak, SURROUNDINGS: around}, 0: {SURROUNDINGS: around}}
    lesson = _lesson(model, lt.Images(images), features, shares, ("beak", SURROUNDINGS))
    assert lesson.images.tolist() == [0, 2, 2, 2]
    assert torch.equal(lesson.cells, torch.stack([features.maps[0, :, 4], *features.maps[2].T[[0, 1, 4]]]))
    torch.testing.assert_close(lesson.targets, torch.tensor([[0.0, 1.0], [0.75, 0.25], [1.0, 0.0], [0.0, 1.0]]))


def learned(model: lt.SplitModel, images: Any, features: Features, marks: lt.Marks) -> Any:
    return learn_names(model, images, features, marks, [])


@pytest.mark.slow
def test_names_stand_in_order_with_surroundings_last(model: lt.SplitModel, images: Tensor, features: Features) -> None:
    corners = {"wing": (0, 0, 8, 8), "beak": (8, 0, 16, 8), "Background": (16, 8, 24, 16)}
    found = learned(model, lt.Images(images), features, lt.Marks.of({0: corners, 2: {"eye": (0, 8, 8, 16)}}))
    assert found.names == ("beak", "eye", "wing", SURROUNDINGS)
    assert found.n_images == 2


def test_one_part_is_enough_and_none_is_refused(model: lt.SplitModel, images: Tensor, features: Features) -> None:
    source = lt.Images(images)
    mask = np.zeros((16, 24), dtype=bool)
    mask[:8, :8] = True
    assert learned(model, source, features, lt.Marks.of({1: {"beak": mask}})).names == ("beak", SURROUNDINGS)
    with pytest.raises(InputError, match=r"must mark at least one part .* got none that can be used.$"):
        learned(model, source, features, lt.Marks.of({1: {"background": mask}}))
    with pytest.raises(InputError, match=r"First: robin.jpg: it is marked, but no image of that name"):
        learned(model, source, features, lt.Marks.of({"robin.jpg": {"beak": mask}}))
