"""Mark files as tools write them, and as nobody should: read right, or one sentence with its place."""

import base64
import io
import json
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import likethat as lt
from robustness_cases import REFUSED, RIGHT, Wrong, case, expect
from robustness_cases._marked_pictures import (
    BLOCK,
    CORNER,
    HEIGHT,
    WIDTH,
    coco,
    labelme,
    new_folder,
    save_mask,
    saved,
    shape,
)

HUGE = 10**12


def corner_of(marks: lt.Marks | Path, *, part: str = "beak", image: int = 0) -> lt.Marks:
    """Check that the marks of one image are its upper left block."""
    marks = marks if isinstance(marks, lt.Marks) else lt.Marks.read(marks)
    mask = marks.images[image].drawn(HEIGHT, WIDTH, [])[part]
    expect((int(mask.sum()), bool(mask[:BLOCK, :BLOCK].all())), (BLOCK * BLOCK, True), f"pixels of {part}")
    return marks


def listed(marks: lt.Marks, place: str, *words: str) -> None:
    """Check that the place is among what was skipped, with these words."""
    found = [reason for name, reason in marks.skipped if name == place]
    if not any(all(word in reason for word in words) for reason in found):
        raise Wrong(f"{place} with {words} must be listed, got {marks.skipped}")


def beside(item: dict[str, Any], place: str, *words: str) -> None:
    """Check that a broken COCO annotation is listed with its place, and the whole one beside it is read."""
    whole = {"file": "wren.png", "size": (WIDTH, HEIGHT), "bbox": CORNER}
    listed(corner_of(saved(coco({"size": (WIDTH, HEIGHT), **item}, whole))), f"marks.json, {place}", *words)


def beside_shape(broken: dict[str, Any], place: str, *words: str) -> None:
    """The same for a LabelMe shape."""
    listed(corner_of(saved(labelme(broken, shape([[0, 0], [8, 8]])))), f"marks.json, {place}", *words)


