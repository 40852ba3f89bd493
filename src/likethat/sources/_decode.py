"""From a picture in any form to float32 in [0, 1], (channel, height, width)."""

import io
import os
from collections.abc import Mapping
from typing import IO, Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import ExifTags, Image, ImageOps
from torch import Tensor

from likethat._pictures import open_picture, what_went_wrong
from likethat.errors import InputError, NonFiniteError, UnreadableImageError

__all__ = [
    "FULL_SCALE",
    "array_image",
    "check_range",
    "decode",
    "printable",
    "shaded",
    "tensor_image",
    "to_image",
]

FULL_SCALE = {"uint8": 255.0, "uint16": 65535.0, "bool": 1.0}
"""The value that is white, by dtype; floating point has 1."""

_SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N", "I")
_WITH_ALPHA = ("LA", "RGBA", "RGBa", "PA")


def shaded(values: np.ndarray[Any, Any], white: float) -> Tensor:
    """Return a copy as float32, divided by the value that is white.

    In NumPy: torch would start a team of threads in every thread that decodes, and they wait for each other.
    """
    with np.errstate(all="ignore"):  # what overflows is infinite, and named by the checks
        return torch.from_numpy(np.divide(values, np.float32(white), dtype=np.float32, order="C", casting="same_kind"))


def printable(path: str | os.PathLike[str]) -> str:
    """Return a path as text that can be printed and stored, whatever bytes its name consists of."""
    return os.fsencode(path).decode("utf-8", errors="replace")


def decode(
    file: str | os.PathLike[str] | IO[bytes] | Image.Image, *, name: str | None = None
) -> Float[Tensor, "channel height width"]:
    """Read a picture: EXIF rotation applied, transparency laid on white, 16-bit values over 65,535.

    Grey pictures have one channel, all others three. Of an animation the first frame is read. Floating-point pictures
    must lie in [0, 1].

    Args:
        file: a path, an open binary file, or a PIL image.
        name: what to call it in an error.

    Raises:
        UnreadableImageError: empty, cut short, damaged, larger than Pillow's limit, not in [0, 1], or no picture.
        InputError: a PIL image that is not in [0, 1].
    """
    if isinstance(file, Image.Image):
        name = name or "the PIL image"
        with what_went_wrong(name):
            return _from_pil(file, name)
    name = name or (printable(file) if isinstance(file, str | os.PathLike) else "the file")
    with open_picture(file, name=name) as image:
        try:
            return _from_pil(image, name)
        except UnreadableImageError:
            raise
        except InputError as error:
            raise UnreadableImageError(str(error)) from error


def _from_pil(image: Image.Image, name: str) -> Tensor:
    image = _upright(image)
    if image.mode in _SIXTEEN_BIT:
        return check_range(_sixteen_bit(image)[None], name)
    if image.mode == "F":
        return check_range(shaded(np.asarray(image), 1.0)[None], name)
    if image.mode in ("1", "La"):
        image = image.convert("L" if image.mode == "1" else "LA")
    if image.mode in _WITH_ALPHA or "transparency" in image.info:
        grey = image.mode in ("LA", "L")
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("L" if grey else "RGB")
    if image.mode != "L":
        image = image.convert("RGB")
    pixels = np.asarray(image)
    return shaded(pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0), FULL_SCALE["uint8"])


def _upright(image: Image.Image) -> Image.Image:
    image.load()  # a file that is cut short says so here; a TIFF turns itself
    try:
        if image.getexif().get(ExifTags.Base.Orientation, 1) == 1:
            return image
        return ImageOps.exif_transpose(image)
    except Exception:
        return image  # a damaged EXIF block: the pixels are what counts


def _sixteen_bit(image: Image.Image) -> Tensor:
    values = np.asarray(image).astype(np.float32)
    shades = shaded(values, FULL_SCALE["uint16"])
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        shades[torch.from_numpy(values == transparent)] = 1.0
    return shades


