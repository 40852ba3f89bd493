"""Marks find their picture by the name that another system wrote, or are listed."""

import unicodedata
from pathlib import Path
from typing import Any

import likethat as lt
from robustness_cases import RIGHT, case, expect
from robustness_cases._marked_pictures import (
    CORNER,
    Read,
    coco,
    expect_corner,
    labelme,
    new_folder,
    pictures,
    save_mask,
    saved,
    shape,
)

BOX: Any = shape([[0, 0], [8, 8]])


def _named(name: str, *files: str) -> Read:
    """Read one mark for a picture called `name` on a folder of files."""
    return Read(pictures(*files), lt.Marks.read(saved(coco({"file": name, "bbox": CORNER}))))


@case("mark files", "back-slashes of Windows", accepts=RIGHT)
def _() -> None:
    _named("birds\\red\\robin.png", "birds/red/robin.png", "birds/grey/robin.png").expect_corner("birds/red/robin.png")


@case("mark files", "a whole path on another computer", accepts=RIGHT)
def _() -> None:
    _named("C:\\Users\\ann\\photos\\red\\robin.png", "red/robin.png", "grey/robin.png").expect_corner("red/robin.png")
    _named("/home/ann/photos/red/robin.png", "red/robin.png", "grey/robin.png").expect_corner("red/robin.png")


@case("mark files", "%20 for a space and %C3%BC for a letter", accepts=RIGHT)
def _() -> None:
    _named("red%20robin%C3%BC.png", "red robin\u00fc.png", "robin.png").expect_corner("red robin\u00fc.png")


@case("mark files", "a picture whose name holds %20 is found by that very name", accepts=RIGHT)
def _() -> None:
    read = _named("red%20robin.png", "red%20robin.png", "red robin.png")
    read.expect_corner("red%20robin.png")
    expect(list(read.parts), ["red%20robin.png"], "marked pictures")


@case("mark files", "a percent sign that means itself", accepts=RIGHT)
def _() -> None:
    _named("50% red.png", "50% red.png").expect_corner("50% red.png")


@case("mark files", "composed names for decomposed files, as macOS makes them, and the reverse", accepts=RIGHT)
def _() -> None:
    composed, decomposed = (unicodedata.normalize(form, "Müller-é.png") for form in ("NFC", "NFD"))
    _named(composed, decomposed).expect_corner(decomposed)
    _named(decomposed, composed).expect_corner(composed)


@case("mark files", "an ending in capitals", accepts=RIGHT)
def _() -> None:
    _named("robin.PNG", "robin.png").expect_corner("robin.png")
    _named("robin.jpg", "robin.JPG", "robin.png").expect_corner("robin.JPG")


@case("mark files", "of two endings the one that is written", accepts=RIGHT)
def _() -> None:
    read = _named("robin.jpg", "robin.jpg", "robin.png")
    read.expect_corner("robin.jpg")
    expect(list(read.parts), ["robin.jpg"], "marked pictures")


@case("mark files", "a name that two folders have is listed with both", accepts=RIGHT)
def _() -> None:
    _named("robin.png", "red/robin.png", "grey/robin.png").expect_left_out("red/robin.png", "grey/robin.png")


@case("mark files", "a name that two folders have is told apart by its folder", accepts=RIGHT)
def _() -> None:
    read = _named("grey/robin.png", "red/robin.png", "grey/robin.png")
    read.expect_corner("grey/robin.png")
    expect(list(read.parts), ["grey/robin.png"], "marked pictures")


@case("mark files", "the same file name in another folder alone is no match, and is named", accepts=RIGHT)
def _() -> None:
    _named("grey/robin.png", "red/robin.png").expect_left_out("grey/robin.png", "red/robin.png", "another folder")


@case("mark files", "a name that nothing has is listed", accepts=RIGHT)
def _() -> None:
    _named("wren.png", "robin.png").expect_left_out("wren.png", "no image of that name")


@case("mark files", "a mask without an ending that two pictures fit is listed with both", accepts=RIGHT)
def _() -> None:
    masks = new_folder()
    save_mask(masks / "beak" / "robin.png")
    read = Read(pictures("robin.jpg", "robin.tif"), lt.Marks.read(masks))
    read.expect_left_out("robin.jpg", "robin.tif")


@case("mark files", "LabelMe documents beside their pictures, one file name in two folders", accepts=RIGHT)
def _() -> None:
    folder = pictures("red/robin.png", "grey/robin.png")
    for name in ("red", "grey"):
        saved(labelme(BOX), f"{name}/robin.json", folder=folder)
    expect_corner(folder, folder, "red/robin.png", "grey/robin.png")


@case("mark files", "a LabelMe path that leads out of the folder of documents", accepts=RIGHT)
def _() -> None:
    documents = new_folder()
    saved(labelme(BOX, imagePath="..\\..\\photos\\red\\robin.png"), "labels/red/robin.json", folder=documents)
    expect_corner(pictures("red/robin.png", "grey/robin.png"), documents, "red/robin.png")


@case("mark files", "LabelMe documents moved to a folder of labels", accepts=RIGHT)
def _() -> None:
    documents = new_folder()
    saved(labelme(BOX), "labels/robin.json", folder=documents)
    expect_corner(pictures("photos/robin.png"), documents, "photos/robin.png")


@case("mark files", "LabelMe without imagePath is of the picture of its own name", accepts=RIGHT)
def _() -> None:
    expect_corner(pictures("robin.png"), saved(labelme(BOX, imagePath=None), "robin.json"), "robin.png")


@case("mark files", "Label Studio's uploads begin with eight letters of their own", accepts=RIGHT)
def _() -> None:
    _named("images/8bd1f2c4-robin.png", "birds/robin.png").expect_corner("birds/robin.png")
    _named("/data/upload/1/8bd1f2c4-robin.png", "birds/robin.png").expect_corner("birds/robin.png")


@case("mark files", "Label Studio's local files", accepts=RIGHT)
def _() -> None:
    _named("/data/local-files/?d=photos%5Cred%5Crobin.png", "red/robin.png", "grey/robin.png").expect_corner(
        "red/robin.png"
    )


@case("mark files", "two entries of a file for one picture are both left out, and named", accepts=RIGHT)
def _() -> None:
    document = coco({"file": "red/robin.png", "bbox": CORNER}, {"file": "grey/robin.png", "bbox": CORNER})
    Read(pictures("robin.png"), lt.Marks.read(saved(document))).expect_left_out("red/robin.png", "grey/robin.png")


@case("mark files", "a list of whole paths is found by the ends of paths", accepts=RIGHT)
def _() -> None:
    files = sorted(pictures("red/robin.png", "grey/robin.png").rglob("*.png"))
    read = Read(files, lt.Marks.read(saved(coco({"file": "red/robin.png", "bbox": CORNER}))))
    expect([Path(name).parts[-2:] for name in read.parts], [("red", "robin.png")], "marked pictures")


@case("mark files", "a number from memory is the picture of that number", accepts=RIGHT)
def _() -> None:
    expect_corner(pictures("a.png", "b.png"), lt.Marks.of({1: {"beak": (0, 0, 8, 8)}}), "b.png")