def png(pixels: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    return stream.getvalue()


def bomb() -> bytes:
    """A PNG that says it has 30,000 x 30,000 pixels; 900 bytes would do for all of them in black."""
    head = struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0)
    chunks = (b"IHDR" + head, b"IDAT" + zlib.compress(bytes(1000)), b"IEND")
    parts = (struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def encoded(pixels: Any) -> str:
    return base64.b64encode(png(pixels)).decode()


# Text


@case("mark files", "COCO with a UTF-8 byte-order mark", accepts=RIGHT)
def _() -> None:
    corner_of(saved(coco({"bbox": CORNER}), encoding="utf-8-sig"))


@case("mark files", "LabelMe in UTF-16 as PowerShell writes it", accepts=RIGHT)
def _() -> None:
    corner_of(saved(labelme(shape([[0, 0], [8, 8]], label="Flügel")), encoding="utf-16"), part="Flügel")


@case("mark files", "COCO in UTF-16 big-endian without a mark", accepts=RIGHT)
def _() -> None:
    corner_of(saved(coco({"bbox": CORNER}), encoding="utf-16-be"))


@case("mark files", "names.txt in UTF-16 and with the ends of lines of Windows", accepts=RIGHT)
def _() -> None:
    masks = new_folder()
    (masks / "names.txt").write_bytes("beak\r\nwing\r\n".encode("utf-16"))
    (masks / "robin.png").write_bytes(png(np.pad(np.ones((8, 8), np.uint8), ((0, 8), (0, 16)))))
    corner_of(masks)


@case("mark files", "names.txt in Latin-1 is refused", accepts=REFUSED)
def _() -> None:
    masks = new_folder()
    (masks / "names.txt").write_bytes("Flügel".encode("latin-1"))
    save_mask(masks / "robin.png")
    lt.Marks.read(masks)


@case("mark files", "JSON in Latin-1 is refused", accepts=REFUSED)
def _() -> None:
    lt.Marks.read(saved(labelme(shape([[0, 0], [8, 8]], label="Flügel")), encoding="latin-1"))


@case("mark files", "half a surrogate pair and a line break in a part's name do no harm", accepts=RIGHT)
def _() -> None:
    path = saved(labelme(shape([[0, 0], [8, 8]], label="be\nak ")))
    path.write_text(path.read_text().replace("ak ", "ak\\ud800"), encoding="utf-8")
    expect(lt.Marks.read(path).names, ("be ak?",), "names")


# Numbers, ids and categories


@case("mark files", "null sizes are those of the picture", accepts=RIGHT)
def _() -> None:
    document = coco({"bbox": CORNER})
    document["images"][0] |= {"width": None, "height": None}
    corner_of(saved(document))
    corner_of(saved(labelme(shape([[0, 0], [8, 8]]), imageWidth=None, imageHeight=None)))


@case("mark files", "sizes of 0 and half a size are those of the picture", accepts=RIGHT)
def _() -> None:
    corner_of(saved(coco({"bbox": CORNER, "size": (0, 0)})))
    corner_of(saved(coco({"bbox": CORNER, "size": (WIDTH, None)})))


@case("mark files", "sizes and boxes in quotes or with .0 are numbers", accepts=RIGHT)
def _() -> None:
    corner_of(saved(coco({"bbox": [str(value) for value in CORNER], "size": (f"{WIDTH}", float(HEIGHT))})))


@case("mark files", "text ids, and an id that is text in one place and a number in another", accepts=RIGHT)
def _() -> None:
    document = coco({"bbox": CORNER, "image_id": "7f3a"}, {"bbox": CORNER, "image_id": "5", "file": "wren.png"})
    document["images"][0]["id"], document["images"][1]["id"] = "7f3a", 5
    marks = corner_of(corner_of(saved(document)), image=1)
    expect([image.image for image in marks], ["robin.png", "wren.png"], "images")


@case("mark files", "category ids as text, and 1.0 for 1", accepts=RIGHT)
def _() -> None:
    for given in ("1", 1.0):
        corner_of(saved(coco({"bbox": CORNER, "category_id": given})))


@case("mark files", "categories as a list of names, numbered from 0", accepts=RIGHT)
def _() -> None:
    document = coco({"bbox": CORNER, "category_id": 1}, {"bbox": [9, 9, 2, 2], "category_id": 0})
    corner_of(saved(document | {"categories": ["wing", "beak"]}))


@case("mark files", "categories as a list of names, numbered from 1", accepts=RIGHT)
def _() -> None:
    document = coco({"bbox": CORNER, "category_id": 1}, {"bbox": [9, 9, 2, 2], "category_id": 2})
    corner_of(saved(document | {"categories": ["beak", "wing"]}))


@case("mark files", "categories as a list of names, used by name", accepts=RIGHT)
def _() -> None:
    corner_of(saved(coco({"bbox": CORNER, "category_id": "beak"}, categories=["wing", "beak"])))


@case("mark files", "categories as a list of names whose first number nothing tells are refused", accepts=REFUSED)
def _() -> None:
    lt.Marks.read(saved(coco({"bbox": CORNER}, categories=["wing", "beak", "tail"])))


@case("mark files", "two categories of one id name no part", accepts=REFUSED)
def _() -> None:
    twice = [{"id": 1, "name": "beak"}, {"id": 1, "name": "wing"}]
    lt.Marks.read(saved(coco({"bbox": CORNER}, categories=twice)))


@case("mark files", "a label that is a number is the part of that name", accepts=RIGHT)
def _() -> None:
    corner_of(saved(labelme(shape([[0, 0], [8, 8]], label=3))), part="3")


@case("mark files", "two images of one id: the second is listed, its marks are not the first's", accepts=RIGHT)
def _() -> None:
    document = coco({"bbox": CORNER}, {"bbox": [9, 9, 2, 2], "file": "wren.png"})
    document["images"][1]["id"] = 0
    listed(corner_of(saved(document)), "marks.json, images[1].id", "robin.png")


@case("mark files", "marks for an image that the file lacks are listed", accepts=RIGHT)
def _() -> None:
    beside({"bbox": CORNER, "image_id": 99}, "annotations[0]", "image '99'", "not among")


# Shapes


@case("mark files", "LabelMe 5.5: a mask in base64 within its box, last pixels included", accepts=RIGHT)
def _() -> None:
    mask = np.ones((BLOCK, BLOCK), dtype=bool)
    corner_of(saved(labelme(shape([[0, 0], [7, 7]], "mask", mask=encoded(mask)))))


@case(
    "mark files", "LabelMe's mask with data:image/png before it, in a box that ends where the mask does", accepts=RIGHT
)
def _() -> None:
    text = "data:image/png;base64," + encoded(np.full((BLOCK, BLOCK), 255, np.uint8))
    corner_of(saved(labelme(shape([[0.2, 0.0], [8.0, 8.4]], "mask", mask=text))))


@case("mark files", "LabelMe's mask lies where its box is, at twice the size too", accepts=RIGHT)
def _() -> None:
    mask = np.ones((2, 3), dtype=bool)
    marks = lt.Marks.read(saved(labelme(shape([[4, 5], [6, 6]], "mask", mask=encoded(mask)))))
    rows, columns = np.nonzero(marks.images[0].drawn(HEIGHT, WIDTH, [])["beak"])
    expect((sorted(set(rows.tolist())), sorted(set(columns.tolist()))), ([5, 6], [4, 5, 6]), "rows and columns")
    rows, columns = np.nonzero(marks.images[0].drawn(2 * HEIGHT, 2 * WIDTH, [])["beak"])
    expect((rows.min(), rows.max(), columns.min(), columns.max()), (10, 13, 8, 13), "at twice the size")


@case("mark files", "a mask that does not fill its box is listed", accepts=RIGHT)
def _() -> None:
    text = encoded(np.ones((3, 3), dtype=bool))
    beside_shape(shape([[0, 0], [7, 7]], "mask", mask=text), "shapes[0].mask", "8 x 8", "3 x 3")


@case("mark files", "a mask that is no base64, and one that is missing, are listed", accepts=RIGHT)
def _() -> None:
    beside_shape(shape([[0, 0], [7, 7]], "mask", mask="no picture"), "shapes[0].mask")
    beside_shape(shape([[0, 0], [7, 7]], "mask"), "shapes[0]", "lacks the field `mask`")


@case("mark files", "oriented_rectangle and X-AnyLabeling's rotation are outlines of four corners", accepts=RIGHT)
def _() -> None:
    for kind in ("oriented_rectangle", "rotation"):
        corner_of(saved(labelme(shape([[0, 0], [7, 0], [7, 7], [0, 7]], kind))))


@case("mark files", "a rectangle drawn from the lower right, and one of four corners", accepts=RIGHT)
def _() -> None:
    corner_of(saved(labelme(shape([[8, 8], [0, 0]]))))
    corner_of(saved(labelme(shape([[0, 0], [8, 0], [8, 8], [0, 8]]))))


@case("mark files", "COCO's rotation of a quarter lays a box on its side around its middle", accepts=RIGHT)
def _() -> None:
    item = {"bbox": [2, 4, 6, 2], "attributes": {"rotation": 90.0, "occluded": False}, "size": (WIDTH, HEIGHT)}
    mask = lt.Marks.read(saved(coco(item))).images[0].drawn(HEIGHT, WIDTH, [])["beak"]
    rows, columns = np.nonzero(mask)  # the middle lies between pixels 4 and 5, rows 4 and 5: now rows 2 to 7
    expect((rows.min(), rows.max(), columns.min(), columns.max()), (2, 7, 4, 5), "rows and columns")
    expect(int(mask.sum()), 12, "pixels")


@case("mark files", "COCO's rotation is clockwise", accepts=RIGHT)
def _() -> None:
    item = {"bbox": [4, 7, 12, 2], "attributes": {"rotation": 30}, "size": (WIDTH, HEIGHT)}
    rows, columns = np.nonzero(lt.Marks.read(saved(coco(item))).images[0].drawn(HEIGHT, WIDTH, [])["beak"])
    expect(bool(rows[columns.argmin()] < rows[columns.argmax()]), True, "the right end is lower than the left")


@case("mark files", "VIA's outline that is one flat list", accepts=RIGHT)
def _() -> None:
    corner_of(saved(coco({"segmentation": [0, 0, 7, 0, 7, 7, 0, 7], "bbox": [9, 9, 2, 2]})))


@case("mark files", "an outline in two pieces is one part", accepts=RIGHT)
def _() -> None:
    corner_of(saved(coco({"segmentation": [[0, 0, 7, 0, 7, 3, 0, 3], [0, 4, 7, 4, 7, 7, 0, 7]]})))


@case(
    "mark files",
    "fields and shapes that nobody knows: the field is passed over, the shape listed by name",
    accepts=RIGHT,
)
def _() -> None:
    beside_shape(shape([[0, 0], [9, 9]], "quadrilateral", score=0.5, kie_linking=[]), "shapes[0]", "'quadrilateral'")


@case("mark files", "lines have no inside: listed by name", accepts=RIGHT)
def _() -> None:
    beside_shape(shape([[0, 0], [9, 9], [3, 3]], "linestrip"), "shapes[0]", "'linestrip'")


# Broken items: the place is named, the rest is read


@case("mark files", "a box of three numbers is listed with its place", accepts=RIGHT)
def _() -> None:
    beside({"bbox": [0, 0, 8]}, "annotations[0].bbox", "got 3 numbers")


@case("mark files", "a word in a box is listed with its place", accepts=RIGHT)
def _() -> None:
    beside({"bbox": [0, 0, "wide", 8]}, "annotations[0].bbox[2]", "must be `float`, got `str`")


@case("mark files", "a box that is a text is listed with its place", accepts=RIGHT)
def _() -> None:
    beside({"bbox": "0 0 8 8"}, "annotations[0].bbox", "got `str`")


@case("mark files", "a box of no width is listed", accepts=RIGHT)
def _() -> None:
    beside({"bbox": [0, 0, 0, 8]}, "annotations[0].bbox", "above 0")


@case("mark files", "NaN in a box is listed with its place", accepts=RIGHT)
def _() -> None:
    beside({"bbox": [0, 0, float("nan"), 8]}, "annotations[0].bbox", "finite")


@case("mark files", "infinity and 1e308 in an outline are listed with their places", accepts=RIGHT)
def _() -> None:
    beside({"segmentation": [[0, 0, float("inf"), 0, 7, 7]]}, "annotations[0].segmentation[0]", "finite")
    beside_shape(shape([[0, 0], [1e308, 0], [7, 7]], "polygon"), "shapes[0].points", "near the picture")


@case("mark files", "an outline of odd numbers, and one of two points, are listed", accepts=RIGHT)
def _() -> None:
    beside({"segmentation": [[0, 0, 7, 0, 7]]}, "annotations[0].segmentation[0]", "pairs of x and y")
    beside({"segmentation": [[0, 0, 7, 0]]}, "annotations[0].segmentation[0]", "at least 3 points, got 2")


@case("mark files", "a point of three numbers is listed with its place", accepts=RIGHT)
def _() -> None:
    beside_shape(shape([[0, 0], [8, 8, 8]]), "shapes[0].points[1]")


@case("mark files", "keypoints that do not fit their names are listed", accepts=RIGHT)
def _() -> None:
    names = [{"id": 1, "name": "beak"}, {"id": 2, "name": "bird", "keypoints": ["eye", "tail"]}]
    document = coco({"bbox": CORNER}, {"keypoints": [1, 2, 2], "category_id": 2}, categories=names)
    listed(corner_of(saved(document)), "marks.json, annotations[1].keypoints", "2 names, got 3")


@case("mark files", "an annotation and an image that are no objects are listed", accepts=RIGHT)
def _() -> None:
    document = coco({"bbox": CORNER})
    document["annotations"].append("beak")
    document["images"].append(None)
    marks = corner_of(saved(document))
    listed(marks, "marks.json, annotations[1]", "must be `object`, got `str`")
    listed(marks, "marks.json, images[1]", "got `null`")


@case("mark files", "an image without a name is listed with what it lacks", accepts=RIGHT)
def _() -> None:
    document = coco({"bbox": CORNER})
    document["images"].append({"id": 5})
    listed(corner_of(saved(document)), "marks.json, images[1]", "lacks the field `file_name`")


@case("mark files", "annotations that are an object are refused", accepts=REFUSED)
def _() -> None:
    lt.Marks.read(saved(coco({"bbox": CORNER}) | {"annotations": {"0": {}}}))


@case("mark files", "LabelMe shapes that are an object are refused", accepts=REFUSED)
def _() -> None:
    lt.Marks.read(saved({"shapes": {"label": "beak"}}))


# Hostile documents


@case("mark files", "JSON of 100,000 brackets is refused", accepts=REFUSED)
def _() -> None:
    path = new_folder() / "deep.json"
    path.write_text("[" * 100_000 + "]" * 100_000, encoding="utf-8")
    lt.Marks.read(path)


@case("mark files", "a segmentation of 900 brackets is listed", accepts=RIGHT)
def _() -> None:
    deep: Any = 1.0
    for _ in range(900):
        deep = [deep]
    beside({"segmentation": deep}, "annotations[0].segmentation[0][0]")


@case("mark files", "a number of 5,000 digits is refused", accepts=REFUSED)
def _() -> None:
    path = saved(coco({"bbox": CORNER}))
    path.write_text(path.read_text().replace("24", "9" * 5000).replace("[0, 0", f"[{'9' * 5000}, 0"), encoding="utf-8")
    lt.Marks.read(path)


@case("mark files", "a picture of 10^12 x 10^12 pixels is listed with its place", accepts=RIGHT)
def _() -> None:
    document = coco({"bbox": CORNER, "size": (HUGE, HUGE)}, {"bbox": CORNER, "file": "wren.png"})
    listed(corner_of(saved(document)), "marks.json, images[0].height", "from 1 to 1,000,000")


@case("mark files", "a LabelMe picture of 10^12 pixels is refused", accepts=REFUSED)
def _() -> None:
    lt.Marks.read(saved(labelme(shape([[0, 0], [8, 8]]), imageWidth=HUGE)))


@case("mark files", "run lengths for 10^12 pixels are listed before memory is taken", accepts=RIGHT)
def _() -> None:
    runs = {"size": [10**6, 10**6], "counts": [0, HUGE]}
    document = coco({"segmentation": runs}, {"bbox": CORNER, "file": "wren.png"})
    listed(corner_of(saved(document)), "marks.json, annotations[0].segmentation.size", "pixels")


@case("mark files", "run lengths of 10^12 for a small picture are listed", accepts=RIGHT)
def _() -> None:
    runs = {"size": [HEIGHT, WIDTH], "counts": [HUGE, HUGE]}
    beside({"segmentation": runs}, "annotations[0].segmentation.counts", "2000000000000 pixels")


@case("mark files", "negative run lengths are listed", accepts=RIGHT)
def _() -> None:
    runs = {"size": [HEIGHT, WIDTH], "counts": [-16, 400]}
    beside({"segmentation": runs}, "annotations[0].segmentation.counts")


@case("mark files", "compressed run lengths of a million letters that never end are listed at once", accepts=RIGHT)
def _() -> None:
    runs = {"size": [HEIGHT, WIDTH], "counts": "o" * 1_000_000}
    beside({"segmentation": runs}, "annotations[0].segmentation.counts", "no number")


@case("mark files", "compressed run lengths of other letters are listed", accepts=RIGHT)
def _() -> None:
    beside({"segmentation": {"size": [HEIGHT, WIDTH], "counts": "ü!"}}, "annotations[0].segmentation.counts")


@case("mark files", "run lengths of another size than their image's are listed with both", accepts=RIGHT)
def _() -> None:
    runs = {"size": [WIDTH, HEIGHT], "counts": [0, WIDTH * HEIGHT]}
    beside({"segmentation": runs}, "annotations[0].segmentation.size", "[16, 24]", "[24, 16]")


@case("mark files", "ten thousand boxes on one picture take no more memory than the picture", accepts=RIGHT)
def _() -> None:
    document = coco(*({"bbox": CORNER, "size": (WIDTH, HEIGHT)} for _ in range(2)))
    document["annotations"] *= 5000
    corner_of(saved(document))


# Hostile masks


@case("mark files", "a decompression bomb among the masks is listed", accepts=RIGHT)
def _() -> None:
    masks = new_folder()
    save_mask(masks / "beak" / "robin.png")
    (masks / "beak" / "bomb.png").write_bytes(bomb())
    listed(corner_of(masks), "bomb.png", "more pixels")


@case("mark files", "an EPS called .png starts nothing and is listed", accepts=RIGHT)
def _() -> None:
    masks = new_folder()
    save_mask(masks / "beak" / "robin.png")
    Image.new("L", (WIDTH, HEIGHT)).save(masks / "beak" / "eps.png", format="EPS")
    listed(corner_of(masks), "eps.png", "no image format")


@case("mark files", "a bomb in base64 is listed", accepts=RIGHT)
def _() -> None:
    text = base64.b64encode(bomb()).decode()
    beside_shape(shape([[0, 0], [29_999, 29_999]], "mask", mask=text), "shapes[0].mask", "more pixels")


@case("mark files", "an EPS in base64 is listed", accepts=RIGHT)
def _() -> None:
    stream = io.BytesIO()
    Image.new("L", (8, 8)).save(stream, format="EPS")
    text = base64.b64encode(stream.getvalue()).decode()
    beside_shape(shape([[0, 0], [7, 7]], "mask", mask=text), "shapes[0].mask")


@case("mark files", "a mask cut short and an empty one are listed", accepts=RIGHT)
def _() -> None:
    masks = new_folder()
    file = save_mask(masks / "beak" / "robin.png")
    (masks / "beak" / "cut.png").write_bytes(file.read_bytes()[:60])
    (masks / "beak" / "empty.png").write_bytes(b"")
    save_mask(masks / "beak" / "black.png", (0, 0, 0, 0))
    marks = corner_of(masks, image=0)
    listed(marks, "cut.png")
    listed(marks, "empty.png")
    listed(marks, "black.png", "empty mask")


@case("mark files", "pipes among the masks and documents are not waited on", accepts=RIGHT)
def _() -> None:
    masks = new_folder()
    save_mask(masks / "beak" / "robin.png")
    os.mkfifo(masks / "beak" / "pipe.png")
    os.mkfifo(masks / "pipe.json")
    corner_of(masks)


@case("mark files", "a pipe, a missing file and None are refused", accepts=REFUSED)
def _() -> None:
    pipe = new_folder() / "pipe.json"
    os.mkfifo(pipe)
    for path in (pipe, pipe.parent / "missing.json", None):
        try:
            lt.Marks.read(path)  # type: ignore[arg-type]
        except lt.errors.InputError:
            if path is None:
                raise


# Other tools' files


@case("mark files", "a VIA project is refused, with what to export", accepts=REFUSED)
def _() -> None:
    _refused({"_via_settings": {}, "_via_img_metadata": {}}, "VIA")


@case("mark files", "Label Studio's own JSON is refused, with what to export", accepts=REFUSED)
def _() -> None:
    _refused([{"id": 1, "data": {"image": "robin.png"}, "annotations": []}], "Label Studio")


@case("mark files", "COCO results without images are refused, with what is missing", accepts=REFUSED)
def _() -> None:
    _refused([{"image_id": 1, "category_id": 1, "bbox": CORNER}], "results")


@case("mark files", "Datumaro's JSON is refused, with what to export", accepts=REFUSED)
def _() -> None:
    _refused({"dm_format_version": "1.0", "items": [], "categories": {}}, "Datumaro")


def _refused(document: Any, word: str) -> None:
    try:
        lt.Marks.read(saved(document))
    except lt.errors.InputError as error:
        expect(word in str(error), True, f"{word} in the sentence")
        raise


@case("mark files", "CVAT's XML and an archive are refused, each with what to do", accepts=REFUSED)
def _() -> None:
    for name, word in (("annotations.xml", "XML"), ("export.zip", "unpack")):
        path = new_folder() / name
        path.write_bytes(b"PK\x03\x04")
        try:
            lt.Marks.read(path)
        except lt.errors.InputError as error:
            expect(word in str(error), True, f"{word} in the sentence")
            last = error
    raise last


@case("mark files", "a folder of XML alone is refused and says what it holds", accepts=REFUSED)
def _() -> None:
    folder = new_folder()
    (folder / "robin.xml").write_text("<annotation/>", encoding="utf-8")
    lt.Marks.read(folder)


@case("mark files", "JSON of another kind beside marks is listed, not taken for marks", accepts=RIGHT)
def _() -> None:
    path = saved(coco({"bbox": CORNER}))
    (path.parent / "settings.json").write_text(json.dumps({"theme": "dark"}), encoding="utf-8")
    listed(corner_of(path.parent), "settings.json", "neither")
