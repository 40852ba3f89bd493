"""Marks lie on the picture as it is shown, whichever way up and at whatever size they were drawn."""

import io
from typing import Any

import numpy as np
import torch
from PIL import ExifTags, Image

import likethat as lt
from robustness_cases import REFUSED, RIGHT, case, expect
from robustness_cases._marked_pictures import (
    BLOCK,
    CORNER,
    HEIGHT,
    IN_FILE,
    WIDTH,
    Read,
    as_bbox,
    coco,
    expect_corner,
    labelme,
    model,
    new_folder,
    pictures,
    save_mask,
    save_picture,
    saved,
    shape,
    stored_size,
    upright_picture,
)

ALL = range(1, 9)
TURNED_SIDES = range(5, 9)


def _eight() -> Any:
    folder = new_folder()
    for orientation in ALL:
        save_picture(folder / f"{orientation}.png", orientation)
    return folder


@case("marks", "COCO that states the stored sizes was drawn on stored pixels, in all eight orientations", accepts=RIGHT)
def _() -> None:
    items = [{"file": f"{turn}.png", "size": stored_size(turn), "bbox": as_bbox(IN_FILE[turn])} for turn in ALL]
    expect_corner(_eight(), saved(coco(*items)), *(f"{turn}.png" for turn in ALL))


@case(
    "marks", "COCO that states the upright sizes was drawn on what is shown, in all eight orientations", accepts=RIGHT
)
def _() -> None:
    items = [{"file": f"{turn}.png", "size": (WIDTH, HEIGHT), "bbox": CORNER} for turn in ALL]
    expect_corner(_eight(), saved(coco(*items)), *(f"{turn}.png" for turn in ALL))


@case("marks", "LabelMe draws on what is shown: each of eight orientations alone", accepts=RIGHT)
def _() -> None:
    for turn in ALL:
        folder = new_folder()
        save_picture(folder / "robin.png", turn)
        expect_corner(folder, saved(labelme(shape([[0, 0], [8, 8]]))), "robin.png")


@case("marks", "masks of stored pixels are turned with the picture: each of eight orientations alone", accepts=RIGHT)
def _() -> None:
    for turn in ALL:
        folder, masks = new_folder(), new_folder()
        save_picture(folder / "robin.jpg", turn)
        save_mask(masks / "beak" / "robin.png", IN_FILE[turn], stored_size(turn))
        expect_corner(folder, masks, "robin.jpg")


@case("marks", "masks of the upright picture stay where sides change places", accepts=RIGHT)
def _() -> None:
    for turn in TURNED_SIDES:
        folder, masks = new_folder(), new_folder()
        save_picture(folder / "robin.jpg", turn)
        save_mask(masks / "beak" / "robin.png")
        expect_corner(folder, masks, "robin.jpg")


@case("marks", "a mask that has an EXIF orientation of its own is turned by it", accepts=RIGHT)
def _() -> None:
    folder, masks = new_folder(), new_folder()
    save_picture(folder / "robin.jpg", 3)
    file = save_mask(masks / "beak" / "robin.png", IN_FILE[3])
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 3
    Image.open(file).save(file, exif=exif)
    expect_corner(folder, masks, "robin.jpg")


@case("marks", "boxes from memory are in stored pixels: each of eight orientations alone", accepts=RIGHT)
def _() -> None:
    for turn in ALL:
        folder = new_folder()
        save_picture(folder / "robin.png", turn)
        expect_corner(folder, lt.Marks.of({"robin.png": {"beak": IN_FILE[turn]}}), "robin.png")


@case("marks", "masks from memory tell by their shape which way up they are", accepts=RIGHT)
def _() -> None:
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[:BLOCK, :BLOCK] = True
    for turn in TURNED_SIDES:
        folder = new_folder()
        save_picture(folder / "robin.png", turn)
        expect_corner(folder, lt.Marks.of({"robin.png": {"beak": mask}}), "robin.png")


@case("marks", "an outline, a point and a circle are turned as a box is", accepts=RIGHT)
def _() -> None:
    folder = new_folder()
    save_picture(folder / "robin.png", 6)
    outline = [[0, 16], [7, 16], [7, 23], [0, 23]]  # the stored lower left, last pixels included
    point = [3, 19]  # 4 pixels from the bottom: shown 4 from the left, 3 from the top
    parts = Read(folder, lt.Marks.of({"robin.png": {"beak": outline, "eye": point}})).parts["robin.png"]
    expect((parts["beak"] | parts["eye"])[:BLOCK, :BLOCK].all(), True, "the block is filled")
    expect(np.argwhere(parts["eye"]).mean(0).round().astype(int).tolist(), [3, 4], "row and column of the point")


