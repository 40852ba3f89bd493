"""A bank's folder with one thing changed, its checksums made to fit again: refused with one sentence, or harmless."""

import functools
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import likethat as lt
from likethat._documents import digest_of
from robustness_cases import EITHER, REFUSED, RIGHT, case
from robustness_cases._forging import GONE, in_json, put, tiny_model

KIND = "forged banks"
TENSORS, ROWS, MANIFEST = "tensors.safetensors", "prototypes.jsonl", "manifest.json"


@functools.cache
def _bank() -> Path:
    """One tiny bank, made once and copied."""
    model, images = tiny_model(class_names=list("abc"))
    bank = lt.EPIC(n_prototypes=2).fit(model, images)
    return bank.save(Path(tempfile.mkdtemp()) / "bank")


@functools.cache
def _parts() -> Path:
    model, images = tiny_model(2)
    bank = lt.PartPrototypes(n_parts=2, n_prototypes=2).fit(model, lt.Images(images, labels=[0, 1] * 6))
    return bank.save(Path(tempfile.mkdtemp()) / "bank")


def _seal(folder: Path) -> None:
    """Make the checksums fit what lies there, as a forger would."""
    manifest = json.loads((folder / MANIFEST).read_text())
    if isinstance(manifest, dict) and isinstance(manifest.get("sha256"), dict):
        files = [TENSORS, ROWS, *(f"images/{path.name}" for path in (folder / "images").glob("*"))]
        for name in files:
            if (folder / name).is_file():
                manifest["sha256"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        manifest.pop("digest", None)
        manifest["digest"] = digest_of(manifest)
        (folder / MANIFEST).write_text(json.dumps(manifest))


def _forged(change: Callable[[Path], None], original: Callable[[], Path] = _bank, *, seal: bool = True) -> None:
    folder = Path(tempfile.mkdtemp()) / "bank"
    try:
        shutil.copytree(original(), folder)
        change(folder)
        if seal:
            _seal(folder)
        bank = lt.open_bank(folder)
        for prototype in bank.prototypes:
            _ = bank.images[prototype.image]
        bank.save(folder.parent / "page.html")
    finally:
        shutil.rmtree(folder.parent)


def _forge(
    name: str, change: Callable[[Path], None], *, accepts: Any = REFUSED, parts: bool = False, seal: bool = True
) -> None:
    case(KIND, name, accepts=accepts)(lambda: _forged(change, _parts if parts else _bank, seal=seal))


for _is_parts in (False, True):
    _forge(
        f"nothing is changed ({'parts' if _is_parts else 'channels'})", lambda _: None, accepts=RIGHT, parts=_is_parts
    )
MANY = 10**12

for _key in ("schema_version", "coordinates", "class_names", "provenance", "n_images", "sha256"):
    _forge(f"the manifest has no {_key}", in_json(MANIFEST, _key, value=GONE))
    for _value in (None, "x", [], {}, -1, MANY, 1.5, True, [None], {"a": 1}):
        if (_key, _value) in (("schema_version", True),):
            continue
        _forge(f"the manifest's {_key} is {_value!r}", in_json(MANIFEST, _key, value=_value), seal=_key != "sha256")
for _key in ("method", "options", "seed", "fingerprint", "model", "n_images"):
    _forge(f"the provenance has no {_key}", in_json(MANIFEST, "provenance", _key, value=GONE))
for _key, _values in {
    "method": (1, None, ["EPIC"]),
    "options": ("x", [1], None),
    "seed": ("0", None, 0.5),
    "fingerprint": (1, None, {}),
    "model": (1, None, []),
    "n_images": ("12", None, 1.5),
    "skipped": ("x", [["only a name"]], [1], [[1, 2]]),
    "versions": ("x", [1], {"torch": 2}),
    "created": (5, None),
    "seconds": ("1", None, {}),
    "measures": ("x", {"purity": "high"}, {"purity": None}, [1]),
    "notes": ("a note", [1], None),
}.items():
    for _value in _values:
        _forge(f"the provenance's {_key} is {_value!r}", in_json(MANIFEST, "provenance", _key, value=_value))
for _value in ([1, 2, 3], ["a", "b"], ["a", "b", "c", "d"], [None, "b", "c"], "abc"):
    _forge(f"the class names are {_value!r}", in_json(MANIFEST, "class_names", value=_value))


def _in_row(key: str, value: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        rows = [json.loads(line) for line in (folder / ROWS).read_text().splitlines()]
        put(rows[1], (key,), value)
        (folder / ROWS).write_text("".join(json.dumps(row) + "\n" for row in rows))

    return change


for _key, _values in {
    "unit": (-1, 4, MANY, "0", None, 1.5, [0]),
    "rank": (-1, "0", None),
    "kind": ("both", 1, None),
    "source": (1, None, ["a"]),
    "index": (-2, "3", None),
    "image": ("gone", "../x", "../../etc/passwd", "/etc/passwd", "", "a\0b", 5, None, "x" * 10**6),
    "cell": ([0], [0, 0, 0], ["a", "b"], [-1, 0], None, "00", [0.5, 0]),
    "box": (
        [0, 0, 0, 0],
        [5, 5, 1, 1],
        [-4, 0, 3, 3],
        [0, 0, MANY, MANY],
        [0, 0, 3],
        ["a"] * 4,
        None,
        [0.0, 0.5, 3, 3],
    ),
    "activation": ("1", None, float("nan"), float("inf"), [1]),
    "peak": ("1", None, float("-inf")),
    "purity": (2.0, "1", None, float("nan")),
    "label": (-1, "0", 0.5),
    "predicted": (-1, 3, MANY, "0"),
    "true_part": (5, ["beak"]),
}.items():
    for _value in _values:
        _shown = repr(_value)
        _forge(f"a row's {_key} is {_shown if len(_shown) < 60 else 'a megabyte long'}", _in_row(_key, _value))
for _key in ("unit", "image", "box", "purity"):
    _forge(f"a row has no {_key}", _in_row(_key, GONE))


def _written(name: str, data: bytes) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_bytes(data)

    return change


_DEEP = b"[" * 200_000
for _name in (MANIFEST, ROWS):
    _forge(f"{_name} is nested 200,000 deep", _written(_name, _DEEP), seal=_name != MANIFEST)
    _forge(f"{_name} is a list", _written(_name, b"[1]\n"), seal=_name != MANIFEST)
    _forge(f"{_name} is no text", _written(_name, b"\xff\xfe\x00\x01\n"), seal=_name != MANIFEST)
    _forge(
        f"{_name} holds a number of 10,000 digits",
        _written(_name, b'{"unit": ' + b"9" * 10_000 + b"}\n"),
        seal=_name != MANIFEST,
    )
    _forge(f"{_name} names a key twice", _written(_name, b'{"unit": 1, "unit": 2}\n'), seal=_name != MANIFEST)
_forge("a manifest of no bytes", _written(MANIFEST, b""), seal=False)
_forge("the tensors are of no bytes", _written(TENSORS, b""))
_forge("the tensors are a pickle", _written(TENSORS, b"\x80\x04\x95 a pickle"))
_forge("the tensors' header says it is 10^12 bytes long", _written(TENSORS, MANY.to_bytes(8, "little") + b"{}"))
_HUGE = json.dumps({"head.weight": {"dtype": "F32", "shape": [MANY, MANY], "data_offsets": [0, 4 * MANY]}}).encode()
_forge("a tensor says it has 10^24 numbers", _written(TENSORS, len(_HUGE).to_bytes(8, "little") + _HUGE))
_forge("the tensors' header is nested deep", _written(TENSORS, len(_DEEP).to_bytes(8, "little") + _DEEP))


def _tensor(name: str, change: Callable[[torch.Tensor], torch.Tensor | None]) -> Callable[[Path], None]:
    def forge(folder: Path) -> None:
        tensors = load_file(folder / TENSORS)
        (folder / TENSORS).unlink()
        new = change(tensors.pop(name).clone())
        save_file(tensors if new is None else tensors | {name: new.contiguous()}, folder / TENSORS)

    return forge


def _holding(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    def change(tensor: torch.Tensor) -> torch.Tensor:
        tensor.view(-1)[-1] = value
        return tensor

    return change


for _name in ("head.weight", "head.bias", "usage", "mixing"):
    _forge(f"{_name} is not there", _tensor(_name, lambda _: None))
    _forge(f"{_name} holds NaN", _tensor(_name, _holding(float("nan"))))
    _forge(f"{_name} holds infinity", _tensor(_name, _holding(float("inf"))))
    _forge(f"{_name} lacks its last row", _tensor(_name, lambda value: value[:-1]))
    _forge(f"{_name} has an axis too many", _tensor(_name, lambda value: value[None]))
    _forge(f"{_name} is empty", _tensor(_name, lambda value: value[:0]))
    _forge(f"{_name} is one number", _tensor(_name, lambda value: value.flatten()[0]))
    _forge(
        f"{_name} holds whole numbers",
        _tensor(_name, lambda value: value.long()),
        accepts=EITHER if _name == "mixing" else REFUSED,
    )
_forge("the mixing is no rotation", _tensor("mixing", lambda value: 3 * value))
_forge("the mixing is all zeros", _tensor("mixing", torch.zeros_like))
_forge("the head holds complex numbers", _tensor("head.weight", lambda value: value.to(torch.complex64)))
_forge("the head is in half precision", _tensor("head.weight", lambda value: value.half()), accepts=EITHER)
for _name in ("parts.vectors", "parts.owners", "parts.looks", "parts.readers", "parts.surroundings"):
    _forge(f"{_name} is not there", _tensor(_name, lambda _: None), parts=True)
    _forge(f"{_name} lacks its last row", _tensor(_name, lambda value: value[:-1]), parts=True)
    _forge(f"{_name} has an axis too many", _tensor(_name, lambda value: value[None]), parts=True)
_forge("a part belongs to class 10^12", _tensor("parts.owners", _holding(MANY)), parts=True)
_forge("a part's look holds NaN", _tensor("parts.looks", _holding(float("nan"))), parts=True)
_forge("parts have too few names", in_json(MANIFEST, "unit_names", value=["one"]), parts=True)
_forge("parts are called by numbers", in_json(MANIFEST, "unit_names", value=[1, 2, 3, 4]), parts=True)


def _first_picture(folder: Path) -> Path:
    return sorted((folder / "images").iterdir())[0]


def _replaced(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = _first_picture(folder)
        path.unlink()
        make(path)

    return change


def _linked_away(path: Path, target: str) -> None:
    path.unlink() if path.is_file() else shutil.rmtree(path)
    path.symlink_to(target)


_EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\n(/tmp/likethat-was-here) (w) file closefile\n"
_forge("a picture is gone", _replaced(lambda _: None))
_forge("a picture is an EPS, a program for Ghostscript", _replaced(lambda path: path.write_bytes(_EPS)))
_forge("a picture is a TIFF called .png", _replaced(lambda path: Image.new("L", (4, 4)).save(path, format="TIFF")))
_forge("a picture has 10^10 pixels", _replaced(lambda path: path.write_bytes(_bomb())))
_forge("a picture is a folder", _replaced(lambda path: path.mkdir()))
_forge("a picture is a link to a file elsewhere", _replaced(lambda path: path.symlink_to("/etc/hostname")))
_forge(
    "a picture is cut short",
    lambda folder: _first_picture(folder).write_bytes(_first_picture(folder).read_bytes()[:60]),
)
for _name in (MANIFEST, TENSORS, ROWS):
    _forge(
        f"{_name} is a link to a file elsewhere",
        lambda folder, name=_name: _linked_away(folder / name, "/etc/hostname"),
        seal=False,
    )
    _forge(
        f"{_name} is a folder",
        lambda folder, name=_name: ((folder / name).unlink(), (folder / name).mkdir())[0],
        seal=False,
    )
    if hasattr(os, "mkfifo"):
        _forge(
            f"{_name} is a pipe that nobody writes to",
            lambda folder, name=_name: ((folder / name).unlink(), os.mkfifo(folder / name))[0],
            seal=False,
        )
        _forge(
            f"{_name} is a link to /dev/zero",
            lambda folder, name=_name: _linked_away(folder / name, "/dev/zero"),
            seal=False,
        )
if hasattr(os, "mkfifo"):
    _forge("a picture is a pipe that nobody writes to", _replaced(os.mkfifo), seal=False)
_forge(
    "the folder of pictures is a link to another", lambda folder: _linked_away(folder / "images", "/etc"), seal=False
)


def _sparse(folder: Path) -> None:
    with (folder / TENSORS).open("wb") as file:
        file.truncate(MANY)


_forge("the tensors are a sparse file of 10^12 bytes", _sparse, seal=False)


def _bomb() -> bytes:
    """A PNG of 100,000 x 100,000 pixels in a few bytes."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )
