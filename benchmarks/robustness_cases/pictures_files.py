"""Pictures as cameras, scanners and image programs write them."""

import io
import struct
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image, TiffImagePlugin

import likethat as lt
from likethat.errors import UnreadableImageError
from likethat.models import Preprocess
from robustness_cases import EITHER, REFUSED, RIGHT, case, expect

KIND = "pictures"
WHITE = 1.0


def _file(name: str, data: bytes = b"") -> Path:
    path = Path(tempfile.mkdtemp()) / name
    if data:
        path.write_bytes(data)
    return path


def _saved(image: Image.Image, name: str, **options: object) -> Path:
    path = _file(name)
    image.save(path, **options)
    return path


def _read(path: Path, **options: object) -> torch.Tensor:
    return lt.ImageFolder(path.parent, **options)[0].image  # type: ignore[arg-type]


def _tiff(tags: dict[int, object], name: str = "a.tif", image: Image.Image | None = None) -> Path:
    info = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in tags.items():
        info[tag] = value
    return _saved(image or Image.fromarray(np.full((4, 5), 2048, np.uint16)), name, tiffinfo=info)


def _raw_tiff(pixels: np.ndarray, *, bits: int, samples: int, photometric: int, extra: tuple[int, ...] | None) -> Path:
    """A little-endian TIFF of one strip, written out byte by byte: what Pillow's writer would not write."""
    data = pixels.tobytes()
    height, width = pixels.shape[:2]
    entries = [(256, 4, 1, width), (257, 4, 1, height), (259, 3, 1, 1), (262, 3, 1, photometric), (277, 3, 1, samples)]
    entries += [(278, 4, 1, height), (279, 4, 1, len(data))]
    n_entries = len(entries) + 2 + (extra is not None)
    at = 8 + 2 + 12 * n_entries + 4
    tail = struct.pack(f"<{samples}H", *[bits] * samples)
    entries.append((258, 3, samples, bits if samples == 1 else bits | bits << 16 if samples == 2 else at))
    if extra is not None:
        value = extra[0] if len(extra) == 1 else extra[0] | extra[1] << 16 if len(extra) == 2 else at + len(tail)
        entries.append((338, 3, len(extra), value))
        tail += struct.pack(f"<{len(extra)}H", *extra) if len(extra) > 2 else b""
    entries.append((273, 4, 1, at + len(tail)))
    directory = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    head = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", n_entries)
    return _file("a.tif", head + directory + b"\0\0\0\0" + tail + data)


def _four_bands() -> np.ndarray:
    """Red 0, green 51, blue 102 and, as the fourth, near infrared from 40 to 200."""
    bands = np.zeros((8, 8, 4), np.uint8)
    bands[..., 1], bands[..., 2] = 51, 102
    bands[..., 3] = np.linspace(40, 200, 64).reshape(8, 8)
    return bands


@case(KIND, "12-bit data in a 16-bit PNG are asked about, not almost black", accepts=REFUSED)
def _() -> None:
    _read(_saved(Image.fromarray(np.full((4, 5), 4095, np.uint16)), "a.png"))


@case(KIND, "12-bit data in a 16-bit PNG with white=4095: 4,095 is white, 1,365 a third", accepts=RIGHT)
def _() -> None:
    pixels = np.full((4, 5), 1365, np.uint16)
    pixels[0, 0] = 4095
    image = _read(_saved(Image.fromarray(pixels), "a.png"), white=4095)
    expect([float(image[0, 0, 0]), float(image[0, 1, 1])], np.array([1.0, 1 / 3]), "pixels", tolerance=1e-6)


@case(KIND, "10-bit data in a 16-bit TIFF without a tag are asked about", accepts=REFUSED)
def _() -> None:
    _read(_tiff({}, image=Image.fromarray(np.full((4, 5), 1000, np.uint16))))


@case(KIND, "a TIFF that names 4,095 as its largest sample (SMaxSampleValue): 2,048 is a half", accepts=RIGHT)
def _() -> None:
    expect(float(_read(_tiff({341: 4095}))[0, 0, 0]), 2048 / 4095, "a pixel", tolerance=1e-6)


@case(KIND, "a TIFF that names 4,095 as its largest sample (MaxSampleValue): 2,048 is a half", accepts=RIGHT)
def _() -> None:
    expect(float(_read(_tiff({281: 4095}))[0, 0, 0]), 2048 / 4095, "a pixel", tolerance=1e-6)


@case(KIND, "a TIFF whose largest sample is only this picture's maximum (3,007) does not become white", accepts=REFUSED)
def _() -> None:
    _read(_tiff({281: 3007}))