@case("marks", "run lengths of the stored size are turned", accepts=RIGHT)
def _() -> None:
    folder = new_folder()
    save_picture(folder / "robin.png", 6)
    mask = np.zeros((WIDTH, HEIGHT), dtype=int)  # stored: 24 high, 16 wide
    mask[16:24, 0:8] = 1
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *edges, len(flat)]).tolist()
    runs = {"size": [WIDTH, HEIGHT], "counts": counts}
    expect_corner(folder, saved(coco({"segmentation": runs})), "robin.png")


@case("marks", "which way up COCO was drawn where no size tells is said in a note", accepts=RIGHT)
def _() -> None:
    folder = new_folder()
    save_picture(folder / "robin.png", 3)
    read = expect_corner(folder, saved(coco({"size": (WIDTH, HEIGHT), "bbox": CORNER})), "robin.png")
    expect(len(read.notes), 1, "notes")
    expect(
        "convention of COCO" in read.notes[0] and "frame=" in read.notes[0], True, "the note says what, and what to do"
    )


@case("marks", "pictures that are not turned, and sizes that tell, need no note", accepts=RIGHT)
def _() -> None:
    folder = new_folder()
    save_picture(folder / "a.png")
    save_picture(folder / "b.png", 6)
    items = [{"file": name, "size": (WIDTH, HEIGHT), "bbox": CORNER} for name in ("a.png", "b.png")]
    expect(expect_corner(folder, saved(coco(*items)), "a.png", "b.png").notes, (), "notes")


@case("marks", "frame='stored' says which way up an upside-down picture was marked", accepts=RIGHT)
def _() -> None:
    folder = new_folder()
    save_picture(folder / "robin.png", 3)
    path = saved(coco({"size": (WIDTH, HEIGHT), "bbox": as_bbox(IN_FILE[3])}))
    expect(expect_corner(folder, lt.Marks.read(path, frame="stored"), "robin.png").notes, (), "notes")


@case("marks", "frame='upright' says which way up masks of an upside-down picture are", accepts=RIGHT)
def _() -> None:
    folder, masks = new_folder(), new_folder()
    save_picture(folder / "robin.png", 3)
    save_mask(masks / "beak" / "robin.png")
    expect_corner(folder, lt.Marks.read(masks, frame="upright"), "robin.png")


@case("marks", "frame= of another word is refused", accepts=REFUSED)
def _() -> None:
    lt.Marks.of({0: {"beak": (0, 0, 8, 8)}}, frame="exif")  # type: ignore[arg-type]


@case("marks", "what Label Studio drew on a turned picture whose stored size it states is left out", accepts=RIGHT)
def _() -> None:
    folder = new_folder()
    save_picture(folder / "robin.png", 6)
    document = coco({"size": stored_size(6), "bbox": CORNER}, info={"contributor": "Label Studio"})
    Read(folder, lt.Marks.read(saved(document))).expect_left_out("Label Studio", "upright")


