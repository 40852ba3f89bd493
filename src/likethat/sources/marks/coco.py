"""Marks of a COCO file: outlines, run lengths, boxes (turned ones, too) and keypoints."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from likethat.sources.marks.documents import (
    BrokenError,
    Id,
    Reading,
    check_pixels,
    key_of,
    points_of,
    read_as,
    size_of,
)
from likethat.sources.marks.frames import Size
from likethat.sources.marks.records import Mark, MarkedImage, part_name
from likethat.sources.marks.run_lengths import run_lengths

_VISIBLE = 2  # COCO's third number of a keypoint: 0 not labelled, 1 labelled but hidden, 2 visible


class _Image(msgspec.Struct):
    id: Id
    file_name: str
    width: float | None = None
    height: float | None = None


class _Category(msgspec.Struct):
    id: Id
    name: Id | None = None
    keypoints: list[Id] | None = None


class _Annotation(msgspec.Struct):
    image_id: Id
    category_id: Id | None = None
    category_name: str | None = None
    segmentation: Any = None
    bbox: list[float] | None = None
    keypoints: list[float] | None = None
    attributes: Any = None


class _Runs(msgspec.Struct):
    size: tuple[int, int]
    counts: list[int] | str


def read_coco(document: Mapping[str, Any], file: str, reading: Reading) -> list[MarkedImage]:
    """Return the marks of a COCO document, and list in `reading` what of it cannot be used."""
    images = _images(document, file, reading)
    categories = _categories(document, file, reading)
    marks: dict[str, list[Mark]] = defaultdict(list)
    sizes: dict[str, Size | None] = {key: size for key, (_, size) in images.items()}
    for number, item in enumerate(_list(document, "annotations", file, reading)):
        place = f"annotations[{number}]"
        try:
            annotation = read_as(_Annotation, item, place)
            key = key_of(annotation.image_id)
            if key not in images:
                raise BrokenError(place, f"is for image {key!r:.80}, which is not among the file's images")
            found, size = _marks(annotation, categories, sizes[key], place, reading)
        except BrokenError as error:
            reading.skip_broken(file, error)
            continue
        sizes[key] = size
        marks[key] += found
    tool = "Label Studio" if _contributor(document) == "Label Studio" else "COCO"
    return [
        MarkedImage(image=images[key][0], marks=tuple(found), size=sizes[key], tool=tool)
        for key, found in marks.items()
        if found
    ]


def _list(document: Mapping[str, Any], name: str, file: str, reading: Reading) -> Sequence[Any]:
    items = document.get(name) or []
    if isinstance(items, list):
        return items
    reading.skip(file, f"must be `array`, got `{type(items).__name__}`", name)
    return []


def _contributor(document: Mapping[str, Any]) -> Any:
    info = document.get("info")
    return info.get("contributor") if isinstance(info, dict) else None


def _images(document: Mapping[str, Any], file: str, reading: Reading) -> dict[str, tuple[str, Size | None]]:
    """Return name and stated size by id."""
    images: dict[str, tuple[str, Size | None]] = {}
    for number, item in enumerate(_list(document, "images", file, reading)):
        place = f"images[{number}]"
        try:
            image = read_as(_Image, item, place)
            size = size_of(image.height, image.width, place)
            key = key_of(image.id)
            if key in images and images[key][0] != image.file_name:
                raise BrokenError(f"{place}.id", f"{key!r:.80} is that of {images[key][0]!r:.80}, too")
        except BrokenError as error:
            reading.skip_broken(file, error)
            continue
        images[key] = (image.file_name, size)
    names = Counter(name for name, _ in images.values())
    for name, n in names.items():
        if n > 1:
            reading.skip(file, f"holds {name!r:.80} {n} times; its marks were joined", "images")
    return images


def _categories(document: Mapping[str, Any], file: str, reading: Reading) -> dict[str, _Category]:
    """Return categories by id and by name; of a plain list of names, by name and by number where that is clear."""
    items = _list(document, "categories", file, reading)
    if items and all(isinstance(item, str) for item in items):
        named = {name: _Category(id=name, name=name) for name in items}
        first = _first_number(document.get("annotations"), len(items))
        if first is None:
            reading.skip(file, "holds names alone, which may be numbered from 0 or from 1", "categories")
            return named
        return named | {str(place): named[name] for place, name in enumerate(items, start=first)}
    found: dict[str, _Category] = {}
    for number, item in enumerate(items):
        try:
            category = read_as(_Category, item, f"categories[{number}]")
            key = key_of(category.id)
            if key in found and found[key].name != category.name:
                found[key] = _Category(id=key)  # no name: what belongs to it is listed
                raise BrokenError(f"categories[{number}].id", f"{key!r:.80} is that of another category, too")
        except BrokenError as error:
            reading.skip_broken(file, error)
            continue
        found[key] = category
    return {str(one.name): one for one in found.values() if one.name is not None} | found


def _first_number(annotations: Any, n: int) -> int | None:
    """Return 0 or 1, from which the categories of a list of names are numbered; None where the annotations fit both."""
    used = {str(item.get("category_id")) for item in annotations or [] if isinstance(item, dict)}
    return None if ("0" in used) == (str(n) in used) else 0 if "0" in used else 1


def _marks(
    annotation: _Annotation, categories: Mapping[str, _Category], size: Size | None, place: str, reading: Reading
) -> tuple[list[Mark], Size | None]:
    """Return the marks of one annotation, and the size that they and the image's others refer to."""
    category = _category_of(annotation, categories, place)
    points, n_labelled = _keypoints(annotation, category, place)
    if n_labelled:
        if not points:
            raise BrokenError(f"{place}.keypoints", "holds none that is visible")
        return points, size
    name, segmentation = part_name(category.name), annotation.segmentation
    if isinstance(segmentation, dict):
        runs = read_as(_Runs, segmentation, f"{place}.segmentation")
        if size is not None and runs.size != size:
            raise BrokenError(f"{place}.segmentation.size", f"must be the image's {list(size)}, got {list(runs.size)}")
        mask, at = reading.cut(_filled(runs, f"{place}.segmentation"), place)
        return [Mark(name=name, mask=mask, at=at)], runs.size
    if segmentation:
        return [Mark(name=name, polygons=_outlines(segmentation, f"{place}.segmentation"))], size
    if annotation.bbox:
        return [_box(annotation, name, f"{place}.bbox")], size
    raise BrokenError(place, "it holds no outline, box or point")


