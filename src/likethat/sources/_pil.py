"""What Pillow opened, as float32 in [0, 1]: bits, bands, pages and transparency as the file says."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps
from torch import Tensor

from likethat.errors import InputError
from likethat.sources._pixels import DARKEST, Pixels, check_depth, laid_on
from likethat.sources._values import FULL_SCALE, check_range, shaded

_SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N", "I")
_WITH_ALPHA = ("LA", "RGBA", "RGBa", "PA")
_BITS, _PHOTOMETRIC, _SAMPLES, _KIND, _EXTRA, _FORMAT = 258, 262, 277, 254, 338, 339  # tags of TIFF 6.0
_COMPRESSION, _PLANES = 259, 284  # TIFF's numbers of these tags
_LARGEST = (341, 281)  # SMaxSampleValue, MaxSampleValue
_REDUCED, _MASK = 1, 4  # kinds of a page that are no picture of their own: a thumbnail, a mask
_MOST_PAGES = 64  # that are looked at: a pyramid has about ten, and directories may follow each other in a circle


@dataclass(frozen=True, kw_only=True)
class _About:
    """What the file says of its pixels.

    Attributes:
        bits: a channel; 0 where it does not say.
        white: the value that is white, where it says so.
        is_inverted: 0 is white, and Pillow does not turn it round.
        is_alpha: whether a fourth channel is transparency; None where the file does not say.
        says_nothing: whole numbers of a type whose largest value is no white.
        n_dropped: bands beyond those that Pillow reads.
    """

    bits: int = 0
    white: float | None = None
    is_inverted: bool = False
    is_alpha: bool | None = True
    says_nothing: bool = False
    n_dropped: int = 0


def from_pil(image: Image.Image, name: str, pixels: Pixels) -> Tensor:
    """Return a picture in [0, 1]: grey with one channel, others with three, or with all where no background is wanted.

    Raises:
        InputError: several pages, values that are not in [0, 1], or fewer bits than it seems.
    """
    about = _about(image, name)
    if pixels.background is None and about.n_dropped:
        raise InputError(
            f"{name} must be read with all its bands, of which Pillow drops {about.n_dropped}. Read it with tifffile "
            "or rasterio, and give the arrays: Images(arrays, background=None)."
        )
    image = _upright(image)
    if not image.width or not image.height:
        raise InputError(f"{name} must hold pixels, got {image.width} x {image.height}.")
    if image.mode in _SIXTEEN_BIT:
        return _sixteen_bit(image, about, name, pixels)
    if image.mode == "F":
        shades = check_range(shaded(np.asarray(image), pixels.white or 1.0)[None], name)
        return 1 - shades if about.is_inverted else shades
    if image.mode in ("1", "La"):
        image = image.convert("L" if image.mode == "1" else "LA")
    if about.bits > 8:  # of which Pillow kept the upper 8
        _check_kept(image, about, name, pixels)
    return _eight_bit(image, about, pixels)


def _eight_bit(image: Image.Image, about: _About, pixels: Pixels) -> Tensor:
    if image.mode == "RGBX" or (image.mode == "RGBA" and about.is_alpha is not True):
        bands = _floats(image)  # a fourth band, and no transparency
        return bands if pixels.background is None else bands[:3]
    if image.mode in _WITH_ALPHA or "transparency" in image.info:
        grey = image.mode in ("LA", "L")
        image = image.convert("RGBA")
        if pixels.background is None:
            return _floats(image.convert("LA") if grey else image)
        behind = (*(round(255 * value) for value in pixels.background), 255)
        image = Image.alpha_composite(Image.new("RGBA", image.size, behind), image).convert("L" if grey else "RGB")
    return _floats(image if image.mode == "L" else image.convert("RGB"))


def _floats(image: Image.Image) -> Tensor:
    values = np.asarray(image)
    return shaded(values[None] if values.ndim == 2 else np.moveaxis(values, -1, 0), FULL_SCALE["uint8"])


def _upright(image: Image.Image) -> Image.Image:
    image.load()  # a file that is cut short says so here; a TIFF turns itself
    try:
        if image.getexif().get(ExifTags.Base.Orientation, 1) == 1:
            return image
        return ImageOps.exif_transpose(image)
    except Exception:
        return image  # a damaged EXIF block: the pixels are what counts


def _sixteen_bit(image: Image.Image, about: _About, name: str, pixels: Pixels) -> Tensor:
    values = np.asarray(image).astype(np.float32)
    white = pixels.white or about.white
    if white is None:
        if about.says_nothing:
            raise InputError(
                f"{name} must say which value is white: its whole numbers have {about.bits} bits or a sign. Say "
                "ImageFolder(..., white=65535), or what it is."
            )
        check_depth(float(values.max()), "uint16", name=name)
        white = FULL_SCALE["uint16"]
    shades = check_range(shaded(values, white)[None], name)
    if about.is_inverted:
        shades = 1 - shades
    transparent = image.info.get("transparency")
    if isinstance(transparent, int) and pixels.background is not None:
        clear = torch.from_numpy(values == transparent)[None]
        shades = laid_on(torch.cat([shades, (~clear).float()]), pixels)
    return shades


def _check_kept(image: Image.Image, about: _About, name: str, pixels: Pixels) -> None:
    """Raise where the lower bits, which Pillow drops from colours, were all there was; transparency does not count."""
    if image.mode == "CMYK":
        return  # where 0 is white
    values = np.asarray(image.convert("RGBA"))
    brightest = int(values[values[..., 3] > 0, :3].max(initial=0))
    asks = pixels.white is not None and pixels.white != FULL_SCALE["uint16"]
    if asks or (0 < brightest <= DARKEST["uint16"] >> 8 and pixels.white is None):
        raise InputError(
            f"{name} has {about.bits} bits a colour, of which Pillow keeps the upper 8, and would be almost black. "
            "Read it with tifffile, imageio or OpenCV, and give the arrays: Images(arrays, white=4095)."
        )


def _about(image: Image.Image, name: str) -> _About:
    """Read what a file says, before it is turned or converted."""
    tags: Any = getattr(image, "tag_v2", None)
    if tags is None:
        tiles: Any = getattr(image, "tile", None)
        raw = tiles[0][3] if tiles else None
        raw = raw[0] if isinstance(raw, tuple) and raw else raw
        # FITS has signed numbers of any unit.
        return _About(bits=16 if isinstance(raw, str) and "16" in raw else 0, says_nothing=image.format == "FITS")
    _check_pages(image, name)
    bits = int(_first(tags, _BITS, 1))
    _check_planes(tags, bits, name)
    extra = tags.get(_EXTRA)
    largest = max(int(_first(tags, tag, 0)) for tag in _LARGEST)
    is_power = largest > 254 and (largest + 1) & largest == 0 and largest < 2**bits  # else it is this picture's maximum
    return _About(
        bits=bits,
        white=float(largest) if is_power else 2.0**bits - 1 if 8 < bits < 16 else None,
        is_inverted=_first(tags, _PHOTOMETRIC, 1) == 0 and image.mode in (*_SIXTEEN_BIT, "F"),
        is_alpha=None if extra is None else bool(_first(tags, _EXTRA, 0)),
        says_nothing=bits > 16 or _first(tags, _FORMAT, 1) == 2,
        n_dropped=max(0, int(_first(tags, _SAMPLES, 1)) - len(image.getbands())),
    )


def _first(tags: Any, tag: int, default: float) -> float:
    value = tags.get(tag, default)
    value = value[0] if isinstance(value, tuple) and value else value
    return float(value) if isinstance(value, int | float) else default


def _check_pages(image: Image.Image, name: str) -> None:
    """Raise where a TIFF holds several pictures; thumbnails and masks beside one are passed over."""
    if image.format != "TIFF" or not getattr(image, "is_animated", False):
        return
    size, here = image.size, image.tell()
    try:
        is_picture = any(_is_other_picture(image, here + step, size) for step in range(1, _MOST_PAGES))
    finally:
        image.seek(here)
    if is_picture:
        raise InputError(
            f"{name} must be one picture, got a TIFF of several pages. Save the page that is meant, or read it with "
            "tifffile and give arrays whose pages are bands or images."
        )


def _is_other_picture(image: Image.Image, page: int, size: tuple[int, int]) -> bool:
    """Return whether a page is there, and a picture as large as the first."""
    try:
        image.seek(page)
        is_picture = not int(_first(image.tag_v2, _KIND, 0)) & (_REDUCED | _MASK)  # type: ignore[attr-defined]
        return is_picture and image.size == size
    except Exception:
        return False  # what cannot be read is no picture


def _check_planes(tags: Any, bits: int, name: str) -> None:
    """Raise where Pillow reads the bytes of 16-bit colours, which lie plane behind plane, as 8-bit ones."""
    if bits > 8 and _first(tags, _PLANES, 1) == 2 and _first(tags, _COMPRESSION, 1) == 1:
        raise InputError(
            f"{name} must be read by another library: it is a TIFF of {bits}-bit colours in separate planes, which "
            "Pillow gets wrong. Read it with tifffile or rasterio, and give the arrays: Images(arrays)."
        )
