"""Peak cells and boxes, by hand."""

import itertools

import pytest
import torch

from likethat.functional import cell_box, peak_cells


def test_peak_cells_by_hand() -> None:
    maps = torch.tensor([[[0.0, 1.0, 7.0], [5.0, 2.0, 3.0]], [[4.0, 4.0, 4.0], [4.0, 4.0, 4.0]]])
    assert peak_cells(maps).tolist() == [[0, 2], [0, 0]]  # the first of equals
    assert peak_cells(maps, lowest=True).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("cell", "grid", "size", "box"),
    [
        ((0, 0), (7, 7), (224, 224), (0, 0, 32, 32)),
        ((6, 6), (7, 7), (224, 224), (192, 192, 224, 224)),
        ((1, 0), (2, 3), (10, 10), (0, 5, 3, 10)),  # ten columns of pixels over three cells: 3, 3, 4
        ((7, 7), (8, 8), (4, 4), (3, 3, 4, 4)),  # more cells than pixels: still one pixel
    ],
)
def test_cell_box(cell: tuple[int, int], grid: tuple[int, int], size: tuple[int, int], box: tuple[int, ...]) -> None:
    assert cell_box(cell, grid=grid, size=size) == box


def test_boxes_tile_the_image() -> None:
    covered = torch.zeros(31, 50, dtype=torch.int64)
    for row in range(7):
        for column in range(9):
            left, top, right, bottom = cell_box((row, column), grid=(7, 9), size=(31, 50))
            covered[top:bottom, left:right] += 1
    assert covered.unique().tolist() == [1]


def test_a_box_ends_where_the_next_begins_to_the_pixel() -> None:
    # 5 pixels over 8 cells: cells 0 and 1 both begin at pixel 0; cell 0 would be empty, and is one pixel
    boxes = [cell_box((0, column), grid=(1, 8), size=(1, 5)) for column in range(8)]
    assert [box[0] for box in boxes] == [0, 0, 1, 1, 2, 3, 3, 4]
    assert [box[2] for box in boxes] == [1, 1, 2, 2, 3, 4, 4, 5]
    assert all(box[1::2] == (0, 1) for box in boxes)


def test_a_box_is_one_pixel_high_at_least() -> None:
    boxes = [cell_box((row, 0), grid=(8, 1), size=(5, 1)) for row in range(8)]
    assert [box[1] for box in boxes] == [0, 0, 1, 1, 2, 3, 3, 4]
    assert [box[3] for box in boxes] == [1, 1, 2, 2, 3, 4, 4, 5]


def test_maps_in_any_number_of_dimensions() -> None:
    maps = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    for one in itertools.product(range(2), range(3)):
        single = maps[one]
        for lowest, extreme in ((False, single.max()), (True, single.min())):
            row, column = peak_cells(maps, lowest=lowest)[one].tolist()
            assert single[row, column] == extreme
            assert peak_cells(single, lowest=lowest).tolist() == [row, column]
