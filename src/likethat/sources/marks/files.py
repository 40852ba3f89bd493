"""Marks from files, in the field's usual formats.

- COCO: one JSON file with ``images``, ``annotations`` and ``categories``; segmentations (outlines or run lengths, plain
  or compressed), boxes where there are none (turned by ``attributes.rotation``, as CVAT writes it), and those of named
  keypoints that are visible.
- LabelMe: one JSON file an image, or a folder of them; outlines, rectangles (turned ones, too), circles, points and
  masks.
- PNG masks, a folder a part: ``masks/beak/robin.png``, not black where the part is, or, where the mask has transparent
  pixels, opaque.
- PNG masks, one an image: ``masks/robin.png`` with a part's number in each pixel, 0 for the surroundings, and
  ``masks/names.txt`` with the parts' names, one a line, from number 1.
- CVAT's masks, one an image: ``SegmentationClass/robin.png`` and ``labelmap.txt``, which says which colour is a part.

Text may be UTF-8, or have a byte-order mark. Hidden files and folders, and ``__MACOSX``, are passed over.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from likethat.errors import InputError
from likethat.sources.marks.coco import read_coco
from likethat.sources.marks.documents import BrokenError, Reading, document_of
from likethat.sources.marks.labelme import read_labelme
from likethat.sources.marks.masks import LABEL_MAP, NAMES, coloured_masks, masks_by_part, numbered_masks
from likethat.sources.marks.records import MarkedImage

_PASSED_OVER = ("__MACOSX", "@eaDir")  # what macOS and Synology put into archives and folders
_ELSEWHERE = {
    ".csv": "a CSV file",
    ".txt": "a text file, as YOLO writes it",
    ".xml": "XML, as CVAT and Pascal VOC write it",
    ".zip": "an archive: unpack it",
}


def read_marks(path: str | os.PathLike[str]) -> tuple[list[MarkedImage], list[tuple[str, str]]]:
    """Return the marks at a path, and what there could not be used.

    Raises:
        InputError: nothing there, or in no format that is known.
    """
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"`path` must be a file or folder of marks, got {type(path).__name__}.")
    path, reading = Path(path), Reading()
    if path.is_dir():
        images = _folder(path, reading)
    elif path.is_file():
        images = _file(path, path.name, reading)
    else:
        raise InputError(f"`path` must be a file or folder of marks, got {path}, which does not exist or is no file.")
    images = [image for image in images if image.marks]
    if not images:
        first = " First: {}: {}.".format(*reading.skipped[0]) if reading.skipped else ""
        raise InputError(
            f"`path` must hold marks as COCO or LabelMe JSON or as PNG masks, got {path}, in which none was found."
            f"{first}"
        )
    return images, reading.skipped


def _folder(path: Path, reading: Reading) -> list[MarkedImage]:
    files = list(_files(path))
    reading.named.update(file.rpartition("/")[2] for file in files)
    if NAMES in files:
        return numbered_masks(path, files, reading)
    if LABEL_MAP in files:
        return coloured_masks(path, files, reading)
    found = []
    for file in files:
        if file.lower().endswith(".json"):
            try:
                found += _file(path / file, file, reading)
            except InputError as error:
                reading.skip(file, str(error))
    if found:
        return found
    found = masks_by_part(path, files, reading)
    for file in files if not found else ():
        kind = _ELSEWHERE.get(Path(file).suffix.lower())
        if kind:
            reading.skip(file, f"is {kind}")
    return found


def _files(root: Path) -> Iterator[str]:
    """Yield the files below a folder with slashes, in order; hidden ones and links to folders are passed over."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        below = Path(folder).relative_to(root)
        for name in sorted(names):
            if not _is_hidden(name) and Path(folder, name).is_file():  # no pipe, that would be waited on for ever
                yield (below / name).as_posix()


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name in _PASSED_OVER


def _file(path: Path, name: str, reading: Reading) -> list[MarkedImage]:
    """Read one document, which is called `name` in what is skipped.

    Raises:
        InputError: it is none of marks.
    """
    kind = _ELSEWHERE.get(path.suffix.lower())
    if kind:
        raise InputError(f"`path` must be COCO or LabelMe JSON, or a folder of PNG masks, got {path}, which is {kind}.")
    document = document_of(path)
    if isinstance(document, dict) and "annotations" in document and "images" in document:
        return read_coco(document, name, reading)
    if isinstance(document, dict) and "shapes" in document:
        try:
            return [read_labelme(document, name, reading)]
        except BrokenError as error:
            raise InputError(f"`path` must be a LabelMe file, got {path}: {error}.") from error
    raise InputError(
        f"`path` must be COCO ('images', 'annotations') or LabelMe ('shapes') JSON, got {path}, which is neither"
        f"{_other_tool(document)}."
    )


def _other_tool(document: Any) -> str:
    """Say which tool wrote JSON that is neither, and what to do."""
    first = document[0] if isinstance(document, list) and document else document
    if not isinstance(first, Mapping):
        return ""
    if "_via_img_metadata" in first or any(isinstance(value, dict) and "regions" in value for value in first.values()):
        return ": it is of VIA. Export its annotations as COCO"
    if "data" in first and ("annotations" in first or "predictions" in first):
        return ": it is of Label Studio. Export it as COCO"
    if "image_id" in first and "category_id" in first:
        return ": it is a list of COCO results. Put them into a document with 'images' and 'categories'"
    if "dm_format_version" in first or ("items" in first and "categories" in first):
        return ": it is of Datumaro. Export it as COCO"
    return ""
