"""Rectangles of cells, by hand."""

import pytest
import torch

from likethat.errors import InputError
from likethat.functional.windows import likest_window, marked_cells


@pytest.mark.parametrize(
    ("mark", "window"),
    [
        ((0.0, 0.0, 1.0, 1.0), (0, 0, 2, 4)),
        ((0.0, 0.0, 0.124, 1.0), (0, 0, 2, 1)),  # no middle of a cell: the one under the mark's own
        ((0.125, 0.0, 0.126, 0.26), (0, 0, 1, 1)),  # the first column's middle, and the first row's
        ((0.25, 0.5, 0.75, 1.0), (1, 1, 2, 3)),
        ((0.99, 0.99, 1.0, 1.0), (1, 3, 2, 4)),
    ],
)
def test_marked_cells(mark: tuple[float, float, float, float], window: tuple[int, int, int, int]) -> None:
    found, cells = marked_cells(mark, grid=(2, 4))
    assert found == window
    assert cells.sum() == (window[2] - window[0]) * (window[3] - window[1])
    assert bool(cells[window[0] : window[2], window[1] : window[3]].all())


@pytest.mark.parametrize("mark", [(0.5, 0.0, 0.5, 1.0), (0.0, 0.6, 1.0, 0.2), (-0.1, 0, 1, 1), (0, 0, float("nan"), 1)])
def test_a_mark_that_is_none_is_refused(mark: tuple[float, float, float, float]) -> None:
    with pytest.raises(InputError, match=r"`mark` must be left, top, right and bottom"):
        marked_cells(mark, grid=(2, 4))


def test_likest_window_by_hand() -> None:
    first = [[1.0, 0.0, 3.0], [0.0, 0.0, 3.0]]
    second = [[0.0, 1.0, 4.0], [0.0, 2.0, 4.0]]
    feature_map = torch.tensor([first, second])
    cosine, window = likest_window(feature_map, torch.tensor([6.0, 8.0]), window=(2, 1))
    assert window == (0, 2, 2, 3)  # a column of (3, 4) twice
    assert cosine == pytest.approx(1.0)
    cosine, window = likest_window(feature_map, torch.tensor([0.0, 1.0]), window=(1, 2))
    assert window == (1, 0, 2, 2)  # means: (.5, .5), (1.5, 2.5); (0, 1), (1.5, 3)
    assert cosine == pytest.approx(1.0)
    assert likest_window(feature_map, torch.ones(2), window=(5, 5))[1] == (0, 0, 2, 3)
    assert likest_window(torch.zeros(2, 2, 2), torch.ones(2), window=(1, 1)) == (0.0, (0, 0, 1, 1))