@case(KIND, "a TIFF of 12 bits a sample: 4,095 is white", accepts=EITHER)
def _() -> None:
    packed = np.full((4, 6, 3), 255, np.uint8).reshape(4, 18)[:, :9]  # 6 samples of 12 bits a row: all bits set
    path = _raw_tiff(packed, bits=12, samples=1, photometric=1, extra=None)
    data = bytearray(path.read_bytes())
    at = data.index(struct.pack("<HHI", 256, 4, 1)) + 8
    data[at : at + 4] = struct.pack("<I", 6)
    path.write_bytes(bytes(data))
    expect(float(_read(path).min()), WHITE, "the darkest pixel", tolerance=1e-6)


@case(KIND, "honest 16-bit grey in a PNG: 65,535 is white, 13,107 a fifth", accepts=RIGHT)
def _() -> None:
    pixels = np.full((4, 5), 13107, np.uint16)
    pixels[0] = 65535
    image = _read(_saved(Image.fromarray(pixels), "a.png"))
    expect([float(image[0, 0, 0]), float(image[0, 1, 0])], np.array([1.0, 0.2]), "pixels", tolerance=1e-6)


@case(KIND, "a 16-bit picture that is black everywhere stays black", accepts=RIGHT)
def _() -> None:
    expect(float(_read(_saved(Image.fromarray(np.zeros((4, 5), np.uint16)), "a.png")).max()), 0.0, "a pixel")


@case(KIND, "16-bit TIFF where 0 is white (PhotometricInterpretation 0) is turned round", accepts=EITHER)
def _() -> None:
    path = _raw_tiff(np.zeros((4, 5), np.uint16), bits=16, samples=1, photometric=0, extra=None)
    expect(float(_read(path).min()), WHITE, "a pixel of value 0")


@case(KIND, "8-bit TIFF where 0 is white is turned round", accepts=RIGHT)
def _() -> None:
    path = _raw_tiff(np.zeros((4, 5), np.uint8), bits=8, samples=1, photometric=0, extra=None)
    expect(float(_read(path).min()), WHITE, "a pixel of value 0")


@case(KIND, "32-bit whole numbers in a TIFF say not what is white", accepts=REFUSED)
def _() -> None:
    _read(_saved(Image.fromarray(np.full((4, 5), 200, np.int32)), "a.tif"))


@case(KIND, "32-bit whole numbers in a TIFF with white=200", accepts=RIGHT)
def _() -> None:
    expect(float(_read(_saved(Image.fromarray(np.full((4, 5), 200, np.int32)), "a.tif"), white=200).min()), WHITE, "it")


@case(KIND, "16-bit colours of 12 bits, of which Pillow keeps the upper 8, are asked about", accepts=REFUSED)
def _() -> None:
    pixels = np.full((4, 5, 3), 4095, np.uint16)
    _read(_raw_tiff(pixels, bits=16, samples=3, photometric=2, extra=None))


@case(KIND, "honest 16-bit colours in a TIFF: 65,535 is white, 32,768 a half", accepts=EITHER)
def _() -> None:
    pixels = np.full((4, 5, 3), 65535, np.uint16)
    pixels[..., 1] = 32768
    image = _read(_raw_tiff(pixels, bits=16, samples=3, photometric=2, extra=None))
    expect(image[:, 0, 0].tolist(), np.array([1.0, 0.5, 1.0]), "red, green, blue", tolerance=1 / 255)


@case(KIND, "16-bit colours with white=4095, of which 8 bits are left, are refused", accepts=REFUSED)
def _() -> None:
    pixels = np.full((4, 5, 3), 60000, np.uint16)
    _read(_raw_tiff(pixels, bits=16, samples=3, photometric=2, extra=None), white=4095)


@case(KIND, "near infrared in a four-band TIFF (ExtraSamples 0) hides nothing", accepts=EITHER)
def _() -> None:
    image = _read(_raw_tiff(_four_bands(), bits=8, samples=4, photometric=2, extra=(0,)))
    expect(image[:3, 4, 4].tolist(), np.array([0.0, 0.2, 0.4]), "red, green, blue", tolerance=1e-6)


@case(KIND, "near infrared in a four-band TIFF without ExtraSamples hides nothing", accepts=EITHER)
def _() -> None:
    image = _read(_raw_tiff(_four_bands(), bits=8, samples=4, photometric=2, extra=None))
    expect(image[:3, 4, 4].tolist(), np.array([0.0, 0.2, 0.4]), "red, green, blue", tolerance=1e-6)


@case(KIND, "a four-band TIFF with background=None has its four bands, or what to do is said", accepts=EITHER)
def _() -> None:
    image = _read(_raw_tiff(_four_bands(), bits=8, samples=4, photometric=2, extra=(0,)), background=None)
    expect(image[:, 0, 0].tolist(), np.array([0.0, 0.2, 0.4, 40 / 255]), "the four bands", tolerance=1e-6)


