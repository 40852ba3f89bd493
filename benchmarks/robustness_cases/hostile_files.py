"""Files that are made to hang, to fill the memory, to start a program, or to be run by a spreadsheet."""

import csv
import functools
import io
import json
import os
import socket
import struct
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from PIL import EpsImagePlugin, Image

import likethat as lt
from likethat._cells import csv_of
from likethat.explanations.images import ImageStore
from likethat.generators import write_samples
from robustness_cases import EITHER, REFUSED, RIGHT, Skip, case, expect

KIND = "hostile files"
MANY = 10**12


def _in_folder(name: str, make: Callable[[Path], object]) -> Path:
    path = Path(tempfile.mkdtemp()) / name
    make(path)
    return path


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    """A PNG that says it has so many pixels, and holds a few."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rest = _chunk(b"IDAT", zlib.compress(b"\0" * 100)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + b"".join(chunks) + rest


def _eps(was_run: Path) -> bytes:
    program = f"({was_run}) (w) file closefile showpage"
    return f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\n{program}\n%%EOF\n".encode()


@functools.cache
def _bank() -> lt.Bank:
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(4, 3),
    )
    images = torch.rand(8, 3, 12, 12)
    return lt.EPIC(n_prototypes=1).fit(lt.split(network.eval(), example=images[:2]), images)


_DOORS: dict[str, Callable[[Path], object]] = {
    "in a list": lambda path: lt.Images([path])[0],
    "in a folder": lambda path: lt.ImageFolder(path.parent)[0],
    "as bytes": lambda path: lt.Images([path.read_bytes()])[0],
    "explained": lambda path: _bank().explain(path),
    "in a bank": lambda path: ImageStore(folder=path.parent)[path.stem],
}


def _not_run(door: str) -> None:
    """Hand over an EPS where a stand-in for Ghostscript leaves a trace when it is started."""
    folder = Path(tempfile.mkdtemp())
    (folder / "a.png").write_bytes(_eps(folder / "was-run"))
    (folder / "gs").write_text(f"#!/bin/sh\ntouch '{folder}/was-run'\nexit 1\n")
    (folder / "gs").chmod(0o755)
    before, EpsImagePlugin.gs_binary = EpsImagePlugin.gs_binary, str(folder / "gs")
    try:
        _DOORS[door](folder / "a.png")
    finally:
        EpsImagePlugin.gs_binary = before
        expect((folder / "was-run").exists(), False, "whether the program ran")


for _door in _DOORS:
    case(KIND, f"an EPS named .png {_door} starts no program", accepts=REFUSED)(lambda door=_door: _not_run(door))
    case(KIND, f"10^10 pixels in a small PNG {_door}", accepts=REFUSED)(
        lambda door=_door: _DOORS[door](_in_folder("a.png", lambda path: path.write_bytes(png(100_000, 100_000))))
    )


@case(KIND, "an EPS named .eps is no picture in a folder", accepts=REFUSED)
def _() -> None:
    lt.ImageFolder(_in_folder("a.eps", lambda path: path.write_bytes(_eps(path.parent / "was-run"))).parent)


def _marks(data: bytes) -> None:
    folder = Path(tempfile.mkdtemp())
    Image.new("RGB", (8, 8)).save(folder / "a.jpg")
    (folder / "a.png").write_bytes(data)
    lt.Marks.read(folder)


case(KIND, "a mask that is an EPS starts no program", accepts=REFUSED)(lambda: _marks(_eps(Path("/tmp/no/where"))))
case(KIND, "a mask of 10^10 pixels", accepts=REFUSED)(lambda: _marks(png(100_000, 100_000)))
for _text, _shown in (
    (b"[" * 200_000, "nested 200,000 deep"),
    (b'{"a":' * 100_000, "of 100,000 objects in each other"),
    (b'{"images": [], "annotations": [], "categories": [' + b"9" * 10_000 + b"]}", "with a number of 10,000 digits"),
    (b'{"images": NaN}', "with NaN"),
    (b'{"images": 1, "images": 2}', "that names a key twice"),
    (b"\xef\xbb\xbf", "of a byte-order mark alone"),
    (b"", "of no bytes"),
):
    case(KIND, f"a mark file {_shown}", accepts=REFUSED)(
        lambda text=_text: lt.Marks.read(_in_folder("marks.json", lambda path: path.write_bytes(text)))
    )


def _zeros(size: int) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with path.open("wb") as file:
            file.truncate(size)

    return make


case(KIND, "a mark file of 10^12 zeros (sparse)", accepts=REFUSED)(
    lambda: lt.Marks.read(_in_folder("marks.json", _zeros(MANY)))
)
case(KIND, "a picture of 10^12 zeros (sparse)", accepts=REFUSED)(
    lambda: lt.Images([_in_folder("a.png", _zeros(MANY))])[0]
)
if hasattr(os, "mkfifo"):
    case(KIND, "a pipe called .png in a list", accepts=REFUSED)(lambda: lt.Images([_in_folder("a.png", os.mkfifo)])[0])
    case(KIND, "a pipe called .png alone in a folder", accepts=REFUSED)(
        lambda: lt.ImageFolder(_in_folder("a.png", os.mkfifo).parent)
    )
    case(KIND, "a pipe called .json for marks", accepts=REFUSED)(
        lambda: lt.Marks.read(_in_folder("marks.json", os.mkfifo))
    )
    case(KIND, "a pipe for weights", accepts=REFUSED)(
        lambda: lt.load("torchvision:resnet18", weights=_in_folder("a.safetensors", os.mkfifo))
    )
    for _device in ("/dev/zero", "/dev/stdin"):
        case(KIND, f"{_device} in a list", accepts=REFUSED)(lambda device=_device: lt.Images([device])[0])
        case(KIND, f"a link to {_device} called .png", accepts=REFUSED)(
            lambda device=_device: lt.Images([_in_folder("a.png", lambda path: path.symlink_to(device))])[0]
        )


@case(KIND, "a socket called .png", accepts=REFUSED)
def _() -> None:
    path = Path(tempfile.mkdtemp(dir="/tmp")) / "a.png"
    if not hasattr(socket, "AF_UNIX"):
        raise Skip("no such sockets here")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        lt.Images([path])[0]


def _text_bomb() -> bytes:
    """A PNG whose comment unpacks to 100 MB."""
    return png(4, 4, _chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"a" * 10**8, 9)))


def _profile_bomb() -> bytes:
    return png(4, 4, _chunk(b"iCCP", b"icc\0\0" + zlib.compress(b"a" * 10**8, 9)))


for _name, _made in (("comment", _text_bomb), ("colour profile", _profile_bomb)):
    case(KIND, f"a PNG whose {_name} unpacks to 100 MB", accepts=EITHER)(lambda made=_made: lt.Images([made()])[0])


@case(KIND, "a TIFF whose directories follow each other in a circle", accepts=EITHER)
def _() -> None:
    buffer = io.BytesIO()
    Image.new("L", (5, 4), 51).save(buffer, format="TIFF")
    data = bytearray(buffer.getvalue())
    at = struct.unpack_from("<I", data, 4)[0]
    n_entries = struct.unpack_from("<H", data, at)[0]
    struct.pack_into("<I", data, at + 2 + 12 * n_entries, at)
    expect(float(lt.Images([bytes(data)])[0].image.max()), 0.2, "a pixel", tolerance=1e-6)


@case(KIND, "a folder of links that lead to each other in a circle", accepts=REFUSED)
def _() -> None:
    folder = Path(tempfile.mkdtemp())
    (folder / "a.png").symlink_to(folder / "b.png")
    (folder / "b.png").symlink_to(folder / "a.png")
    lt.ImageFolder(folder)[0]


@case(KIND, "a link out of the folder shows nothing of what lies there", accepts=REFUSED)
def _() -> None:
    outside = _in_folder("secret.png", lambda path: Image.new("RGB", (4, 4)).save(path))
    lt.ImageFolder(_in_folder("a.png", lambda path: path.symlink_to(outside)).parent)


def _weights(header: dict[str, Any] | bytes, *, size: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    data = (len(text) if size is None else size).to_bytes(8, "little") + text
    return _in_folder("weights.safetensors", lambda path: path.write_bytes(data))


for _name, _path in (
    ("whose header says 10^12 bytes", lambda: _weights(b"{}", size=MANY)),
    ("whose header is nested 200,000 deep", lambda: _weights(b"[" * 200_000)),
    (
        "of a tensor of 10^12 numbers",
        lambda: _weights({"a": {"dtype": "F32", "shape": [MANY], "data_offsets": [0, 4 * MANY]}}),
    ),
    ("of a tensor of -1 numbers", lambda: _weights({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}})),
    (
        "whose tensors lie on each other",
        lambda: _weights({name: {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]} for name in "ab"}),
    ),
    ("of a type that nobody knows", lambda: _weights({"a": {"dtype": "F7", "shape": [0], "data_offsets": [0, 0]}})),
    ("of no bytes", lambda: _in_folder("weights.safetensors", lambda path: path.touch())),
):
    case(KIND, f"weights {_name}", accepts=REFUSED)(lambda path=_path: lt.load("torchvision:resnet18", weights=path()))


CELLS = "cells of CSV"
FORMULAS = (
    "=1+1",
    "+1+1",
    "-1+1",
    "@SUM(A1)",
    "\t=1+1",
    "\r=1+1",
    " =1+1",
    '=HYPERLINK("http://a")',
    "-2+3+cmd|' /C calc'!A0",
    "＝1+1",
)
NUMBERS = ("-3.5", "+4", "-1e5", "3", "-inf", ".5")


def _cells(frame: pd.DataFrame) -> list[list[str]]:
    return list(csv.reader(io.StringIO(csv_of(frame), newline="")))


for _text in FORMULAS:
    case(CELLS, f"{_text!r} is a text and no formula", accepts=RIGHT)(
        lambda text=_text: expect(_cells(pd.DataFrame({"a": [text]}))[1], [f"'{text}"], "the cell")
    )
for _text in NUMBERS:
    case(CELLS, f"the text {_text!r} stays the number it is", accepts=RIGHT)(
        lambda text=_text: expect(_cells(pd.DataFrame({"a": [text]}))[1], [text], "the cell")
    )
case(CELLS, "negative numbers stay numbers", accepts=RIGHT)(
    lambda: expect(_cells(pd.DataFrame({"a": [-3.5, 2.0], "b": [-4, 4]}))[1:], [["-3.5", "-4"], ["2.0", "4"]], "cells")
)
case(CELLS, "a column's name is no formula either", accepts=RIGHT)(
    lambda: expect(_cells(pd.DataFrame({"=a": [1]}))[0], ["'=a"], "the name")
)
case(CELLS, "categories are no formulas either", accepts=RIGHT)(
    lambda: expect(_cells(pd.DataFrame({"a": pd.Categorical(["=1", "b"])}))[1:], [["'=1"], ["b"]], "the cells")
)
case(CELLS, "what is missing stays missing", accepts=RIGHT)(
    lambda: expect(
        _cells(pd.DataFrame({"a": ["=1", None, float("nan")], "b": [1, 2, 3]}))[2:], [["", "2"], ["", "3"]], "it"
    )
)
case(CELLS, "two columns of one name both come", accepts=RIGHT)(
    lambda: expect(_cells(pd.DataFrame([["=1", 2]], columns=["a", "a"])), [["a", "a"], ["'=1", "2"]], "the table")
)


@case(CELLS, "samples of a generator of tables", accepts=RIGHT)
def _() -> None:
    generator = lt.load_generator(
        lambda latents: pd.DataFrame({"=name": ["=1+1"] * len(latents), "n": [-1.5] * len(latents)}), latent_dim=2
    )
    text = write_samples(generator, Path(tempfile.mkdtemp()), n=2).read_text()
    expect(text, "'=name,n\n'=1+1,-1.5\n'=1+1,-1.5\n", "samples.csv")