def to_image(value: Any, *, name: str) -> Float[Tensor, "channel height width"]:
    """Turn one item of a list or a data set into an image: path, PIL image, tensor, array or an encoded file's bytes.

    Raises:
        UnreadableImageError: a file that does not decode, or None.
        InputError: none of these, or values outside [0, 1].
    """
    if isinstance(value, str | os.PathLike):
        return decode(value)
    if isinstance(value, Image.Image):
        return decode(value, name=name)
    if isinstance(value, Tensor):
        return tensor_image(value, name=name)
    if isinstance(value, np.ndarray):
        return array_image(value, name=name)
    if isinstance(value, bytes | bytearray) and value:
        return decode(io.BytesIO(value), name=name)
    if isinstance(value, Mapping) and ("bytes" in value or "path" in value):  # an image of a Hugging Face data set
        data, path = value.get("bytes"), value.get("path")
        return to_image(path if data is None else data, name=name)
    if value is None or value == b"":
        raise UnreadableImageError(f"{name} is {'missing (None)' if value is None else 'empty (0 bytes)'}.")
    raise InputError(
        f"{name} must be a path, a PIL image, a tensor or an array, got {type(value).__name__}. Give images alone, or "
        "pairs of image and label."
    )


def tensor_image(value: Tensor, *, name: str) -> Float[Tensor, "channel height width"]:
    """Turn a tensor (channel, height, width) or (height, width) into an image; 8-bit values are divided by 255."""
    if value.ndim == 2:
        value = value[None]
    if value.ndim != 3:
        hint = " It looks like a batch: give the data set itself, not its DataLoader." if value.ndim == 4 else ""
        raise InputError(f"{name} must be (channel, height, width), got a tensor of shape {tuple(value.shape)}.{hint}")
    scale = FULL_SCALE.get(str(value.dtype).removeprefix("torch."))
    if scale is None and not value.is_floating_point():
        raise InputError(f"{name} must be uint8, uint16 or floating point in [0, 1], got {value.dtype}.")
    value = value.detach().cpu()
    return shaded(value.numpy(), scale) if scale and value.numel() else check_range(value.float(), name)


def array_image(value: np.ndarray[Any, Any], *, name: str) -> Float[Tensor, "channel height width"]:
    """Turn an array into an image; channels are the last axis if that has 1, 3 or 4 of them, else the first.

    8-bit values are divided by 255, 16-bit ones by 65,535; a fourth channel at the end is transparency, laid on white.
    """
    if value.ndim == 2:
        value = value[..., None]
    if value.ndim != 3:
        raise InputError(f"{name} must be (height, width[, channel]), got an array of shape {value.shape}.")
    scale = FULL_SCALE.get(value.dtype.name)
    if scale is None and value.dtype.kind != "f":
        raise InputError(f"{name} must be uint8, uint16 or floating point in [0, 1], got {value.dtype}.")
    is_last = value.shape[-1] in (1, 3, 4) and value.shape[0] not in (1, 3)
    if is_last:
        value = np.moveaxis(value, -1, 0)
    image = check_range(shaded(value, scale or 1.0), name)
    if is_last and image.shape[0] == 4:
        image = image[:3] * image[3:] + (1 - image[3:])
    return image


def check_range(image: Tensor, name: str) -> Tensor:
    """Return the image clamped to [0, 1] where it overshoots by rounding only; raise where it leaves it."""
    if image.numel() == 0:
        raise InputError(f"{name} must hold pixels, got shape {tuple(image.shape)}.")
    low, high = (float(bound) for bound in image.aminmax())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise NonFiniteError(f"{name} must be finite, got NaN or infinity among its pixels.")
    if low < -1e-3 or high > 1 + 1e-3:
        raise InputError(
            f"{name} must lie in [0, 1], got values from {low:.3g} to {high:.3g}. Leave out Normalize and scaling: the "
            "model normalises by itself; divide 8-bit values by 255."
        )
    return image.clamp(0.0, 1.0)
