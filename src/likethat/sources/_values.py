"""Arrays and tensors of any type as float32 in [0, 1], (channel, height, width)."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from likethat.errors import InputError, NonFiniteError
from likethat.sources._layout import channels_last, check_tensor_layout, is_transparency
from likethat.sources._pixels import AUTO, Pixels, check_depth, laid_on

FULL_SCALE = {"uint8": 255.0, "uint16": 65535.0, "bool": 1.0}
"""The value that is white, by dtype; floating point has 1."""


def shaded(values: np.ndarray[Any, Any], white: float) -> Tensor:
    """Return a copy as float32, divided by the value that is white.

    In NumPy: torch would start a team of threads in every thread that decodes, and they wait for each other.
    """
    with np.errstate(all="ignore"):  # what overflows is infinite, and named by the checks
        return torch.from_numpy(np.divide(values, np.float32(white), dtype=np.float32, order="C", casting="same_kind"))


def tensor_image(value: Tensor, *, name: str, pixels: Pixels = AUTO) -> Float[Tensor, "channel height width"]:
    """Turn a tensor (channel, height, width) or (height, width) into an image; 8-bit values are divided by 255.

    Two or four channels are kept, unless the user named a background: then the last is transparency.
    """
    check_plain(value, name=name)
    if value.ndim == 2:
        value = value[None]
    if value.ndim != 3:
        hint = " It looks like a batch: give the data set itself, not its DataLoader." if value.ndim == 4 else ""
        raise InputError(f"{name} must be (channel, height, width), got a tensor of shape {tuple(value.shape)}.{hint}")
    check_tensor_layout(tuple(value.shape), name=name)
    scale = scale_of(value, pixels, name=name)
    value = value.detach().cpu()
    image = _in_range(
        shaded((value.float() if value.is_floating_point() else value).numpy(), scale), value, pixels, name
    )
    is_laid = pixels.is_said and pixels.background is not None and len(image) in (2, 4)
    return laid_on(image, pixels) if is_laid else image


def array_image(
    value: np.ndarray[Any, Any], *, name: str, pixels: Pixels = AUTO
) -> Float[Tensor, "channel height width"]:
    """Turn an array into an image; channels are the last axis if that has 1, 3 or 4 of them or is the shortest.

    8-bit values are divided by 255, 16-bit ones by 65,535; a fourth channel at the end is transparency, laid on white.
    """
    check_plain(value, name=name)
    if value.ndim == 2:
        value = value[..., None]
    if value.ndim != 3:
        raise InputError(f"{name} must be (height, width[, channel]), got an array of shape {value.shape}.")
    scale = scale_of(value, pixels, name=name)
    if 0 in value.shape:
        raise InputError(f"{name} must hold pixels, got shape {value.shape}.")
    is_last = channels_last(value.shape, name=name)
    image = _in_range(shaded(np.moveaxis(value, -1, 0) if is_last else value, scale), value, pixels, name)
    if pixels.background is not None and len(image) in (2, 4) and (pixels.is_said or (is_last and len(image) == 4)):
        check_transparency(image[-1].numpy(), pixels, name=name)
        image = laid_on(image, pixels)
    return image


def kind_of(value: Tensor | np.ndarray[Any, Any]) -> str:
    """Return the dtype's name, whatever its byte order."""
    return str(value.dtype).removeprefix("torch.") if isinstance(value, Tensor) else value.dtype.name


def check_plain(value: Tensor | np.ndarray[Any, Any], *, name: str) -> None:
    """Raise for what has no plain values to read.

    Raises:
        InputError: masked, sparse, quantised, nested, or a tensor without data.
    """
    if isinstance(value, np.ma.MaskedArray):
        if np.ma.is_masked(value):
            raise InputError(f"{name} must have all its values, got a masked array. Fill it: array.filled(0).")
    elif isinstance(value, Tensor) and (
        value.is_nested or value.layout != torch.strided or value.is_quantized or value.is_meta
    ):
        kind = "one without data" if value.is_meta else f"{value.layout} {value.dtype}"
        raise InputError(f"{name} must be a plain tensor, got {kind}. Convert it: tensor.to_dense() or .dequantize().")


def scale_of(value: Tensor | np.ndarray[Any, Any], pixels: Pixels, *, name: str) -> float:
    """Return the value that is white, as the user said or by the type.

    Raises:
        InputError: of a type that does not say.
    """
    kind = kind_of(value)
    is_whole = kind.startswith(("int", "uint"))
    is_real = value.is_floating_point() if isinstance(value, Tensor) else value.dtype.kind == "f"
    if pixels.white is not None and (is_real or is_whole):
        return pixels.white
    if not is_real and kind not in FULL_SCALE:
        advice = " Say which value is white, such as Images(..., white=255)." if is_whole else ""
        raise InputError(f"{name} must be uint8, uint16 or floating point in [0, 1], got {value.dtype}.{advice}")
    return FULL_SCALE.get(kind, 1.0)


def _in_range(image: Tensor, value: Any, pixels: Pixels, name: str) -> Tensor:
    """Return an image that lies in [0, 1], and whose 16 bits are not the 12 of a camera."""
    image = check_range(image, name)
    if pixels.white is None and kind_of(value) == "uint16":
        check_depth(round(float(image.max()) * FULL_SCALE["uint16"]), "uint16", name=name)
    return image


def check_transparency(alpha: np.ndarray[Any, Any], pixels: Pixels, *, name: str) -> None:
    """Raise where a fourth channel that nobody called transparency is unlike it.

    Raises:
        InputError: a band such as near infrared, by all looks.
    """
    if not pixels.is_said and not is_transparency(alpha):
        raise InputError(
            f"{name} must say what its fourth channel is, which looks unlike transparency. Give Images(..., "
            "background=None) for four bands, or background='white' if it is transparency."
        )


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
