"""Marks of a LabelMe file: outlines, boxes (turned ones, too), circles, points and masks."""

import posixpath
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np

from likethat.sources.marks.documents import BrokenError, Id, Reading, points_of, read_as, size_of
from likethat.sources.marks.mask_file import MaskFile
from likethat.sources.marks.names import slashed
from likethat.sources.marks.records import Mark, MarkedImage, part_name

_CIRCLE = np.linspace(0, 2 * np.pi, 32, endpoint=False)  # corners of the outline that stands for it


class _Document(msgspec.Struct):
    shapes: list[Any]
    imagePath: str | None = None  # noqa: N815 - the file's own word
    imageHeight: float | None = None  # noqa: N815
    imageWidth: float | None = None  # noqa: N815


class _Shape(msgspec.Struct):
    label: Id | None
    points: list[tuple[float, float]]
    shape_type: str | None = None
    mask: str | None = None


def read_labelme(document: Mapping[str, Any], file: str, reading: Reading) -> MarkedImage:
    """Return the marks of a LabelMe document, and list in `reading` what of it cannot be used.

    Args:
        document: as parsed.
        file: its path below the folder that is read, with slashes.
        reading: takes what is skipped.

    Raises:
        BrokenError: the document itself does not read.
    """
    whole = read_as(_Document, document, "")
    size = size_of(whole.imageHeight, whole.imageWidth, "")
    marks = []
    for number, item in enumerate(whole.shapes):
        place = f"shapes[{number}]"
        try:
            marks.append(_mark(read_as(_Shape, item, place), place, reading))
        except BrokenError as error:
            reading.skip_broken(file, error)
    stem = file.rpartition("/")[2].rsplit(".", 1)[0]
    written = slashed(whole.imagePath or "") or stem
    # The path counts from the document; documents are often moved, so it is tried alone, too.
    is_whole = written.startswith("/") or ":" in written.split("/")[0]
    image = written if is_whole else posixpath.normpath(posixpath.join(posixpath.dirname(file), written))
    return MarkedImage(image=image, marks=tuple(marks), size=size, also=(written,), tool="LabelMe")


def _mark(shape: _Shape, place: str, reading: Reading) -> Mark:
    name, kind = part_name("" if shape.label is None else shape.label), shape.shape_type or "polygon"
    if not name:
        raise BrokenError(place, "it names no part")
    if kind == "mask":
        return _mask(shape, name, place, reading)
    if kind not in _SHAPES:
        raise BrokenError(place, f"was left out: shapes of type {kind!r:.40} have no inside")
    make, least, most = _SHAPES[kind]
    points = points_of(shape.points, f"{place}.points", least=least, most=most)
    if kind == "rectangle" and (np.ptp(points, axis=0) == 0).any():
        raise BrokenError(f"{place}.points", "must span a width and height above 0")
    return make(name, points)


def _mask(shape: _Shape, name: str, place: str, reading: Reading) -> Mark:
    """Return a mask that stands in the box of its two points, whose last pixels belong to it."""
    if shape.mask is None:
        raise BrokenError(place, "lacks the field `mask`")
    corners = points_of(shape.points, f"{place}.points", least=2, most=2)
    first, last = corners.min(0).round().astype(int).tolist(), corners.max(0).round().astype(int).tolist()
    height, width = last[1] - first[1] + 1, last[0] - first[0] + 1
    found = MaskFile.from_base64(shape.mask, f"{place}.mask")
    if found.size not in ((height, width), (height - 1, width - 1)):  # some tools write the box's end
        got = f"{found.size[1]} x {found.size[0]}"
        raise BrokenError(f"{place}.mask", f"must fill its box of {width} x {height} pixels, got {got}")
    mask, (left, top) = reading.cut(found.mask, f"{place}.mask")
    return Mark(name=name, mask=mask, at=(first[0] + left, first[1] + top))


def _box(name: str, points: Any) -> Mark:
    (left, top), (right, bottom) = points.min(0).tolist(), points.max(0).tolist()
    return Mark(name=name, box=(left, top, right, bottom))


def _circle(name: str, points: Any) -> Mark:
    radius = float(np.linalg.norm(points[1] - points[0]))
    return Mark(name=name, polygons=[points[0] + radius * np.stack([np.cos(_CIRCLE), np.sin(_CIRCLE)], axis=1)])


def _point(name: str, points: Any) -> Mark:
    return Mark(name=name, point=(float(points[0, 0]), float(points[0, 1])))


def _outline(name: str, points: Any) -> Mark:
    return Mark(name=name, polygons=[points])


_SHAPES: dict[str, tuple[Callable[[str, Any], Mark], int, int | None]] = {
    "circle": (_circle, 2, 2),
    "oriented_rectangle": (_outline, 4, 4),
    "point": (_point, 1, 1),
    "polygon": (_outline, 3, None),
    "rectangle": (_box, 2, 4),
    "rotation": (_outline, 4, 4),  # X-AnyLabeling's word
}
"""How each type of shape becomes a mark, and how many points it has."""
