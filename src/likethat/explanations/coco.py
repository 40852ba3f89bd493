"""Boxes of a bank in the format of COCO, over the pictures that lie in the bank's own folder."""

from collections.abc import Mapping, Sequence
from typing import Any

from likethat._version import __version__
from likethat.errors import InputError
from likethat.explanations.images import ImageStore
from likethat.explanations.records import Prototype


def coco_of(
    prototypes: Sequence[Prototype], pictures: ImageStore, names: Sequence[str], *, originals: bool = False
) -> dict[str, Any]:
    """Return COCO's document of object detection: a category is a unit, an annotation the box of a prototype.

    Args:
        prototypes: of all units; the positive ones are written, since a negative box shows what a unit is not.
        pictures: of the prototypes, which their boxes refer to.
        names: of the units.
        originals: whether boxes refer to the pictures that were read, instead of those that are kept.

    Raises:
        InputError: `originals`, where it is not known how large they were, or pictures were made.

    Source:
        cocodataset.org, "Data format", 1. Object Detection.
    """
    shown = [item for item in prototypes if item.kind == "positive"]
    if originals and not all(item.original for item in shown):
        raise InputError(
            "`originals` must be False for this bank, got True: its pictures were made, or it was fitted by a likethat "
            "before 0.2, which noted no sizes of originals. Take the boxes on its own pictures, or fit anew."
        )
    numbers = {key: number for number, key in enumerate(dict.fromkeys(item.image for item in shown), start=1)}
    first = {item.image: item for item in reversed(shown)}
    units = sorted({item.unit for item in shown})
    return {
        "info": {"description": "boxes of prototypes", "version": __version__, "contributor": "likethat"},
        "licenses": [],
        "images": [_image(number, first[key], pictures, originals) for key, number in numbers.items()],
        "annotations": [
            _annotation(number, item, numbers, _sides(item, pictures, originals))
            for number, item in enumerate(shown, start=1)
        ],
        "categories": [{"id": unit + 1, "name": names[unit], "supercategory": "prototype"} for unit in units],
    }


def _image(number: int, item: Prototype, pictures: ImageStore, originals: bool) -> dict[str, Any]:
    if originals and item.original is not None:
        size = {"width": item.original.width, "height": item.original.height}
        return {"id": number, "file_name": item.source, **size}
    ending, _ = pictures.encode(item.image)
    height, width = pictures[item.image].shape[:2]
    return {"id": number, "file_name": f"images/{item.image}.{ending}", "width": width, "height": height}


def _sides(item: Prototype, pictures: ImageStore, originals: bool) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of a prototype's box."""
    if not originals or item.original is None:
        return item.box
    height, width = pictures[item.image].shape[:2]
    return item.original.box_of(item.box, width=width, height=height)


def _annotation(
    number: int, item: Prototype, numbers: Mapping[str, int], sides: tuple[float, float, float, float]
) -> dict[str, Any]:
    left, top, right, bottom = sides
    return {
        "id": number,
        "image_id": numbers[item.image],
        "category_id": item.unit + 1,  # COCO's numbers begin at 1
        "bbox": [left, top, right - left, bottom - top],
        "area": (right - left) * (bottom - top),
        "iscrowd": 0,
        "segmentation": [[left, top, right, top, right, bottom, left, bottom]],
    }
