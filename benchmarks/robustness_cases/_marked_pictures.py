"""Pictures of which one corner is marked, and what the marks of them are once they are read."""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import ExifTags, Image
from torch import nn

import likethat as lt
from likethat.explainers.parts.marked import find_marked
from likethat.explainers.parts.named import marked_shares
from likethat.features import collect
from likethat.sources import as_source
from robustness_cases import expect

WIDTH, HEIGHT, BLOCK = 24, 16, 8
"""Of the upright picture; a block of 8 x 8 in its upper left corner is marked, the first of 2 x 3 cells."""

IN_FILE: dict[int, tuple[int, int, int, int]] = {
    1: (0, 0, 8, 8),
    2: (16, 0, 24, 8),  # mirrored: the left is stored on the right
    3: (16, 8, 24, 16),  # upside down
    4: (0, 8, 8, 16),  # mirrored upside down
    5: (0, 0, 8, 8),  # rows are columns
    6: (0, 16, 8, 24),  # shown a quarter clockwise: what is shown upper left is stored lower left
    7: (8, 16, 16, 24),  # rows are columns from the end
    8: (8, 0, 16, 8),  # shown a quarter the other way: what is shown upper left is stored upper right
}
"""Where the corner lies in the file, by EXIF orientation: left, top, right, bottom; worked out on paper."""

_INTO_FILE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def new_folder() -> Path:
    return Path(tempfile.mkdtemp())


def stored_size(orientation: int) -> tuple[int, int]:
    """Width and height of the picture in its file."""
    return (HEIGHT, WIDTH) if orientation > 4 else (WIDTH, HEIGHT)


def upright_picture() -> Image.Image:
    pixels = np.full((HEIGHT, WIDTH, 3), 40, dtype=np.uint8)
    pixels[:BLOCK, :BLOCK] = (250, 10, 10)
    return Image.fromarray(pixels)


def save_picture(file: Path, orientation: int = 1) -> Path:
    """Save the picture so that its EXIF orientation shows it upright."""
    file.parent.mkdir(parents=True, exist_ok=True)
    picture = upright_picture()
    if orientation > 1:
        picture = picture.transpose(_INTO_FILE[orientation])
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    picture.save(file, exif=exif)
    return file


def pictures(*names: str) -> Path:
    """Make a folder of pictures."""
    folder = new_folder()
    for name in names:
        save_picture(folder / name)
    return folder


def coco(*items: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A COCO document: one image an item, of which ``file``, ``size`` (width, height) and annotation are given."""
    images, annotations = [], []
    for number, item in enumerate(items):
        image = {"id": number, "file_name": item.pop("file", "robin.png")}
        if "size" in item:
            image["width"], image["height"] = item.pop("size")
        images.append(image)
        annotations.append({"id": number, "image_id": number, "category_id": 1, **item})
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "beak"}]} | more


def labelme(*shapes: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"imagePath": "robin.png", "imageWidth": WIDTH, "imageHeight": HEIGHT, "shapes": list(shapes)} | more


def shape(points: Any, kind: str | None = "rectangle", **more: Any) -> dict[str, Any]:
    return {"label": "beak", "points": points, "shape_type": kind} | more


def as_bbox(box: tuple[int, int, int, int]) -> list[int]:
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]


CORNER = as_bbox(IN_FILE[1])
"""The marked corner as COCO's box."""


def saved(document: Any, name: str = "marks.json", *, folder: Path | None = None, encoding: str = "utf-8") -> Path:
    """Write a document as JSON."""
    path = (folder or new_folder()) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(json.dumps(document, ensure_ascii=False).encode(encoding, "surrogatepass"))
    return path


def save_mask(file: Path, box: tuple[int, int, int, int] = IN_FILE[1], size: tuple[int, int] = (WIDTH, HEIGHT)) -> Path:
    """Save a grey mask, white within a box of a picture of that width and height."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros(size[::-1], dtype=np.uint8)
    pixels[box[1] : box[3], box[0] : box[2]] = 255
    Image.fromarray(pixels).save(file, format="PNG")
    return file


def model() -> lt.SplitModel:
    """A network with one cell for every 8 x 8 pixels."""
    network = nn.Sequential(nn.Conv2d(3, 4, 8, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    return lt.split(network.eval(), example=torch.rand(2, 3, HEIGHT, WIDTH))


class Read:
    """What the marks of a source are.

    Attributes:
        parts: pixels of the upright picture, by picture and part.
        cells: share of each of the 2 x 3 cells, by picture and part.
        notes: what was assumed.
        skipped: what was left out, a sentence each.
    """

    def __init__(self, images: Any, marks: lt.Marks) -> None:
        torch.manual_seed(0)
        split, source = model(), as_source(images)
        features = collect(split, source, memory_budget=10**7)
        skipped = list(marks.skipped)
        found, self.notes = find_marked(source, features, marks, skipped)
        self.parts: dict[str, dict[str, Any]] = {}
        self.cells: dict[str, dict[str, list[float]]] = {}
        for one in found:
            name = features.names[one.row]
            self.parts[name] = one.marked.drawn(
                *one.size, [], orientation=one.orientation, frame=one.frame or "upright"
            )
            shares = marked_shares(split, one, features.grid, problems=skipped)
            self.cells[name] = {part: cells.tolist() for part, cells in shares.items()}
        self.skipped = [f"{name}: {reason}" for name, reason in skipped]

    def expect_corner(self, *names: str, part: str = "beak") -> None:
        """The part is the upper left block of each picture, to the pixel and to the cell."""
        for name in names:
            expect(name in self.parts, True, f"{name} has marks (left out: {self.skipped})")
            mask = self.parts[name][part]
            expect(sorted(set(np.argwhere(mask)[:, 0].tolist())), list(range(BLOCK)), f"rows of the part in {name}")
            expect(sorted(set(np.argwhere(mask)[:, 1].tolist())), list(range(BLOCK)), f"columns of the part in {name}")
            expect(self.cells[name][part], [1.0, 0.0, 0.0, 0.0, 0.0, 0.0], f"cells of the part in {name}")

    def expect_left_out(self, *words: str) -> None:
        """Nothing is marked, and a sentence says why."""
        expect(self.parts, {}, "parts that were read")
        self.expect_said(*words)

    def expect_said(self, *words: str) -> None:
        said = any(all(word in sentence for word in words) for sentence in self.skipped)
        expect(said, True, f"a sentence with {words} among {self.skipped}")


def expect_corner(images: Any, marks: lt.Marks | Path, *names: str, part: str = "beak") -> Read:
    """Read marks on pictures; the part must be the corner of each."""
    read = Read(images, marks if isinstance(marks, lt.Marks) else lt.Marks.read(marks))
    read.expect_corner(*names, part=part)
    return read
