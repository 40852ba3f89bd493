"""From a picture in any form to float32 in [0, 1], (channel, height, width)."""

import io
import os
from collections.abc import Mapping
from typing import IO, Any

import numpy as np
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from likethat._pictures import open_picture, what_went_wrong
from likethat.errors import InputError, UnreadableImageError
from likethat.sources._pil import from_pil
from likethat.sources._pixels import AUTO, Pixels
from likethat.sources._values import array_image, tensor_image


def printable(path: str | os.PathLike[str]) -> str:
    """Return a path as text that can be printed and stored, whatever bytes its name consists of."""
    return os.fsencode(path).decode("utf-8", errors="replace")


def decode(
    file: str | os.PathLike[str] | IO[bytes] | Image.Image, *, name: str | None = None, pixels: Pixels = AUTO
) -> Float[Tensor, "channel height width"]:
    """Read a picture: EXIF rotation applied, transparency laid on white, 16-bit values over 65,535.

    Grey pictures have one channel, all others three. Of an animation the first frame is read. Floating-point pictures
    must lie in [0, 1].

    Args:
        file: a path, an open binary file, or a PIL image.
        name: what to call it in an error.
        pixels: another background, or another value that is white.

    Raises:
        UnreadableImageError: empty, cut short, damaged, larger than Pillow's limit, not in [0, 1], several pages, of
            fewer bits than it seems, or no picture.
        InputError: a PIL image that is not in [0, 1].
    """
    if isinstance(file, Image.Image):
        name = name or "the PIL image"
        with what_went_wrong(name):
            return from_pil(file, name, pixels)
    name = name or (printable(file) if isinstance(file, str | os.PathLike) else "the file")
    with open_picture(file, name=name) as image:
        try:
            return from_pil(image, name, pixels)
        except UnreadableImageError:
            raise
        except InputError as error:
            raise UnreadableImageError(str(error)) from error


def to_image(value: Any, *, name: str, pixels: Pixels = AUTO) -> Float[Tensor, "channel height width"]:
    """Turn one item of a list or a data set into an image: path, PIL image, tensor, array or an encoded file's bytes.

    Raises:
        UnreadableImageError: a file that does not decode, or None.
        InputError: none of these, or values outside [0, 1].
    """
    if isinstance(value, str | os.PathLike):
        return decode(value, pixels=pixels)
    if isinstance(value, Image.Image):
        return decode(value, name=name, pixels=pixels)
    if isinstance(value, Tensor):
        return tensor_image(value, name=name, pixels=pixels)
    if isinstance(value, np.ndarray):
        return array_image(value, name=name, pixels=pixels)
    if isinstance(value, bytes | bytearray) and value:
        return decode(io.BytesIO(value), name=name, pixels=pixels)
    if isinstance(value, Mapping) and ("bytes" in value or "path" in value):  # an image of a Hugging Face data set
        data, path = value.get("bytes"), value.get("path")
        return to_image(path if data is None else data, name=name, pixels=pixels)
    if value is None or value == b"":
        raise UnreadableImageError(f"{name} is {'missing (None)' if value is None else 'empty (0 bytes)'}.")
    raise InputError(
        f"{name} must be a path, a PIL image, a tensor or an array, got {type(value).__name__}. Give images alone, or "
        "pairs of image and label."
    )
