"""Marks: where the user has seen a part, on a few images, as masks, polygons, boxes or points."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw

from likethat._checks import check_count
from likethat.errors import InputError

__all__ = ["SURROUNDINGS", "Mark", "MarkedImage", "Marks"]

Mask = npt.NDArray[np.bool_]
SURROUNDINGS = "surroundings"
"""What is no part of the object; unmarked pixels belong to it."""

_NO_PART = {"background", "_background_", "__background__", "surroundings", "bg"}
_POINT_RADIUS = 1 / 40  # of the shorter side
_SAME_FROM = 0.9  # overlap of two masks of different names, intersection over union, that makes them contradict


@dataclass(frozen=True, kw_only=True, eq=False)
class Mark:
    """One part marked on one image; exactly one of the shapes is given, in pixels of the image as it is on disk.

    Attributes:
        name: of the part.
        mask: (height, width).
        polygons: outlines, each (point, 2) of x and y.
        box: left, top, right, bottom.
        point: x and y.
    """

    name: str
    mask: Mask | None = None
    polygons: Sequence[npt.ArrayLike] = ()
    box: tuple[float, float, float, float] | None = None
    point: tuple[float, float] | None = None

    def drawn(self, height: int, width: int) -> Mask:
        """Return the mark's pixels; nothing where it lies outside."""
        if self.mask is not None:
            picture = Image.fromarray(self.mask.astype(np.uint8))
            return np.asarray(picture.resize((width, height), Image.Resampling.NEAREST)).astype(bool)
        canvas = Image.new("1", (width, height))
        pen = ImageDraw.Draw(canvas)
        for outline in self.polygons:
            corners = [(float(x), float(y)) for x, y in np.asarray(outline, dtype=float).reshape(-1, 2)]
            if len(corners) >= 3:
                pen.polygon(corners, fill=1)
        if self.box is not None:
            left, top, right, bottom = self.box
            if right > left and bottom > top:
                pen.rectangle((left, top, max(right - 1, left), max(bottom - 1, top)), fill=1)
        if self.point is not None:
            return _disc(self.point, height, width)
        return np.asarray(canvas).astype(bool)


def _disc(point: tuple[float, float], height: int, width: int) -> Mask:
    x, y = point
    if not (0 <= x < width and 0 <= y < height):
        return np.zeros((height, width), dtype=bool)
    rows, columns = np.ogrid[:height, :width]
    radius = max(1.0, _POINT_RADIUS * min(height, width))
    return np.asarray((columns - x) ** 2 + (rows - y) ** 2 <= radius**2)


@dataclass(frozen=True, kw_only=True, eq=False)
class MarkedImage:
    """The marks of one image.

    Attributes:
        image: its name (a path, or the end of one), or its number in the source.
        marks: of its parts.
        size: height and width that the marks refer to; the image's own when None.
    """

    image: str | int
    marks: tuple[Mark, ...]
    size: tuple[int, int] | None = None

    @property
    def has_only_points(self) -> bool:
        """Whether nothing says where a part ends: then unmarked pixels may belong to a part."""
        return all(mark.point is not None for mark in self.marks)

    def drawn(self, height: int, width: int, problems: list[tuple[str, str]]) -> dict[str, Mask]:
        """Return each part's pixels, no pixel in two: where marks overlap, the smaller is on top.

        What cannot be used is left out, with a sentence in `problems`.
        """
        shape = self.size or (height, width)
        pieces: list[tuple[str, Mask]] = []
        for mark in self.marks:
            name, pixels = mark.name.strip(), mark.drawn(*shape)
            if not name:
                problems.append((self._called, "a mark names no part; it was left out"))
            elif not pixels.any():
                problems.append((self._called, f"the mark of {name!r} lies outside the image or is empty"))
            else:
                pieces.append((SURROUNDINGS if name.lower() in _NO_PART else name, pixels))
        pieces = self._agreeing(pieces, problems)
        label = np.full(shape, -1)
        names = [name for name, _ in pieces]
        for place in sorted(range(len(pieces)), key=lambda index: -int(pieces[index][1].sum())):
            label[pieces[place][1]] = place
        found: dict[str, Mask] = {}
        for place, name in enumerate(names):
            mask = _resized(label == place, height, width)
            found[name] = found[name] | mask if name in found else mask
        return found

    def _agreeing(self, pieces: list[tuple[str, Mask]], problems: list[tuple[str, str]]) -> list[tuple[str, Mask]]:
        against: set[int] = set()
        for first in range(len(pieces)):
            for second in range(first):
                (name, mask), (other, other_mask) = pieces[first], pieces[second]
                overlap = (mask & other_mask).sum() / (mask | other_mask).sum()
                if name != other and overlap > _SAME_FROM:
                    against |= {first, second}
                    reason = f"the same place is marked as {other!r} and as {name!r}; both were left out"
                    problems.append((self._called, reason))
        return [piece for place, piece in enumerate(pieces) if place not in against]

    @property
    def _called(self) -> str:
        return self.image if isinstance(self.image, str) else f"image {self.image}"


