"""Pixels of one mark, within its bounding box."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from likethat.sources.mark_frames import Size

__all__ = ["SAME_FROM", "Mask", "Piece", "of_box", "of_disc", "of_mask", "of_outlines"]

Mask = npt.NDArray[np.bool_]
Points = npt.NDArray[np.float64]

SAME_FROM = 0.9
"""Overlap of two masks of different names, intersection over union, that makes them contradict."""

_POINT_RADIUS = 1 / 40  # of the shorter side
_FARTHEST = 2.0**24  # pixels: beyond, float32 and Pillow's integers lose them


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
        """Return intersection over union; 0 where it cannot exceed `SAME_FROM`."""
        larger = max(self.n_pixels, other.n_pixels)
        common = tuple(
            slice(max(one.start, two.start), min(one.stop, two.stop))
            for one, two in zip(self.place, other.place, strict=True)
        )
        sides = [max(side.stop - side.start, 0) for side in common]
        if min(self.n_pixels, other.n_pixels) <= SAME_FROM * larger or sides[0] * sides[1] <= SAME_FROM * larger:
            return 0.0
        shared = int(np.count_nonzero(self._within(common) & other._within(common)))
        return shared / (self.n_pixels + other.n_pixels - shared)

    def _within(self, common: tuple[slice, ...]) -> Mask:
        rows, columns = (
            slice(side.start - own.start, side.stop - own.start) for side, own in zip(common, self.place, strict=True)
        )
        return self.pixels[rows, columns]


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
    corners = [np.floor(outline + 1e-6).astype(np.int64) for outline in near]  # 2.9999999 is 3, rounded
    left, top = np.maximum(np.min([one.min(0) for one in corners], axis=0), 0).tolist()
    right, bottom = np.minimum(np.max([one.max(0) for one in corners], axis=0) + 1, shape[::-1]).tolist()
    if right <= left or bottom <= top:
        return None
    canvas = Image.new("1", (right - left, bottom - top))
    pen = ImageDraw.Draw(canvas)
    for outline in corners:
        pen.polygon([(x - left, y - top) for x, y in outline.tolist()], fill=1)
    return _cropped(np.asarray(canvas).astype(bool), top, left)


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
