"""Folders of masks as CVAT, archives and file systems leave them."""

from pathlib import Path

import numpy as np
from PIL import Image

import likethat as lt
from robustness_cases import REFUSED, RIGHT, case, expect
from robustness_cases._marked_pictures import (
    BLOCK,
    HEIGHT,
    IN_FILE,
    WIDTH,
    expect_corner,
    labelme,
    new_folder,
    pictures,
    save_mask,
    saved,
    shape,
)
from robustness_cases.marks_files import corner_of, listed

BEAK, WING = (250, 50, 83), (36, 179, 83)
LABEL_MAP = "# label:color_rgb:parts:actions\nbackground:0,0,0::\nbeak:250,50,83::\nwing:36,179,83:left,right:flap\n"


def _coloured(colour: tuple[int, ...] = BEAK, mode: str = "RGB") -> Image.Image:
    pixels = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    pixels[:BLOCK, :BLOCK], pixels[12:, 20:] = colour, WING
    picture = Image.fromarray(pixels)
    return picture.quantize(8) if mode == "P" else picture.convert(mode)


def _cvat(picture: Image.Image, text: str = LABEL_MAP) -> Path:
    folder = new_folder()
    (folder / "SegmentationClass").mkdir()
    (folder / "labelmap.txt").write_text(text, encoding="utf-8")
    picture.save(folder / "SegmentationClass" / "robin.png")
    return folder


@case("mark files", "CVAT's masks: a colour is a part by labelmap.txt, the background none", accepts=RIGHT)
def _() -> None:
    marks = corner_of(_cvat(_coloured()))
    expect((marks.names, marks.images[0].image), (("beak", "wing"), "robin"), "parts and image")


@case("mark files", "CVAT's masks with a palette", accepts=RIGHT)
def _() -> None:
    corner_of(_cvat(_coloured(mode="P")))


@case("mark files", "CVAT's masks of one channel hold the number of the line", accepts=RIGHT)
def _() -> None:
    corner_of(_cvat(Image.fromarray(np.pad(np.ones((8, 8), np.uint8), ((0, 8), (0, 16))))))


@case("mark files", "CVAT's masks of single objects and its pictures are passed over", accepts=RIGHT)
def _() -> None:
    folder = _cvat(_coloured())
    for name in ("SegmentationObject", "JPEGImages"):
        (folder / name).mkdir()
        _coloured((9, 9, 9)).save(folder / name / "robin.png")
    marks = corner_of(folder)
    expect((len(marks), marks.skipped), (1, ()), "images, and what was left out")


@case("mark files", "a colour that labelmap.txt lacks is listed, the others are read", accepts=RIGHT)
def _() -> None:
    picture = _coloured()
    picture.putpixel((23, 0), (1, 2, 3))
    listed(corner_of(_cvat(picture)), "robin.png", "colour 1, 2, 3", "labelmap.txt")


@case("mark files", "a label with colons in its name", accepts=RIGHT)
def _() -> None:
    corner_of(_cvat(_coloured(), LABEL_MAP.replace("beak:", "beak: upper:")), part="beak: upper")


@case("mark files", "a labelmap.txt with a line that is none is refused with its number", accepts=REFUSED)
def _() -> None:
    try:
        lt.Marks.read(_cvat(_coloured(), LABEL_MAP + "tail\n"))
    except lt.errors.InputError as error:
        expect("line 5" in str(error), True, "the line's number is named")
        raise


@case("mark files", "a labelmap.txt that gives one colour to two parts is refused", accepts=REFUSED)
def _() -> None:
    lt.Marks.read(_cvat(_coloured(), LABEL_MAP + "tail:250,50,83::\n"))


@case("mark files", "an upside-down picture under CVAT's masks was marked as it is shown", accepts=RIGHT)
def _() -> None:
    from robustness_cases._marked_pictures import save_picture

    folder = new_folder()
    save_picture(folder / "robin.jpg", 3)
    expect_corner(folder, _cvat(_coloured()), "robin.jpg")


@case("mark files", "colours under names.txt are refused, with the file that names them", accepts=REFUSED)
def _() -> None:
    masks = new_folder()
    (masks / "names.txt").write_text("beak\n", encoding="utf-8")
    _coloured().save(masks / "robin.png")
    lt.Marks.read(masks)


