"""Marks from files, in the field's usual formats.

- COCO: one JSON file with ``images``, ``annotations`` and ``categories``; segmentations (outlines or run lengths, plain
  or compressed), boxes where there are none, and named keypoints.
- LabelMe: one JSON file an image, or a folder of them; outlines, rectangles, circles and points.
- PNG masks, a folder a part: ``masks/beak/robin.png``, white where the part is.
- PNG masks, one an image: ``masks/robin.png`` with a part's number in each pixel, 0 for the surroundings, and
  ``masks/names.txt`` with the parts' names, one a line, from number 1.
"""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from likethat.errors import InputError
from likethat.sources.marks import Mark, MarkedImage

__all__ = ["read_marks", "run_lengths"]

Skips = list[tuple[str, str]]
Mask = npt.NDArray[np.bool_]


def read_marks(path: Path) -> tuple[list[MarkedImage], Skips]:
    """Return the marks at a path, and what there could not be used.

    Raises:
        InputError: nothing there, or in no format that is known.
    """
    skipped: Skips = []
    if path.is_dir():
        images = _folder(path, skipped)
    elif path.is_file():
        images = _file(path, skipped)
    else:
        raise InputError(f"`path` must be a file or folder of marks, got {path}, which does not exist.")
    if not images:
        first = f" First: {skipped[0][0]}: {skipped[0][1]}." if skipped else ""
        raise InputError(
            f"`path` must hold marks as COCO or LabelMe JSON or as PNG masks, got {path}, in which none was found."
            f"{first}"
        )
    return images, skipped


def _folder(path: Path, skipped: Skips) -> list[MarkedImage]:
    documents = sorted(path.glob("*.json"))
    if documents:
        found = []
        for document in documents:
            try:
                found += _file(document, skipped)
            except InputError as error:
                skipped.append((document.name, str(error)))
        return found
    if (path / "names.txt").is_file():
        return _numbered_masks(path, skipped)
    return _masks_by_part(path, skipped)


def _file(path: Path, skipped: Skips) -> list[MarkedImage]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"`path` must be a JSON file of marks, got {path}, which does not read: {error}.") from error
    if isinstance(document, dict) and "annotations" in document and "images" in document:
        return _coco(document, skipped)
    if isinstance(document, dict) and "shapes" in document:
        return [_labelme(document, path, skipped)]
    raise InputError(
        f"`path` must be COCO ('images', 'annotations') or LabelMe ('shapes') JSON, got {path}, which is neither."
    )


def _coco(document: dict[str, Any], skipped: Skips) -> list[MarkedImage]:
    categories = {item.get("id"): item for item in document.get("categories", [])}
    marks: dict[Any, list[Mark]] = defaultdict(list)
    for annotation in document["annotations"]:
        image, where = annotation.get("image_id"), f"annotation {annotation.get('id', '?')}"
        category = categories.get(annotation.get("category_id"))
        if category is None or not str(category.get("name", "")).strip():
            skipped.append((where, "it names no part: its category is unknown"))
            continue
        try:
            found = _coco_marks(annotation, category)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            skipped.append((where, f"it does not read: {error}"))
            continue
        if not found:
            skipped.append((where, "it holds no outline, box or point"))
        marks[image] += found
    images = []
    for item in document["images"]:
        found = marks.pop(item.get("id"), [])
        if found:
            size = (int(item["height"]), int(item["width"])) if "height" in item and "width" in item else None
            images.append(MarkedImage(image=str(item["file_name"]), marks=tuple(found), size=size))
    skipped += [(f"image {image}", "marks for it, but it is not among the file's images") for image in marks]
    return images


def _coco_marks(annotation: dict[str, Any], category: dict[str, Any]) -> list[Mark]:
    names = category.get("keypoints") or []
    values = np.asarray(annotation.get("keypoints") or [], dtype=float).reshape(-1, 3)
    points = [
        Mark(name=str(name), point=(float(x), float(y)))
        for name, (x, y, seen) in zip(names, values, strict=False)
        if seen > 0
    ]
    if points:
        return points
    name, segmentation = str(category["name"]), annotation.get("segmentation")
    if isinstance(segmentation, dict):
        height, width = segmentation["size"]
        return [Mark(name=name, mask=run_lengths(segmentation["counts"], height=int(height), width=int(width)))]
    if segmentation:
        return [Mark(name=name, polygons=[np.asarray(part, dtype=float).reshape(-1, 2) for part in segmentation])]
    if annotation.get("bbox"):
        left, top, width, height = (float(value) for value in annotation["bbox"])
        return [Mark(name=name, box=(left, top, left + width, top + height))]
    return []