def _category_of(annotation: _Annotation, categories: Mapping[str, _Category], place: str) -> _Category:
    given = annotation.category_id if annotation.category_id is not None else annotation.category_name
    category = None if given is None else categories.get(key_of(given))
    if category is None or category.name is None or not part_name(category.name):
        raise BrokenError(place, "it names no part: its category is unknown")
    return category


def _keypoints(annotation: _Annotation, category: _Category, place: str) -> tuple[list[Mark], int]:
    """Return the visible keypoints, and how many are labelled at all."""
    names, values = category.keypoints or [], annotation.keypoints or []
    if not names or not values:
        return [], 0
    if len(values) != 3 * len(names):
        raise BrokenError(
            f"{place}.keypoints", f"must hold 3 numbers for each of {len(names)} names, got {len(values)}"
        )
    found, n_labelled = [], 0
    for number, name in enumerate(names):
        x, y, seen = values[3 * number : 3 * number + 3]
        n_labelled += seen > 0
        if seen == _VISIBLE:
            points_of([x, y], f"{place}.keypoints[{3 * number}]", least=1)
            found.append(Mark(name=part_name(name), point=(x, y)))
    return found, n_labelled


def _outlines(segmentation: Any, place: str) -> list[npt.NDArray[np.float64]]:
    """Return outlines of a list of them, or of one that stands alone, as VIA writes it."""
    is_one = isinstance(segmentation, list) and all(isinstance(value, int | float) for value in segmentation)
    outlines = read_as(list[list[float]], [segmentation] if is_one else segmentation, place)
    return [points_of(outline, f"{place}[{number}]", least=3) for number, outline in enumerate(outlines)]


def _box(annotation: _Annotation, name: str, place: str) -> Mark:
    values = annotation.bbox or []
    if len(values) != 4:
        raise BrokenError(place, f"must hold left, top, width and height, got {len(values)} numbers")
    points_of(values, place, least=2)
    left, top, width, height = values
    if width <= 0 or height <= 0:
        raise BrokenError(place, f"must have a width and height above 0, got {width:g} x {height:g}")
    angle = annotation.attributes.get("rotation") if isinstance(annotation.attributes, dict) else None
    if not angle:
        return Mark(name=name, box=(left, top, left + width, top + height))
    degrees = read_as(float, angle, place.removesuffix("bbox") + "attributes.rotation")
    if not np.isfinite(degrees):
        raise BrokenError(f"{place.removesuffix('bbox')}attributes.rotation", f"must be finite, got {degrees}")
    # CVAT turns clockwise around the middle; corners are those of the first and the last pixel.
    half = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * np.array([width - 1, height - 1]) / 2
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    middle = np.array([left + (width - 1) / 2, top + (height - 1) / 2])
    return Mark(name=name, polygons=[middle + half @ np.array([[cosine, sine], [-sine, cosine]])])


def _filled(runs: _Runs, place: str) -> npt.NDArray[np.bool_]:
    height, width = runs.size
    check_pixels(height, width, f"{place}.size")
    try:
        return run_lengths(runs.counts, height=height, width=width)
    except ValueError as error:
        raise BrokenError(f"{place}.counts", f"must fill the image, got {error}") from error