@case(KIND, "transparency in a TIFF (ExtraSamples 2) lies on white", accepts=RIGHT)
def _() -> None:
    bands = _four_bands()
    bands[..., 3] = 0
    image = _read(_raw_tiff(bands, bits=8, samples=4, photometric=2, extra=(2,)))
    expect(image.unique().tolist(), [1.0], "an image that is wholly transparent")


@case(KIND, "seven bands in a TIFF: what to do is said", accepts=RIGHT)
def _() -> None:
    path = _raw_tiff(np.zeros((4, 5, 7), np.uint8), bits=8, samples=7, photometric=1, extra=(0,) * 6)
    try:
        lt.ImageFolder(path)[0]
    except UnreadableImageError as error:
        expect("Read it with tifffile or rasterio" in str(error), True, "it says how")


@case(KIND, "two pages of one size in a TIFF: the first is not read without a word", accepts=REFUSED)
def _() -> None:
    pages = [Image.new("L", (5, 4), shade) for shade in (0, 255)]
    _read(_saved(pages[0], "a.tif", save_all=True, append_images=pages[1:]))


@case(KIND, "a thumbnail behind a TIFF's picture does not matter", accepts=RIGHT)
def _() -> None:
    pages = [Image.new("L", (50, 40), 51), Image.new("L", (5, 4), 255)]
    image = _read(_saved(pages[0], "a.tif", save_all=True, append_images=pages[1:]))
    expect((tuple(image.shape), float(image.max())), (((1, 40, 50)), np.float32(0.2)), "size and shade")


def _drawn_on(background: object, expected: list[float]) -> None:
    path = _saved(Image.new("RGBA", (4, 4), (255, 0, 0, 0)), "a.png")
    for image in (_read(path, background=background), lt.Images([path], background=background)[0].image):  # type: ignore[arg-type]
        expect(image[:, 0, 0].tolist(), np.array(expected), "a wholly transparent pixel", tolerance=1e-6)


for _background, _expected in (
    ("auto", [1.0, 1.0, 1.0]),
    ("white", [1.0, 1.0, 1.0]),
    ("black", [0.0, 0.0, 0.0]),
    ("#336699", [0.2, 0.4, 0.6]),
    ((0.2, 0.4, 0.6), [0.2, 0.4, 0.6]),
    (0.6, [0.6, 0.6, 0.6]),
):
    case(KIND, f"a transparent PNG with background={_background!r}", accepts=RIGHT)(
        lambda one=_background, value=_expected: _drawn_on(one, value)
    )

for _bad in ("nocolour", (1, 2), (0.1, 0.2, 300), float("nan"), 7, b"black", [None]):
    case(KIND, f"background={_bad!r} is no colour", accepts=REFUSED)(
        lambda one=_bad: lt.Images(np.zeros((1, 4, 5, 3), np.uint8), background=one)
    )

for _bad in (0, -1, float("inf"), float("nan"), "4095", True):
    case(KIND, f"white={_bad!r} is no value", accepts=REFUSED)(
        lambda one=_bad: lt.Images(np.zeros((1, 4, 5, 3), np.uint8), white=one)
    )


@case(KIND, "a half transparent red PNG on black: .2 * 1", accepts=RIGHT)
def _() -> None:
    image = _read(_saved(Image.new("RGBA", (4, 4), (255, 0, 0, 51)), "a.png"), background="black")
    expect(image[:, 0, 0].tolist(), np.array([0.2, 0.0, 0.0]), "a pixel", tolerance=1e-6)


@case(KIND, "a palette with transparency on black", accepts=RIGHT)
def _() -> None:
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([255, 0, 0] * 256)
    path = _saved(palette, "a.png", transparency=0)
    expect(_read(path, background="black")[:, 0, 0].tolist(), [0.0, 0.0, 0.0], "a transparent pixel")


@case(KIND, "grey with transparency on black stays grey", accepts=RIGHT)
def _() -> None:
    image = _read(_saved(Image.new("LA", (4, 4), (255, 51)), "a.png"), background="black")
    expect(image[:, 0, 0].tolist(), np.array([0.2]), "a pixel", tolerance=1e-6)


@case(KIND, "a 16-bit grey PNG with a transparent value, on black", accepts=RIGHT)
def _() -> None:
    path = _saved(Image.new("I;16", (4, 4), 13107), "a.png", transparency=13107)
    expect(float(_read(path, background="black").max()), 0.0, "a transparent pixel")


@case(KIND, "a network of three channels and a tensor of four, of which one is near infrared", accepts=REFUSED)
def _() -> None:
    Preprocess(channels=3).view(torch.rand(4, 8, 8) * 0.9)