@case("mark files", "numbers of a palette whose colours are anything", accepts=RIGHT)
def _() -> None:
    masks = new_folder()
    (masks / "names.txt").write_text("wing\nbeak\n", encoding="utf-8")
    picture = Image.fromarray(np.pad(np.full((8, 8), 2, np.uint8), ((0, 8), (0, 16)))).convert("P")
    picture.putpalette([0, 0, 0, 200, 0, 0, 0, 0, 0])
    picture.save(masks / "robin.png")
    corner_of(masks)


@case("mark files", "masks that end in .PNG", accepts=RIGHT)
def _() -> None:
    masks = new_folder()
    save_mask(masks / "beak" / "robin.PNG")
    expect_corner(pictures("robin.jpg"), masks, "robin.jpg")


@case("mark files", "a mask called robin.jpg.png is of robin.jpg", accepts=RIGHT)
def _() -> None:
    masks = new_folder()
    save_mask(masks / "beak" / "robin.jpg.png")
    expect_corner(pictures("robin.jpg", "robin.jpg.bak.jpg"), masks, "robin.jpg")


@case("mark files", "a dot in a mask's name is no ending", accepts=RIGHT)
def _() -> None:
    masks = new_folder()
    save_mask(masks / "beak" / "robin.2.png")
    expect_corner(pictures("robin.2.jpg", "robin.jpg"), masks, "robin.2.jpg")


@case("mark files", "masks in subfolders of a part are those of pictures in such subfolders", accepts=RIGHT)
def _() -> None:
    masks = new_folder()
    save_mask(masks / "beak" / "red" / "robin.png")
    save_mask(masks / "beak" / "grey" / "robin.png")
    expect_corner(pictures("red/robin.jpg", "grey/robin.jpg"), masks, "red/robin.jpg", "grey/robin.jpg")


@case("mark files", "hidden folders and what macOS adds to archives are passed over", accepts=RIGHT)
def _() -> None:
    masks = new_folder()
    save_mask(masks / "beak" / "robin.png")
    for name in (".ipynb_checkpoints/robin-checkpoint.png", "__MACOSX/beak/._robin.png", "__MACOSX/beak/robin.png"):
        save_mask(masks / name, IN_FILE[3])
    save_mask(masks / "beak" / ".ipynb_checkpoints" / "robin-checkpoint.png")
    (masks / "beak" / "._wren.png").write_bytes(b"\x00\x05\x16\x07")
    marks = corner_of(masks)
    expect((marks.names, len(marks), marks.skipped), (("beak",), 1, ()), "parts, images, and what was left out")


@case("mark files", "hidden copies of documents are passed over", accepts=RIGHT)
def _() -> None:
    path = saved(labelme(shape([[0, 0], [8, 8]])), "robin.json")
    saved(labelme(shape([[9, 9], [12, 12]])), ".ipynb_checkpoints/robin-checkpoint.json", folder=path.parent)
    (path.parent / "._robin.json").write_bytes(b"\x00\x05\x16\x07")
    marks = corner_of(path.parent)
    expect((len(marks), marks.skipped), (1, ()), "images, and what was left out")


@case("mark files", "documents end in .JSON and lie in subfolders", accepts=RIGHT)
def _() -> None:
    path = saved(labelme(shape([[0, 0], [8, 8]])), "birds/robin.JSON")
    corner_of(path.parent.parent)


@case("mark files", "a mask in no part's folder, and a mask as JPEG, are listed", accepts=RIGHT)
def _() -> None:
    masks = new_folder()
    save_mask(masks / "beak" / "robin.png")
    save_mask(masks / "loose.png")
    Image.new("L", (8, 8)).save(masks / "beak" / "wren.jpg")
    marks = corner_of(masks)
    listed(marks, "loose.png", "no folder named after its part")
    listed(marks, "wren.jpg", "no PNG")


@case("mark files", "masks of two sizes for one picture: the second is listed by its folder", accepts=RIGHT)
def _() -> None:
    masks = new_folder()
    save_mask(masks / "beak" / "robin.png")
    save_mask(masks / "wing" / "robin.png", size=(48, 32))
    listed(corner_of(masks), "wing/robin.png", "other masks")


@case("mark files", "broken masks of one name in two folders are both named", accepts=RIGHT)
def _() -> None:
    masks = new_folder()
    save_mask(masks / "beak" / "wren.png")
    for part in ("beak", "wing"):
        (masks / part).mkdir(exist_ok=True)
        (masks / part / "robin.png").write_bytes(b"no picture")
    marks = corner_of(masks)
    expect([name for name, _ in marks.skipped], ["beak/robin.png", "wing/robin.png"], "what was left out")
