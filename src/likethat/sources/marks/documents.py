"""Documents of marks: text in any Unicode encoding, typed items, and for what is wrong one sentence with its place."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from PIL import Image

from likethat._documents import Damaged, parse_json, read_bytes
from likethat.errors import InputError
from likethat.sources.marks.frames import Size

Id = int | float | str
"""What tools number images and categories with."""
T = TypeVar("T")
Mask = npt.NDArray[np.bool_]

_LONGEST_SIDE = 1_000_000  # pixels; JPEG ends at 65,535
_FARTHEST = 2.0**24  # pixels from the picture's corner: what lies farther is no coordinate
_MOST_PIXELS = 2**30  # of one mask, where the user has lifted Pillow's own limit
_ROOM = 2**32  # bytes that all masks of one reading may take, cut to their parts


class BrokenError(ValueError):
    """One item of a document does not read.

    Attributes:
        place: of it, such as ``annotations[3].bbox``; empty for a whole file.
        reason: what must be there and what is.
    """

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place} {reason}" if place else reason)
        self.place, self.reason = place, reason


@dataclass(kw_only=True)
class Reading:
    """What one call reads: what was skipped, and how much room masks may still take.

    Attributes:
        skipped: (place, sentence).
        room: bytes.
        named: how many files have each name.
    """

    skipped: list[tuple[str, str]] = field(default_factory=list)
    room: int = _ROOM
    named: Counter[str] = field(default_factory=Counter)

    def skip(self, file: str, reason: str, place: str = "") -> None:
        """List what cannot be used; a file is called by its name, or by its path where several have that name."""
        name = file.rpartition("/")[2]
        called = name if self.named[name] < 2 else file
        self.skipped.append((f"{called}, {place}" if place else called, reason))

    def skip_broken(self, file: str, error: BrokenError) -> None:
        """List an item that does not read."""
        self.skip(file, error.reason, error.place)

    def cut(self, mask: npt.NDArray[Any], place: str) -> tuple[Mask, tuple[int, int]]:
        """Return the part of a mask that is not empty, and its left and top.

        Raises:
            BrokenError: there is nothing in it, or no room left.
        """
        mask = mask.astype(bool)
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not len(rows):
            raise BrokenError(place, "holds an empty mask")
        top, left = int(rows[0]), int(columns[0])
        part = mask[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1].copy()
        self.room -= part.nbytes
        if self.room < 0:
            raise BrokenError(place, f"was left out: masks of more than {_ROOM >> 30} GB. Read them in several pieces.")
        return part, (left, top)


def text_of(data: bytes) -> str:
    """Decode text with a byte-order mark, or UTF-8, or UTF-16 without a mark.

    Raises:
        ValueError: neither.
    """
    return data.decode(json.detect_encoding(data))


def document_of(path: Path) -> Any:
    """Read a JSON file; NaN is taken, for the numbers' own place tells more.

    Raises:
        InputError: it is none.
    """
    try:
        return parse_json(read_bytes(path), nan=True)
    except Damaged as error:
        raise InputError(
            f"`path` must be a JSON file of marks, got {path}, which does not read: it {error}."
        ) from error


def read_as(kind: type[T], value: Any, place: str) -> T:
    """Turn a piece of a document into a typed record; fields that it does not know are passed over.

    Raises:
        BrokenError: it does not fit.
    """
    try:
        return msgspec.convert(value, kind, strict=False)
    except RecursionError as error:
        raise BrokenError(place, "is nested too deep") from error
    except (msgspec.ValidationError, OverflowError) as error:
        what, _, where = str(error).partition(" - at `$")
        if what.startswith("Expected"):
            said = what.replace("Expected ", "must be ", 1)
        elif what.startswith("Object missing required field"):
            said = what.replace("Object missing required field", "lacks the field", 1)
        else:
            said = f"does not read ({what[:1].lower()}{what[1:]})"
        raise BrokenError(place + where.rstrip("`"), said) from error


def key_of(number: Id) -> str:
    """Return what an id is compared by: 7, 7.0 and "7" are one."""
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    return str(number).strip()


def size_of(height: float | None, width: float | None, place: str) -> Size | None:
    """Return the size that a document states; None where it is null, 0 or half there.

    Raises:
        BrokenError: it is no size of a picture.
    """
    if not height or not width:
        return None
    for name, side in (("height", height), ("width", width)):
        if not (1 <= side <= _LONGEST_SIDE and float(side).is_integer()):
            raise BrokenError(
                f"{place}.{name}".lstrip("."), f"must be a whole number from 1 to {_LONGEST_SIDE:,}, got {side!r:.40}"
            )
    return int(height), int(width)


def check_pixels(height: int, width: int, place: str) -> None:
    """Refuse a mask that would take more memory than Pillow allows a picture.

    Raises:
        BrokenError: it would, or it has no pixels.
    """
    most = Image.MAX_IMAGE_PIXELS or _MOST_PIXELS
    if not (height > 0 and width > 0 and height * width <= most):
        raise BrokenError(place, f"must have 1 to {most:,} pixels, got {width!r:.20} x {height!r:.20}")


def points_of(values: Any, place: str, *, least: int, most: int | None = None) -> npt.NDArray[np.float64]:
    """Return (point, 2) of x and y.

    Raises:
        BrokenError: too few or too many, not in pairs, or not finite.
    """
    points = np.asarray(values, dtype=float)
    if points.size % 2:
        raise BrokenError(place, f"must hold pairs of x and y, got {points.size} numbers")
    points = points.reshape(-1, 2)
    if not least <= len(points) <= (most or len(points)):
        wanted = f"{least} points" if most == least else f"at least {least} point{'s' * (least > 1)}"
        raise BrokenError(place, f"must hold {wanted}, got {len(points)}")
    if not (np.abs(points) <= _FARTHEST).all():  # NaN, too
        worst = points[~(np.abs(points) <= _FARTHEST)][0]
        raise BrokenError(place, f"must be finite and near the picture, got {worst}")
    if len(points) > 1 and is_of_sides(points):
        raise BrokenError(place, "must be in pixels, got numbers from 0 to 1, as shares of the picture's sides are")
    return points


def is_of_sides(points: npt.NDArray[np.float64]) -> bool:
    """Return whether all coordinates lie in [0, 1]: shares of the picture's sides; pixels would be within one."""
    return bool(((points >= 0) & (points <= 1)).all()) and not bool((points == np.round(points)).all())
