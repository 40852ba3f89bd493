"""From a picture in any form to float32 in [0, 1], (channel, height, width)."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from likethat.errors import InputError, NonFiniteError, UnreadableImageError

__all__ = ["array_image", "decode", "tensor_image", "to_image"]

_SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N", "I")


def decode(file: str | Path | Image.Image, *, name: str | None = None) -> Float[Tensor, "channel height width"]:
    """Read a picture: EXIF rotation applied, transparency laid on white, 16-bit values over 65,535.

    Grey pictures have one channel, all others three. Of an animation the first frame is read.

    Args:
        file: a path or a PIL image.
        name: what to call it in an error.

    Raises:
        UnreadableImageError: empty, cut short, damaged, larger than PIL's limit, or no picture.
    """
    if isinstance(file, Image.Image):
        return _from_pil(file, name or "the PIL image")
    name = name or str(file)
    try:
        if Path(file).stat().st_size == 0:
            raise UnreadableImageError(f"{name} is empty (0 bytes).")
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.simplefilter("ignore", UserWarning)  # damaged EXIF blocks: the pixels are what counts
            with Image.open(file) as image:
                return _from_pil(image, name)
    except UnreadableImageError:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableImageError(f"{name} is in no image format that Pillow can open.") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableImageError(f"{name} has more pixels than Pillow opens safely ({error}).") from error
    except (OSError, ValueError, SyntaxError, EOFError, OverflowError, MemoryError) as error:
        raise UnreadableImageError(f"{name} does not decode ({error}).") from error


def _from_pil(image: Image.Image, name: str) -> Tensor:
    image = ImageOps.exif_transpose(image)
    if image.mode in _SIXTEEN_BIT:
        return _check_range(torch.from_numpy(np.asarray(image).astype(np.float32) / 65535.0)[None], name)
    if image.mode == "F":
        return _check_range(torch.from_numpy(np.array(image, dtype=np.float32))[None], name)
    if image.mode == "1":
        image = image.convert("L")
    if image.mode in ("LA", "La", "RGBA", "RGBa", "PA") or "transparency" in image.info:
        grey = image.mode in ("LA", "La", "L")
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("L" if grey else "RGB")
    if image.mode != "L":
        image = image.convert("RGB")
    pixels = torch.from_numpy(np.array(image, dtype=np.uint8))
    return (pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1).contiguous()).float() / 255.0


def to_image(value: Any, *, name: str) -> Float[Tensor, "channel height width"]:
    """Turn one item of a list or a data set into an image: path, PIL image, tensor or array.

    Raises:
        UnreadableImageError: a file that does not decode.
        InputError: none of these, or values outside [0, 1].
    """
    if isinstance(value, str | Path | Image.Image):
        return decode(value, name=name if isinstance(value, Image.Image) else None)
    if isinstance(value, Tensor):
        return tensor_image(value, name=name)
    if isinstance(value, np.ndarray):
        return array_image(value, name=name)
    if isinstance(value, dict) and ("bytes" in value or "path" in value):
        return _from_bytes(value, name)
    raise InputError(
        f"{name} must be a path, a PIL image, a tensor or an array, got {type(value).__name__}. Give images alone, or "
        "pairs of image and label."
    )


def _from_bytes(value: dict[str, Any], name: str) -> Tensor:
    import io

    if value.get("bytes") is None:
        return decode(value["path"], name=name)
    try:
        with Image.open(io.BytesIO(value["bytes"])) as image:
            return _from_pil(image, name)
    except (OSError, ValueError, SyntaxError) as error:
        raise UnreadableImageError(f"{name} does not decode ({error}).") from error


def tensor_image(value: Tensor, *, name: str) -> Float[Tensor, "channel height width"]:
    """Turn a tensor (channel, height, width) or (height, width) into an image; 8-bit values are divided by 255."""
    if value.ndim == 2:
        value = value[None]
    if value.ndim != 3:
        raise InputError(f"{name} must be (channel, height, width), got a tensor of shape {tuple(value.shape)}.")
    if value.dtype == torch.uint8:
        return value.detach().cpu().float() / 255.0
    if not value.is_floating_point():
        raise InputError(f"{name} must be uint8 or floating point in [0, 1], got {value.dtype}.")
    return _check_range(value.detach().cpu().float(), name)


def array_image(value: np.ndarray[Any, Any], *, name: str) -> Float[Tensor, "channel height width"]:
    """Turn an array into an image; channels are the last axis if that has 1, 3 or 4 of them, else the first.

    8-bit values are divided by 255, 16-bit ones by 65,535; a fourth channel is transparency, laid on white.
    """
    if value.ndim == 2:
        value = value[..., None]
    if value.ndim != 3:
        raise InputError(f"{name} must be (height, width[, channel]), got an array of shape {value.shape}.")
    if value.shape[-1] in (1, 3, 4) and value.shape[0] not in (1, 3):
        value = np.moveaxis(value, -1, 0)
    scale = {"uint8": 255.0, "uint16": 65535.0, "bool": 1.0}.get(value.dtype.name)
    if scale is None and value.dtype.kind != "f":
        raise InputError(f"{name} must be uint8, uint16 or floating point in [0, 1], got {value.dtype}.")
    image = torch.from_numpy(np.ascontiguousarray(value, dtype=np.float32)) / (scale or 1.0)
    image = _check_range(image, name)
    if image.shape[0] == 4:
        image = image[:3] * image[3:] + (1 - image[3:])
    return image


def _check_range(image: Tensor, name: str) -> Tensor:
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
