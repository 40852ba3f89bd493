"""Pixels of one mark, within its bounding box."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from likethat.sources.marks.frames import Size

Mask = npt.NDArray[np.bool_]
Points = npt.NDArray[np.float64]

SAME_FROM = 0.9
"""Overlap of two masks of different names, intersection over union, that makes them contradict."""

_POINT_RADIUS = 1 / 40  # of the shorter side
_FARTHEST = 2.0**24  # pixels: beyond, float32 has no whole numbers
_BESIDE = 1e-3  # pixels from the middle of one, to see on which side of an edge it lies
_EDGES_AT_ONCE = 4096  # of an outline: bounds memory by that many crossings of each row


@dataclass(frozen=True, kw_only=True, eq=False)
class Piece:
    """A mark's pixels within its bounding box.

    Attributes:
        place: rows and columns of the box.
        pixels: within it.
        n_pixels: how many of them are set.
    """

    place: tuple[slice, slice]
    pixels: Mask
    n_pixels: int

    def overlap(self, other: "Piece") -> float:
        """Return intersection over union."""
        common = tuple(
            slice(max(one.start, two.start), min(one.stop, two.stop))
            for one, two in zip(self.place, other.place, strict=True)
        )
        if any(side.stop <= side.start for side in common):
            return 0.0
        shared = int(np.count_nonzero(self._within(common) & other._within(common)))
        return shared / (self.n_pixels + other.n_pixels - shared)

    def _within(self, common: tuple[slice, ...]) -> Mask:
        rows, columns = (
            slice(side.start - own.start, side.stop - own.start) for side, own in zip(common, self.place, strict=True)
        )
        return self.pixels[rows, columns]


def alike(pieces: Sequence[Piece], names: Sequence[str]) -> Iterator[tuple[int, list[int]]]:
    """Yield each piece, and the earlier ones of other names that may overlap it by `SAME_FROM`, by boxes and sizes."""
    known = {name: number for number, name in enumerate(dict.fromkeys(names))}
    if len(known) < 2:
        return
    numbers = np.array([known[name] for name in names])
    boxes = np.array([[side.start for side in one.place] + [side.stop for side in one.place] for one in pieces])
    sizes = np.array([one.n_pixels for one in pieces])
    for later in range(1, len(pieces)):
        sides = np.minimum(boxes[later, 2:], boxes[:later, 2:]) - np.maximum(boxes[later, :2], boxes[:later, :2])
        larger, smaller = np.maximum(sizes[later], sizes[:later]), np.minimum(sizes[later], sizes[:later])
        common = np.maximum(sides, 0).prod(axis=1)
        is_other = numbers[later] != numbers[:later]
        found = np.flatnonzero(is_other & (smaller > SAME_FROM * larger) & (common > SAME_FROM * larger))
        yield later, found.tolist()


def _is_near(points: Points) -> bool:
    return bool((np.abs(points) <= _FARTHEST).all())  # False for NaN, too


def of_mask(mask: Mask, at: tuple[int, int], shape: Size, size: Size) -> Piece | None:
    """Return a mask whose first pixel lies at `at` of a picture of `size`, on a picture of `shape`.

    Each pixel takes what lies under its centre. None where nothing of the mask is there.
    """
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.int64) - first
        for new, old, first in zip(shape, size, (at[1], at[0]), strict=True)
    )
    inside = [np.flatnonzero((side >= 0) & (side < n)) for side, n in zip((rows, columns), mask.shape, strict=True)]
    if not (len(inside[0]) and len(inside[1])):
        return None
    pixels = mask[np.ix_(rows[inside[0]], columns[inside[1]])].astype(bool)
    return _cropped(pixels, int(inside[0][0]), int(inside[1][0]))


def of_outlines(outlines: list[Points], shape: Size) -> Piece | None:
    """Fill outlines, (point, 2) each of x and y; the pixels that corners lie in belong to them.

    None where nothing is inside the picture. What has fewer than 3 corners has no inside.
    """
    near = [outline for outline in outlines if len(outline) >= 3 and _is_near(outline)]
    if not near:
        return None
    corners = [np.floor(outline + 1e-6) for outline in near]  # 2.9999999 is 3, rounded
    first = np.maximum(np.min([one.min(0) for one in corners], axis=0), 0)
    left, top = first.astype(int).tolist()
    right, bottom = np.minimum(np.max([one.max(0) for one in corners], axis=0) + 1, shape[::-1]).astype(int).tolist()
    if right <= left or bottom <= top:
        return None
    pixels = np.zeros((bottom - top, right - left), dtype=bool)
    for outline in corners:
        # On both sides of every edge, so that the pixels on it are inside; Pillow's own filling takes minutes for some.
        for down in (-_BESIDE, _BESIDE):
            for along in (-_BESIDE, _BESIDE):
                pixels |= _inside(outline - first, pixels.shape, down, along)
        columns, rows = (outline - first).T.astype(np.int64)
        is_there = (columns >= 0) & (columns < pixels.shape[1]) & (rows >= 0) & (rows < pixels.shape[0])
        pixels[rows[is_there], columns[is_there]] = True  # a sharp corner has no inside beside it
    return _cropped(pixels, top, left)


def _inside(outline: Points, shape: tuple[int, ...], down: float, along: float) -> Mask:
    """Return the pixels that lie inside an outline by the even-odd rule, seen from a little beside their middles."""
    height, width = shape
    crossings = np.zeros(height * (width + 1), dtype=bool)
    for start in range(0, len(outline), _EDGES_AT_ONCE):
        ends = outline[np.arange(start, min(start + _EDGES_AT_ONCE, len(outline)) + 1) % len(outline)]
        (x, y), (next_x, next_y) = ends[:-1].T, ends[1:].T
        first = np.clip(np.ceil(np.minimum(y, next_y) - down), 0, height).astype(np.int64)
        n_rows = np.clip(np.ceil(np.maximum(y, next_y) - down), 0, height).astype(np.int64) - first
        edges = np.repeat(np.arange(len(x)), n_rows)
        rows = np.arange(len(edges)) - np.repeat(np.cumsum(n_rows) - n_rows, n_rows) + first[edges]
        slope = (next_x - x)[edges] / (next_y - y)[edges]
        at = x[edges] + (rows + down - y[edges]) * slope
        columns = np.clip(np.ceil(at - along), 0, width).astype(np.int64)
        crossings ^= np.bincount(rows * (width + 1) + columns, minlength=len(crossings)) % 2 == 1
    return np.logical_xor.accumulate(crossings.reshape(height, width + 1), axis=1)[:, :width]


def of_box(corners: Points, shape: Size) -> Piece | None:
    """Fill the pixels whose centres lie in a box (left, top), (right, bottom); at least one where it has an inside."""
    if not _is_near(corners) or not (corners[1] > corners[0]).all():
        return None
    first = np.ceil(corners[0] - 0.5)
    last = np.maximum(np.ceil(corners[1] - 0.5), first + 1)
    left, top = np.maximum(first, 0).astype(int).tolist()
    right, bottom = np.minimum(last, shape[::-1]).astype(int).tolist()
    if right <= left or bottom <= top:
        return None
    return _cropped(np.ones((bottom - top, right - left), dtype=bool), top, left)


def of_disc(point: Points, shape: Size) -> Piece | None:
    """Fill a small disc around a point (x, y); None where the point lies outside."""
    (x, y), (height, width) = point.tolist(), shape
    if not (0 <= x < width and 0 <= y < height):
        return None
    radius = max(1.0, _POINT_RADIUS * min(height, width))
    top, left = max(int(y - radius), 0), max(int(x - radius), 0)
    rows, columns = np.ogrid[top : min(int(y + radius) + 2, height), left : min(int(x + radius) + 2, width)]
    return _cropped((columns - x) ** 2 + (rows - y) ** 2 <= radius**2, top, left)


def _cropped(pixels: Mask, top: int, left: int) -> Piece | None:
    n_pixels = int(np.count_nonzero(pixels))
    height, width = pixels.shape
    place = (slice(top, top + height), slice(left, left + width))
    return Piece(place=place, pixels=pixels, n_pixels=n_pixels) if n_pixels else None
