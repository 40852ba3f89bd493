"""Peak cells, boxes and contributions, by hand."""

import pytest
import torch

from likethat.functional import cell_box, contributions, coverage, peak_cells


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


def test_contributions_by_hand() -> None:
    # v = (2, 1): (1, 0).v = 2, (0, 3).v = 3; together (1, 3).v = 5.
    values = contributions(torch.tensor([2.0, 1.0]), torch.tensor([[1.0, 0.0], [0.0, 3.0]]))
    assert values.tolist() == [2.0, 3.0]


@pytest.mark.parametrize(
    ("values", "top", "expected"), [([4.0, 3.0, 1.0, -5.0], 2, 0.875), ([-1.0, -2.0], 1, 0.0), ([1.0], 9, 1.0)]
)
def test_coverage(values: list[float], top: int, expected: float) -> None:
    assert float(coverage(torch.tensor(values), top=top)) == pytest.approx(expected)


def test_a_box_ends_where_the_next_begins_to_the_pixel() -> None:
    # 5 pixels over 8 cells: cells 0 and 1 both begin at pixel 0; cell 0 would be empty, and is one pixel
    boxes = [cell_box((0, column), grid=(1, 8), size=(1, 5)) for column in range(8)]
    assert [box[0] for box in boxes] == [0, 0, 1, 1, 2, 3, 3, 4]
    assert [box[2] for box in boxes] == [1, 1, 2, 2, 3, 4, 4, 5]
    assert all(box[1::2] == (0, 1) for box in boxes)
