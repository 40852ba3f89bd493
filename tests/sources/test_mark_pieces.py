"""Pixels of one mark by hand, and outlines beside a slow twin."""

import numpy as np
import pytest

from likethat.sources.marks.pieces import Piece, alike, of_box, of_mask, of_outlines


def pixels(piece: Piece | None, shape: tuple[int, int]) -> list[list[int]]:
    canvas = np.zeros(shape, dtype=int)
    if piece is not None:
        canvas[piece.place] = piece.pixels
    return canvas.tolist()


def test_an_outline_holds_the_pixels_on_its_edges() -> None:
    square = np.array([[1.0, 1.0], [3.0, 1.0], [3.0, 2.0], [1.0, 2.0]])
    assert pixels(of_outlines([square], (4, 5)), (4, 5)) == [[0] * 5, [0, 1, 1, 1, 0], [0, 1, 1, 1, 0], [0] * 5]


def test_a_triangle_by_hand() -> None:
    triangle = np.array([[0.0, 0.0], [3.0, 3.0], [0.0, 3.0]])
    assert pixels(of_outlines([triangle], (4, 4)), (4, 4)) == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]


@pytest.mark.parametrize("seed", range(5))
def test_outlines_beside_a_slow_twin(seed: int) -> None:
    rng = np.random.default_rng(seed)
    outline = np.floor(rng.random((6, 2)) * [16, 14] - 3)
    expected = np.zeros((8, 10), dtype=int)
    for row in range(8):
        for column in range(10):
            for x, y in ((column + a, row + b) for a in (-1e-3, 1e-3) for b in (-1e-3, 1e-3)):
                crossings = 0
                for (x0, y0), (x1, y1) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
                    if (y0 > y) != (y1 > y) and x < x0 + (y - y0) * (x1 - x0) / (y1 - y0):
                        crossings += 1
                expected[row, column] |= crossings % 2
            expected[row, column] |= [column, row] in outline.tolist()
    assert pixels(of_outlines([outline], (8, 10)), (8, 10)) == expected.tolist()


def test_a_box_narrower_than_a_pixel_is_one() -> None:
    assert pixels(of_box(np.array([[1.2, 0.0], [1.4, 1.0]]), (1, 3)), (1, 3)) == [[0, 1, 0]]
    assert of_box(np.array([[2.0, 0.0], [1.0, 1.0]]), (1, 3)) is None
    assert of_box(np.array([[np.nan, 0.0], [1.0, 1.0]]), (1, 3)) is None


def test_a_cut_mask_lies_where_it_was() -> None:
    mask = np.ones((1, 1), dtype=bool)
    assert pixels(of_mask(mask, (1, 0), (2, 4), (1, 2)), (2, 4)) == [[0, 0, 1, 1], [0, 0, 1, 1]]
    assert of_mask(mask, (5, 0), (2, 4), (1, 2)) is None


def test_alike_finds_pairs_of_one_place_and_size() -> None:
    boxes = [((0, 0), (10, 10)), ((0, 0), (10, 10)), ((20, 20), (30, 30)), ((0, 0), (5, 5))]
    pieces = [of_box(np.array(box, dtype=float), (40, 40)) for box in boxes]
    found = [piece for piece in pieces if piece is not None]
    assert list(alike(found, ["a", "b", "c", "d"])) == [(1, [0]), (2, []), (3, [])]
    assert list(alike(found, ["a", "a", "c", "d"])) == [(1, []), (2, []), (3, [])]
    assert list(alike(found, ["a"] * 4)) == list(alike([], [])) == []