@case(KIND, "a network of four channels and a four-band TIFF without ExtraSamples: four bands come in", accepts=RIGHT)
def _() -> None:
    path = _raw_tiff(_four_bands(), bits=8, samples=4, photometric=2, extra=None)
    view = Preprocess(channels=4).view(lt.ImageFolder(path.parent, background=None)[0].image)
    expect(view.shape[0], 4, "channels of the view")


@case(KIND, "a network of four channels and a transparent PNG: what to do is said", accepts=REFUSED)
def _() -> None:
    path = _saved(Image.new("RGBA", (4, 4), (255, 0, 0, 0)), "a.png")
    Preprocess(channels=4).view(lt.ImageFolder(path.parent)[0].image)


@case(KIND, "CMYK of a printer: no ink is white, full magenta and yellow is red", accepts=RIGHT)
def _() -> None:
    expect(_read(_saved(Image.new("CMYK", (4, 4)), "a.tif")).unique().tolist(), [1.0], "no ink")
    red = _read(_saved(Image.new("CMYK", (4, 4), (0, 255, 255, 0)), "b.tif"))
    expect(red[:, 0, 0].tolist(), [1.0, 0.0, 0.0], "magenta and yellow")


@case(KIND, "CIELAB in a TIFF: full lightness without colour is white", accepts=EITHER)
def _() -> None:
    image = _read(
        _raw_tiff(np.tile(np.array([255, 0, 0], np.uint8), (4, 5, 1)), bits=8, samples=3, photometric=8, extra=None)
    )
    expect(image[:, 0, 0].tolist(), np.array([1.0, 1.0, 1.0]), "a pixel", tolerance=0.02)


@case(KIND, "an animated GIF is its first frame", accepts=RIGHT)
def _() -> None:
    frames = [Image.new("RGB", (4, 4), (shade, 0, 0)) for shade in (255, 0)]
    image = _read(_saved(frames[0], "a.gif", save_all=True, append_images=frames[1:]))
    expect(image[:, 0, 0].tolist(), [1.0, 0.0, 0.0], "a pixel")


@case(KIND, "an animated WebP is its first frame", accepts=RIGHT)
def _() -> None:
    frames = [Image.new("RGB", (4, 4), (shade, 0, 0)) for shade in (255, 0)]
    image = _read(_saved(frames[0], "a.webp", save_all=True, append_images=frames[1:], lossless=True))
    expect(image[:, 0, 0].tolist(), [1.0, 0.0, 0.0], "a pixel")


@case(KIND, "one pixel is a picture", accepts=RIGHT)
def _() -> None:
    expect(tuple(_read(_saved(Image.new("RGB", (1, 1)), "a.png")).shape), (3, 1, 1), "its shape")


@case(KIND, "a PIL image of no pixels", accepts=REFUSED)
def _() -> None:
    lt.Images([Image.new("RGB", (0, 4))])[0]


@case(KIND, "floating-point TIFF of 0 to 255", accepts=REFUSED)
def _() -> None:
    _read(_saved(Image.fromarray(np.full((4, 5), 255.0, np.float32)), "a.tif"))


@case(KIND, "a PGM whose white is 4,095: 4,095 is white", accepts=RIGHT)
def _() -> None:
    data = b"P5 5 4 4095\n" + np.full((4, 5), 4095, ">u2").tobytes()
    expect(float(_read(_file("a.pgm", data)).min()), WHITE, "a pixel")


@case(KIND, "a 16-bit TIFF in the other byte order", accepts=RIGHT)
def _() -> None:
    path = _file("a.tif")
    head = b"MM\0*" + struct.pack(">I", 8) + struct.pack(">H", 8)
    entries = [(256, 4, 1, 5), (257, 4, 1, 4), (258, 3, 1, 16 << 16), (259, 3, 1, 1 << 16), (262, 3, 1, 1 << 16)]
    entries += [(273, 4, 1, 110), (278, 4, 1, 4), (279, 4, 1, 40)]
    directory = b"".join(struct.pack(">HHII", *entry) for entry in entries)
    path.write_bytes(head + directory + b"\0\0\0\0" + np.full((4, 5), 13107, ">u2").tobytes())
    expect(float(_read(path)[0, 0, 0]), 0.2, "a pixel of 13,107", tolerance=1e-6)


@case(KIND, "the bytes of an encoded picture are that picture", accepts=RIGHT)
def _() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), (51, 102, 255)).save(buffer, format="PNG")
    expect(lt.Images([buffer.getvalue()])[0].image[:, 0, 0].tolist(), np.array([0.2, 0.4, 1.0]), "it", tolerance=1e-6)