def run_lengths(counts: list[int] | str, *, height: int, width: int) -> Mask:
    """Return the mask of COCO's run lengths: pixels column by column, off and on in turn; text is compressed.

    Raises:
        ValueError: the runs do not fill the image.

    Example:
        >>> run_lengths([1, 2, 1], height=2, width=2).astype(int).tolist()
        [[0, 1], [1, 0]]
    """
    runs = _decompressed(counts) if isinstance(counts, str) else [int(count) for count in counts]
    if sum(runs) != height * width or min(runs, default=0) < 0:
        raise ValueError(f"run lengths of {sum(runs)} pixels for an image of {height} x {width}")
    values = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return np.asarray(values.reshape(width, height).T)


def _decompressed(text: str) -> list[int]:
    """Return the counts of COCO's compressed run lengths: 5 bits a character, differences from the third on."""
    runs: list[int] = []
    value = shift = 0
    for letter in text:
        code = ord(letter) - 48
        value |= (code & 0x1F) << shift
        shift += 5
        if code & 0x20:
            continue
        if code & 0x10:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    return runs


def _labelme(document: dict[str, Any], path: Path, skipped: Skips) -> MarkedImage:
    size = None
    if document.get("imageHeight") and document.get("imageWidth"):
        size = (int(document["imageHeight"]), int(document["imageWidth"]))
    marks = []
    for number, shape in enumerate(document["shapes"]):
        try:
            mark = _labelme_mark(shape)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            skipped.append((f"{path.name}, shape {number}", f"it does not read: {error}"))
            continue
        if not mark.name.strip():
            skipped.append((f"{path.name}, shape {number}", "it names no part"))
        else:
            marks.append(mark)
    name = str(document.get("imagePath") or path.with_suffix("").name).replace("\\", "/")
    return MarkedImage(image=name, marks=tuple(marks), size=size)


def _labelme_mark(shape: dict[str, Any]) -> Mark:
    name, kind = str(shape["label"] or ""), shape.get("shape_type") or "polygon"
    points = np.asarray(shape["points"], dtype=float).reshape(-1, 2)
    if kind == "point":
        return Mark(name=name, point=(float(points[0, 0]), float(points[0, 1])))
    if kind == "rectangle":
        (left, top), (right, bottom) = points.min(0), points.max(0)
        return Mark(name=name, box=(float(left), float(top), float(right), float(bottom)))
    if kind == "circle":
        radius = float(np.linalg.norm(points[1] - points[0]))
        turns = np.linspace(0, 2 * np.pi, 32, endpoint=False)
        return Mark(name=name, polygons=[points[0] + radius * np.stack([np.cos(turns), np.sin(turns)], axis=1)])
    if kind == "polygon":
        return Mark(name=name, polygons=[points])
    raise ValueError(f"shapes of type {kind!r} have no inside")


def _masks_by_part(path: Path, skipped: Skips) -> list[MarkedImage]:
    marks: dict[str, list[Mark]] = defaultdict(list)
    for folder in sorted(item for item in path.iterdir() if item.is_dir()):
        for file in sorted(folder.rglob("*.png")):
            mask = _png(file, skipped)
            if mask is not None:
                marks[file.relative_to(folder).with_suffix("").as_posix()].append(Mark(name=folder.name, mask=mask > 0))
    return [_of_masks(image, found) for image, found in marks.items()]


def _numbered_masks(path: Path, skipped: Skips) -> list[MarkedImage]:
    names = [line.strip() for line in (path / "names.txt").read_text(encoding="utf-8").splitlines()]
    images = []
    for file in sorted(path.rglob("*.png")):
        numbers = _png(file, skipped)
        if numbers is None:
            continue
        marks = []
        for number in np.unique(numbers[numbers > 0]).tolist():
            if number > len(names) or not names[number - 1]:
                skipped.append((file.name, f"number {number} names no part: names.txt has {len(names)} lines"))
            else:
                marks.append(Mark(name=names[number - 1], mask=numbers == number))
        if marks:
            images.append(_of_masks(file.relative_to(path).with_suffix("").as_posix(), marks))
    return images


def _of_masks(image: str, marks: list[Mark]) -> MarkedImage:
    first = marks[0].mask
    assert first is not None
    return MarkedImage(image=image, marks=tuple(marks), size=(first.shape[0], first.shape[1]))


def _png(file: Path, skipped: Skips) -> npt.NDArray[np.int64] | None:
    try:
        with Image.open(file) as picture:
            pixels = np.asarray(picture if picture.mode in {"P", "L", "I", "I;16", "1"} else picture.convert("L"))
    except OSError as error:
        skipped.append((file.name, f"it does not decode: {error}"))
        return None
    return pixels.astype(np.int64)