def _resized(mask: Mask, height: int, width: int) -> Mask:
    if mask.shape == (height, width):
        return mask
    picture = Image.fromarray(mask.astype(np.uint8)).resize((width, height), Image.Resampling.NEAREST)
    return np.asarray(picture).astype(bool)


class _Drawn(Protocol):
    """A source that knows where its parts are: its samples have masks."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Marks:
    """Parts marked on a few images of a source, for `PartPrototypes(way="named")`.

    Attributes:
        images: marks by image.
        skipped: (name, reason) of what in the files could not be used.

    Example:
        >>> marks = Marks.of({"robin.jpg": {"beak": (10, 20, 30, 40), "eye": (25, 18)}})
        >>> marks.names
        ('beak', 'eye')
    """

    images: tuple[MarkedImage, ...]
    skipped: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, marks: Mapping[str | int, Mapping[str, Any]]) -> "Marks":
        """Take marks from memory: by image name or number, then by part.

        A mark is a mask (height, width), a box (left, top, right, bottom), a point (x, y), or a list of points (an
        outline).

        Raises:
            InputError: something else.
        """
        return cls(
            images=tuple(
                MarkedImage(image=image, marks=tuple(_as_mark(name, value) for name, value in parts.items()))
                for image, parts in marks.items()
            )
        )

    @classmethod
    def from_truth(cls, source: _Drawn, n: int = 20, *, seed: int = 0) -> "Marks":
        """Mark the true parts of `n` images of a drawn source (`likethat.creatures`), chosen at random."""
        check_count(n, name="n")
        order = torch.randperm(len(source), generator=torch.Generator().manual_seed(seed))[:n].sort().values
        return cls.of({int(index): dict(source[int(index)].masks) for index in order})

    @classmethod
    def read(cls, path: str | Path) -> "Marks":
        """Read marks: a COCO or LabelMe JSON file, a folder of LabelMe files, or a folder of PNG masks.

        See `likethat.sources.mark_files` for the layouts.

        Raises:
            InputError: nothing there, or in no format that is known.
        """
        from likethat.sources.mark_files import read_marks

        images, skipped = read_marks(Path(path))
        return cls(images=tuple(images), skipped=tuple(skipped))

    @property
    def names(self) -> tuple[str, ...]:
        """The parts that are marked, by name, surroundings left out."""
        names = {mark.name.strip() for image in self.images for mark in image.marks}
        return tuple(sorted(name for name in names if name and name.lower() not in _NO_PART))

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[MarkedImage]:
        return iter(self.images)


def _as_mark(name: str, value: Any) -> Mark:
    array = np.asarray(value)
    if array.ndim == 2 and array.shape[1] == 2 and array.dtype != bool and len(array) >= 3:
        return Mark(name=name, polygons=[array])
    if array.ndim == 2:
        return Mark(name=name, mask=array.astype(bool))
    if array.shape == (4,):
        left, top, right, bottom = (float(number) for number in array)
        return Mark(name=name, box=(left, top, right, bottom))
    if array.shape == (2,):
        return Mark(name=name, point=(float(array[0]), float(array[1])))
    raise InputError(
        f"the mark of {name!r} must be a mask (height, width), a box (left, top, right, bottom), a point (x, y) or an "
        f"outline (point, 2), got shape {array.shape}."
    )
