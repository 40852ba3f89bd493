"""Pictures, marks and folders that were wrong when outsiders attacked: each case is one that got through."""

import io
import json
import os
import struct
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

import likethat as lt
from likethat._files import new_folder
from likethat.errors import InputError
from robustness_cases import REFUSED, RIGHT, case, expect
from robustness_cases._services import PLAIN, V2, serve, slot

PICTURES, MARKS, FOLDERS = "pictures", "mark files", "foreign folders"


def _read(name: str, data: bytes) -> np.ndarray[Any, Any]:
    path = Path(tempfile.mkdtemp()) / name
    path.write_bytes(data)
    return np.asarray(lt.Images([path])[0].image)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _deep_png(values: np.ndarray[Any, Any]) -> bytes:
    """Write 16-bit values (height, width, 4) as a PNG, which Pillow cannot."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 6, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")


def _tiff(data: bytes, *tags: tuple[int, int, int, int], after: bytes = b"") -> bytes:
    """Write a TIFF of one directory, 4 x 4 pixels; `after` lies behind the directory, at 8 + 2 + 12 * tags + 4."""
    start = 8 + 2 + 12 * len(tags) + 4
    assert [tag[0] for tag in tags] == sorted(tag[0] for tag in tags)
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    assert len(head) + 4 == start
    return head + bytes(4) + after + data


@case(
    PICTURES, "12-bit colours in a half clear 16-bit PNG are asked about: the white behind is no light", accepts=REFUSED
)
def _() -> None:
    values = np.full((4, 4, 4), 3000)
    values[..., 3] = 65535
    values[:, :2, 3] = 0
    _read("a.png", _deep_png(values))


@case(PICTURES, "16-bit colours in a PNG, half of it clear, lie on white", accepts=RIGHT)
def _() -> None:
    values = np.full((4, 4, 4), 257 * 51)
    values[..., 3] = 65535
    values[:, :2, 3] = 0
    image = _read("a.png", _deep_png(values))
    expect(image[:, 0].tolist(), np.array([[1.0, 1.0, 0.2, 0.2]] * 3), "a row", tolerance=1e-6)


@case(PICTURES, "fractions in a TIFF in which 0 is white are turned round", accepts=RIGHT)
def _() -> None:
    tags = [(256, 3, 1, 4), (257, 3, 1, 4), (258, 3, 1, 32), (259, 3, 1, 1), (262, 3, 1, 0), (273, 4, 1, 134)]
    tags += [(277, 3, 1, 1), (278, 3, 1, 4), (279, 4, 1, 64), (339, 3, 1, 3)]
    image = _read("a.tif", _tiff(np.full(16, 0.25, "<f4").tobytes(), *tags))
    expect(float(image.min()), 0.75, "a pixel of value .25", tolerance=1e-6)


@case(PICTURES, "16-bit colours in separate planes, which Pillow gets wrong, are refused", accepts=REFUSED)
def _() -> None:
    start = 8 + 2 + 12 * 10 + 4
    bits, places = struct.pack("<3H", 16, 16, 16), struct.pack("<3I", *(start + 30 + 32 * plane for plane in range(3)))
    tags = [(256, 3, 1, 4), (257, 3, 1, 4), (258, 3, 3, start), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 3, start + 6)]
    tags += [(277, 3, 1, 3), (278, 3, 1, 4), (279, 4, 3, start + 18), (284, 3, 1, 2)]
    data = np.repeat(np.array([65535, 13107, 39321], "<u2"), 16).tobytes()
    _read("a.tif", _tiff(data, *tags, after=bits + places + struct.pack("<3I", 32, 32, 32)))


@case(PICTURES, "a TIFF of a picture, its thumbnail, and another picture is several", accepts=REFUSED)
def _() -> None:
    pages, buffer = [Image.new("L", (40, 40), 51), Image.new("L", (5, 5)), Image.new("L", (40, 40), 255)], io.BytesIO()
    pages[0].save(buffer, format="TIFF", save_all=True, append_images=pages[1:])
    _read("a.tif", buffer.getvalue())


@case(PICTURES, "FITS has signed numbers of any unit: which is white is asked", accepts=REFUSED)
def _() -> None:
    cards = {"SIMPLE": "T", "BITPIX": "16", "NAXIS": "2", "NAXIS1": "4", "NAXIS2": "4"}
    head = "".join(f"{name:8}= {value:>20}".ljust(80) for name, value in cards.items()) + "END".ljust(80)
    _read("a.fits", head.encode().ljust(2880) + np.full((4, 4), 20000, ">i2").tobytes().ljust(2880, b"\0"))


@case(PICTURES, "a table of pictures' paths is told which column to give", accepts=REFUSED)
def _() -> None:
    lt.Images(pd.DataFrame({"path": ["a.png"], "label": [1]}))


def _coco(**annotation: Any) -> Path:
    path = Path(tempfile.mkdtemp()) / "marks.json"
    images = [{"id": 1, "file_name": "robin.jpg", "width": 20, "height": 10}]
    one = {"image_id": 1, "category_id": 1, **annotation}
    path.write_text(json.dumps({"images": images, "annotations": [one], "categories": [{"id": 1, "name": "beak"}]}))
    return path


@case(MARKS, "a box in shares of the picture's sides is refused, not a mark of one pixel", accepts=REFUSED)
def _() -> None:
    lt.Marks.read(_coco(bbox=[0.1, 0.2, 0.3, 0.4]))


@case(MARKS, "an outline in shares of the picture's sides is refused, not a mark of one pixel", accepts=REFUSED)
def _() -> None:
    lt.Marks.read(_coco(segmentation=[[0.1, 0.1, 0.9, 0.1, 0.9, 0.9]]))


@case(MARKS, "a box of one whole pixel in the corner is a mark", accepts=RIGHT)
def _() -> None:
    mask = lt.Marks.read(_coco(bbox=[0, 0, 1, 1])).images[0].drawn(10, 20, [])["beak"]
    expect(int(np.asarray(mask).sum()), 1, "pixels of the mask")


@case(MARKS, "a box in shares of the sides in memory is refused", accepts=REFUSED)
def _() -> None:
    lt.Marks.of({"robin.jpg": {"beak": (0.1, 0.2, 0.5, 0.9)}})


@case(MARKS, "a mask of probabilities is asked for its threshold, not True wherever it is above 0", accepts=REFUSED)
def _() -> None:
    lt.Marks.of({"robin.jpg": {"beak": np.full((10, 20), 0.01)}})


@case(MARKS, "a mask of negative numbers is refused", accepts=REFUSED)
def _() -> None:
    lt.Marks.of({"robin.jpg": {"beak": np.full((10, 20), -1)}})


@case(MARKS, "a mask two pixels wide in 0 and 1 is no outline", accepts=REFUSED)
def _() -> None:
    lt.Marks.of({"robin.jpg": {"beak": np.ones((10, 2), np.uint8)}})


@case(MARKS, "a mask in a tensor that remembers gradients is a mask", accepts=RIGHT)
def _() -> None:
    mask = lt.Marks.of({"a": {"beak": torch.ones(10, 20, requires_grad=True)}}).images[0].drawn(10, 20, [])["beak"]
    expect(int(np.asarray(mask).sum()), 200, "pixels of the mask")


for _name, _value in {
    "a masked array": np.ma.masked_all((10, 20)),
    "complex numbers": np.ones((10, 20), complex),
    "a tensor without data": torch.ones(10, 20, device="meta"),
    "a sparse tensor": torch.eye(10).to_sparse(),
}.items():

    @case(MARKS, f"{_name} as a mark is refused", accepts=REFUSED)
    def _(value: Any = _value) -> None:
        lt.Marks.of({"robin.jpg": {"beak": value}})


@case(MARKS, "names.txt that begins with the background would shift all parts by one, and is refused", accepts=REFUSED)
def _() -> None:
    folder = Path(tempfile.mkdtemp())
    (folder / "names.txt").write_text("background\nbeak\nwing\n")
    Image.new("L", (20, 10), 1).save(folder / "robin.png")
    lt.Marks.read(folder)


def _write(path: Path) -> None:
    with new_folder(path) as folder:
        (folder / "tensors.bin").write_text("ours")


@case(FOLDERS, "an editor's .tensors.bin.swp in a folder of ours is the user's", accepts=REFUSED)
def _() -> None:
    folder = Path(tempfile.mkdtemp()) / "bank"
    _write(folder)
    (folder / ".tensors.bin.swp").write_text("the user's")
    try:
        _write(folder)
    finally:
        expect((folder / ".tensors.bin.swp").read_text(), "the user's", "what lies there")


@case(FOLDERS, "links that lead to each other are one sentence", accepts=REFUSED)
def _() -> None:
    folder = Path(tempfile.mkdtemp())
    (folder / "a").symlink_to(folder / "b")
    (folder / "b").symlink_to(folder / "a")
    _write(folder / "a")


@case(FOLDERS, "the current folder is not taken away under the program, and what to do is said", accepts=REFUSED)
def _() -> None:
    before, folder = Path.cwd(), Path(tempfile.mkdtemp())
    os.chdir(folder)
    try:
        _write(Path())
    except InputError as error:
        expect("current" in str(error), True, "whether it says what is wrong")
        raise
    finally:
        expect(Path.cwd().samefile(folder), True, "whether the current folder is there")
        os.chdir(before)


@case(FOLDERS, "a generator goes into a folder whose name is no text", accepts=RIGHT)
def _() -> None:
    folder = Path(os.fsdecode(os.fsencode(tempfile.mkdtemp()) + b"/a\xff"))
    lt.train_generator(pd.DataFrame({"age": [20.0, 30.0, 45.0, 61.0] * 5}), kind="table", epochs=1).save(folder)
    expect((folder / "generator.json").is_file(), True, "whether it lies there")


@case(
    "class names",
    "a service names its classes '0' and '1', the user orders them '1', '0': matched by name",
    accepts=RIGHT,
)
def _() -> None:
    box = lt.BlackBox(lambda x: [{"0": 0.9, "1": 0.1}] * len(x), class_names=["1", "0"], check_determinism=False)
    expect(box(torch.rand(1, 2)).numpy(), np.array([[0.1, 0.9]]), "the answer", tolerance=1e-9)


_ROWS = {"predictions": [[0.25, 0.75]] * 3}
for _name, _reply in {
    "an error beside its rows": {"error": "warming up, these are defaults", **_ROWS},
    "rows of True and False": {"predictions": [[True, False]] * 3},
    "rows twice under one key": json.dumps(_ROWS).encode()[:-1] + b', "predictions": [[1, 0], [1, 0], [1, 0]]}',
    "a piece of what was asked for (206)": (206, {}, _ROWS),
}.items():

    @case("servers", f"a service that answers with {_name} is refused", accepts=REFUSED)
    def _(reply: Any = _reply) -> None:
        with serve(lambda *_: reply) as service:
            lt.BlackBox(service.url, **PLAIN)(torch.rand(3, 2))


@case("servers", "an inference server that says an error beside its outputs is refused", accepts=REFUSED)
def _() -> None:
    def answer(path: str, _: Any) -> Any:
        if not path.endswith("/infer"):
            return {"name": "m", "inputs": [slot("x", [-1, 2], "FP32")]}
        output = {"name": "p", "shape": [3, 2], "datatype": "FP32", "data": [0.5] * 6}
        return {"error": "warming up", "outputs": [output]}

    with serve(answer) as service:
        lt.BlackBox(service.url + "/v2/models/m", **V2)(torch.rand(3, 2))


@case("generators", "a table without a column of many numbers trains, and samples hold its own values", accepts=RIGHT)
def _() -> None:
    data = pd.DataFrame({"sex": ["f", "m"] * 10, "n": [1.0, 2.0] * 10})
    made = lt.train_generator(data, kind="table", epochs=1)
    rows = made(made.encode(data))
    expect(set(rows["sex"]) <= {"f", "m"} and set(rows["n"]) <= {1.0, 2.0}, True, "whether all values are the data's")