@case("marks", "a list of paths, PIL pictures, bytes and a data set are turned as a folder is", accepts=RIGHT)
def _() -> None:
    file = save_picture(new_folder() / "robin.png", 6)
    data = file.read_bytes()

    class Data(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return 1

        def __getitem__(self, index: int) -> Any:
            return Image.open(io.BytesIO(data)), 0

    for images in ([file], [Image.open(file)], [data], [{"bytes": data, "path": None}], Data()):
        parts = Read(images, lt.Marks.of({0: {"beak": IN_FILE[6]}})).parts
        expect(np.argwhere(next(iter(parts.values()))["beak"]).max(0).tolist(), [7, 7], f"last pixel in {type(images)}")


@case("marks", "pictures held as arrays have no orientation", accepts=RIGHT)
def _() -> None:
    images = torch.from_numpy(np.asarray(upright_picture())).permute(2, 0, 1)[None]
    expect_corner(images, lt.Marks.of({0: {"beak": IN_FILE[1]}}), "image 0")


@case("marks", "a turned TIFF is turned once", accepts=RIGHT)
def _() -> None:
    folder = new_folder()
    save_picture(folder / "robin.tiff", 6)
    item = {"file": "robin.tiff", "size": stored_size(6), "bbox": as_bbox(IN_FILE[6])}
    expect_corner(folder, saved(coco(item)), "robin.tiff")


@case("marks", "a square size for an oblong picture is left out, with both sizes", accepts=RIGHT)
def _() -> None:
    path = saved(coco({"size": (24, 24), "bbox": CORNER}))
    Read(pictures("robin.png"), lt.Marks.read(path)).expect_left_out("aspect", "24 x 24", "24 x 16")


@case("marks", "the turned size of a picture that has no orientation is left out", accepts=RIGHT)
def _() -> None:
    path = saved(labelme(shape([[0, 0], [8, 8]]), imageWidth=HEIGHT, imageHeight=WIDTH))
    Read(pictures("robin.png"), lt.Marks.read(path)).expect_left_out("aspect", "16 x 24")


@case("marks", "a mask of another aspect is left out", accepts=RIGHT)
def _() -> None:
    masks = new_folder()
    save_mask(masks / "beak" / "robin.png", size=(24, 20))
    Read(pictures("robin.png"), lt.Marks.read(masks)).expect_left_out("aspect", "24 x 20")


@case("marks", "a mask from memory of another aspect is left out", accepts=RIGHT)
def _() -> None:
    marks = lt.Marks.of({"robin.png": {"beak": np.ones((24, 24), dtype=bool)}})
    Read(pictures("robin.png"), marks).expect_left_out("aspect", "24 x 24")


@case("marks", "a fit on marks of another aspect alone is refused", accepts=REFUSED)
def _() -> None:
    marks = lt.Marks.read(saved(coco({"size": (24, 24), "bbox": CORNER})))
    lt.PartPrototypes(algorithm="named").fit(model(), pictures("robin.png"), parts=marks)


@case("marks", "marks on a copy of twice the size are scaled", accepts=RIGHT)
def _() -> None:
    item = {"size": (48, 32), "bbox": [0, 0, 16, 16]}
    expect_corner(pictures("robin.png"), saved(coco(item)), "robin.png")


@case("marks", "marks on a thumbnail whose size was rounded are scaled", accepts=RIGHT)
def _() -> None:
    folder = new_folder()
    Image.new("RGB", (300, 200)).save(folder / "robin.png")
    marks = lt.Marks.read(saved(coco({"size": (100, 67), "bbox": [0, 0, 50, 67]}))).images[0]  # 66.67 rounded
    problems: list[tuple[str, str]] = []
    mask = marks.drawn(200, 300, problems)["beak"]
    expect(problems, [], "problems")
    expect((int(mask.any(0).sum()), int(mask.any(1).sum())), (150, 200), "columns and rows")


@case("marks", "a hidden keypoint (v = 1) is no mark, a visible one is", accepts=RIGHT)
def _() -> None:
    names = {"id": 1, "name": "bird", "keypoints": ["beak", "tail", "eye"]}
    item = {"size": (WIDTH, HEIGHT), "keypoints": [4, 4, 2, 20, 12, 1, 0, 0, 0]}
    marks = lt.Marks.read(saved(coco(item, categories=[names])))
    expect(marks.names, ("beak",), "parts")


@case("marks", "an animal of which every keypoint is hidden is listed, not marked whole", accepts=RIGHT)
def _() -> None:
    names = {"id": 1, "name": "bird", "keypoints": ["beak"]}
    hidden = {"size": (WIDTH, HEIGHT), "keypoints": [4, 4, 1], "bbox": CORNER}
    shown = {"file": "wren.png", "keypoints": [4, 4, 2], "bbox": CORNER}
    marks = lt.Marks.read(saved(coco(hidden, shown, categories=[names])))
    expect(marks.names, ("beak",), "parts")
    expect([image.image for image in marks], ["wren.png"], "images")
    expect(marks.skipped[0], ("marks.json, annotations[0].keypoints", "holds none that is visible"), "skipped")


def _expect_mask(picture: Image.Image) -> None:
    masks = new_folder()
    (masks / "beak").mkdir()
    picture.save(masks / "beak" / "robin.png")
    expect_corner(pictures("robin.jpg"), masks, "robin.jpg")


def _block(inside: int, outside: int) -> Image.Image:
    pixels = np.full((HEIGHT, WIDTH), outside, dtype=np.uint8)
    pixels[:BLOCK, :BLOCK] = inside
    return Image.fromarray(pixels)


@case("marks", "the alpha of an RGBA mask is the mask, white all over", accepts=RIGHT)
def _() -> None:
    _expect_mask(Image.merge("RGBA", [Image.new("L", (WIDTH, HEIGHT), 255)] * 3 + [_block(255, 0)]))


@case("marks", "the alpha of an RGBA mask is the mask, black all over", accepts=RIGHT)
def _() -> None:
    _expect_mask(Image.merge("RGBA", [Image.new("L", (WIDTH, HEIGHT), 0)] * 3 + [_block(255, 0)]))


@case("marks", "the alpha of an LA mask is the mask", accepts=RIGHT)
def _() -> None:
    _expect_mask(Image.merge("LA", [Image.new("L", (WIDTH, HEIGHT), 255), _block(255, 0)]))


@case("marks", "an overlay of two fifths alpha is a mask, its faint edge is not", accepts=RIGHT)
def _() -> None:
    alpha = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    alpha[: BLOCK + 1, : BLOCK + 1], alpha[:BLOCK, :BLOCK] = 5, 102
    _expect_mask(Image.merge("RGBA", [Image.new("L", (WIDTH, HEIGHT), 200)] * 3 + [Image.fromarray(alpha)]))


@case("marks", "of an RGBA mask that is opaque everywhere white counts", accepts=RIGHT)
def _() -> None:
    _expect_mask(_block(255, 0).convert("RGBA"))


@case("marks", "a mask in the darkest blue is no empty mask", accepts=RIGHT)
def _() -> None:
    empty = Image.new("L", (WIDTH, HEIGHT), 0)
    _expect_mask(Image.merge("RGB", [empty, empty, _block(1, 0)]))


@case("marks", "a palette whose first colour is white and second black means its colours", accepts=RIGHT)
def _() -> None:
    picture = _block(0, 1)
    picture = Image.fromarray(np.asarray(picture)).convert("P")
    picture.putpalette([255, 255, 255, 0, 0, 0])
    _expect_mask(picture)


@case("marks", "a mask of one bit and one of 16 bits are masks", accepts=RIGHT)
def _() -> None:
    _expect_mask(_block(255, 0).convert("1"))
    _expect_mask(Image.fromarray(np.asarray(_block(1, 0)).astype(np.uint16)))


@case("marks", "the number of a pixel that is transparent is not read", accepts=RIGHT)
def _() -> None:
    masks = new_folder()
    (masks / "names.txt").write_text("beak\n", encoding="utf-8")
    Image.merge("LA", [Image.new("L", (WIDTH, HEIGHT), 1), _block(255, 0)]).save(masks / "robin.png")
    expect_corner(pictures("robin.jpg"), masks, "robin.jpg")


@case("marks", "NaN in a box from memory is refused", accepts=REFUSED)
def _() -> None:
    lt.Marks.of({0: {"beak": (0, 0, float("nan"), 8)}})


@case("marks", "words and ragged lists from memory are refused", accepts=REFUSED)
def _() -> None:
    try:
        lt.Marks.of({0: {"beak": "upper left"}})
    except lt.errors.InputError:
        lt.Marks.of({0: {"beak": [[1, 2], [3]]}})


@case("marks", "one part written in composed and in decomposed Unicode is one part", accepts=RIGHT)
def _() -> None:
    names = {"Flu\u0308gel": (0, 0, 8, 8), "Fl\u00fcgel": (8, 0, 16, 8)}
    expect(lt.Marks.of({0: names}).names, ("Fl\u00fcgel",), "names")
    expect(lt.Marks.of({0: names}).images[0].drawn(16, 24, [])["Fl\u00fcgel"].sum(), 128, "pixels of both")


@case("marks", "a picture that one file marks twice has both marks", accepts=RIGHT)
def _() -> None:
    document = coco({"size": (WIDTH, HEIGHT), "bbox": [0, 0, 8, 4]}, {"size": (WIDTH, HEIGHT), "bbox": [0, 4, 8, 4]})
    read = expect_corner(pictures("robin.png"), saved(document), "robin.png")
    read.expect_said("robin.png", "2 times")


@case("marks", "a bank that was fitted on turned pictures says what was assumed", accepts=RIGHT, slow=True)
def _() -> None:
    folder = new_folder()
    for number in range(8):
        save_picture(folder / f"{number}.png", 3 if number else 1)
    items = [{"file": f"{number}.png", "size": (WIDTH, HEIGHT), "bbox": CORNER} for number in range(8)]
    torch.manual_seed(0)
    marks = lt.Marks.read(saved(coco(*items)))
    bank = lt.PartPrototypes(algorithm="named", n_prototypes=1).fit(model(), folder, parts=marks, labels="predicted")
    expect(bank.provenance.measures["marked_images"], 8.0, "marked images")
    expect(any("7 marked pictures" in note for note in bank.provenance.notes), True, "a note on the seven")
