"""Boxes of a bank in the format of COCO, over the pictures that lie in the bank's own folder."""

from collections.abc import Mapping, Sequence
from typing import Any

from likethat._version import __version__
from likethat.explanations.images import ImageStore
from likethat.explanations.records import Prototype

__all__ = ["coco_of"]


def coco_of(prototypes: Sequence[Prototype], pictures: ImageStore, names: Sequence[str]) -> dict[str, Any]:
    """Return COCO's document of object detection: a category is a unit, an annotation the box of a prototype.

    Args:
        prototypes: of all units; the positive ones are written, since a negative box shows what a unit is not.
        pictures: of the prototypes, which their boxes refer to.
        names: of the units.

    Source:
        cocodataset.org, "Data format", 1. Object Detection.
    """
    shown = [item for item in prototypes if item.kind == "positive"]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(item.image for item in shown), start=1)}
    units = sorted({item.unit for item in shown})
    return {
        "info": {"description": "boxes of prototypes", "version": __version__, "contributor": "likethat"},
        "licenses": [],
        "images": [_image(number, key, pictures) for key, number in numbers.items()],
        "annotations": [_annotation(number, item, numbers) for number, item in enumerate(shown, start=1)],
        "categories": [{"id": unit + 1, "name": names[unit], "supercategory": "prototype"} for unit in units],
    }


def _image(number: int, key: str, pictures: ImageStore) -> dict[str, Any]:
    ending, _ = pictures.encode(key)
    height, width = pictures[key].shape[:2]
    return {"id": number, "file_name": f"images/{key}.{ending}", "width": width, "height": height}


def _annotation(number: int, item: Prototype, numbers: Mapping[str, int]) -> dict[str, Any]:
    left, top, right, bottom = item.box
    return {
        "id": number,
        "image_id": numbers[item.image],
        "category_id": item.unit + 1,  # COCO's numbers begin at 1
        "bbox": [left, top, right - left, bottom - top],
        "area": (right - left) * (bottom - top),
        "iscrowd": 0,
        "segmentation": [[left, top, right, top, right, bottom, left, bottom]],
    }
