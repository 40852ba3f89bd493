"""Checks at the public boundary: one sentence with what was expected, what came, and what to do."""

import difflib
import importlib
import math
import operator
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from likethat._options import shown
from likethat.errors import InputError, ItemError, MissingExtraError, ModelError, NonFiniteError

_EXTRAS = {
    "torchvision": "vision",
    "timm": "timm",
    "transformers": "hf",
    "datasets": "hf",
    "huggingface_hub": "hf",
    "matplotlib": "figures",
    "captum": "benchmarks",
    "diffusers": "diffusers",
    "pandas": "tables",
    "pyarrow": "tables",
    "cma": "search",
    "onnxruntime": "onnx",
    "httpx": "http",
    "ray": "ray",
}

_TOO_MANY = 2**63  # beyond what torch and NumPy count with
_HIGHEST_SEED = 2**32 - 1  # NumPy's, and small enough that our products with it fit 64 bits


def require(module: str, *, purpose: str) -> ModuleType:
    """Import an optional library, or say in one sentence what to install.

    Raises:
        MissingExtraError: the library is not installed, or does not import.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get(module.split(".", maxsplit=1)[0])
        root = module.split(".", maxsplit=1)[0].replace("_", "-")  # packages are named with hyphens
        install = f"pip install 'likethat[{extra}]'" if extra else f"pip install {root}"
        raise MissingExtraError(f"{purpose} needs {root}, which is not installed. Run: {install}") from error
    except (ImportError, RuntimeError, OSError) as error:  # a wheel built for another torch, a missing library
        reason = (str(error).strip().splitlines() or ["no reason given"])[0]
        raise MissingExtraError(
            f"{purpose} needs {module.split('.', maxsplit=1)[0]}, which is installed and does not import ({reason}). "
            "Install a build that fits this torch."
        ) from error


def check_images(images: Tensor, *, name: str = "images", channels: int | None = None) -> Tensor:
    """Check a batch of images: floating, (batch, channel, height, width), finite, in [0, 1].

    Raises:
        InputError: wrong kind, shape or range.
        NonFiniteError: NaN or infinity.
    """
    if not isinstance(images, Tensor):
        raise InputError(f"`{name}` must be a tensor (batch, channel, height, width), got {type_name(images)}.")
    check_held(images, name=name)
    if images.ndim != 4:
        hint = " Add the batch axis with image[None]." if images.ndim == 3 else ""
        raise InputError(f"`{name}` must be (batch, channel, height, width), got shape {tuple(images.shape)}.{hint}")
    if not images.is_floating_point():
        raise InputError(f"`{name}` must be floating point in [0, 1], got {images.dtype}. Divide by 255.")
    if channels is not None and images.shape[1] != channels:
        raise InputError(
            f"`{name}` must have {channels} channels as the model takes, got {images.shape[1]} "
            f"(shape {tuple(images.shape)})."
        )
    low, high = (float(bound) for bound in images.detach().aminmax()) if images.numel() else (0.0, 1.0)
    if not (math.isfinite(low) and math.isfinite(high)):
        check_finite(images, name=name, advice="Leave such images out, or fill in what is missing.")
    if low < -1e-3 or high > 1 + 1e-3:
        raise InputError(
            f"`{name}` must lie in [0, 1], got values from {low:.3g} to {high:.3g}. "
            "Leave normalisation to the model; divide 8-bit images by 255."
        )
    return images


def check_finite(
    values: Tensor, *, name: str, advice: str = "Check the weights, or the precision they run in."
) -> Tensor:
    """Raise `NonFiniteError` naming the tensor and how many of its values are NaN or infinite."""
    bad = int((~torch.isfinite(values)).sum())
    if bad:
        raise NonFiniteError(
            f"`{name}` must be finite, got {bad} NaN or infinite of {values.numel()} values (shape "
            f"{tuple(values.shape)}). {advice}"
        )
    return values


def check_count(value: Any, *, name: str, minimum: int = 1) -> int:
    """Return `value` if it is a whole number (NumPy's too) of at least `minimum`, else raise `InputError`."""
    is_whole = hasattr(value, "__index__") and not isinstance(value, bool | np.bool_ | type)
    try:
        number = operator.index(value) if is_whole else minimum - 1
    except TypeError:  # a tensor of several numbers, or of a fraction
        number = minimum - 1
    if number < minimum or number >= _TOO_MANY:
        raise InputError(f"`{name}` must be a whole number of at least {minimum}, got {shown(value)}.")
    return number


def check_seed(value: Any, *, name: str = "seed") -> int:
    """Return `value` if it is a whole number from 0 to 4,294,967,295, else raise `InputError`."""
    seed = check_count(value, name=name, minimum=0)
    if seed > _HIGHEST_SEED:
        raise InputError(f"`{name}` must be a whole number from 0 to {_HIGHEST_SEED:,}, got {seed}.")
    return seed


def check_index(value: Any, n: int, *, of: str = "images") -> int:
    """Return the place of an item of `n`, counted from the end where it is negative.

    Raises:
        ItemError: there is no such item.
    """
    is_whole = hasattr(value, "__index__") and not isinstance(value, bool | np.bool_ | type)
    try:
        index = operator.index(value) if is_whole else n
    except TypeError:
        index = n
    if not -n <= index < n:
        raise ItemError(f"`index` must be a whole number from 0 to {n - 1}, as there are {n} {of}, got {shown(value)}.")
    return index % n


def check_device(value: Any, *, name: str = "device") -> torch.device:
    """Return the device of a name, if this machine has it.

    Raises:
        ModelError: there is none.
    """
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | torch.device):
            raise TypeError
        device = torch.device(value)
        torch.empty(0, dtype=torch.float32, device=device).cpu()  # "meta" has no values
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        raise ModelError(f"`{name}` must be one this machine has, got {shown(value)}. Try 'cpu'.") from error
    return device


def check_held(values: Tensor, *, name: str) -> Tensor:
    """Raise `InputError` for a tensor that holds no numbers (on the meta device) or not all of them (sparse)."""
    if values.is_meta or values.layout != torch.strided:
        got = "one on the meta device, which holds no values" if values.is_meta else f"one of layout {values.layout}"
        advice = "Load its values first." if values.is_meta else "Give tensor.to_dense()."
        raise InputError(f"`{name}` must be a dense tensor, got {got}. {advice}")
    return values


def check_choice(value: Any, *, name: str, choices: Sequence[str]) -> str:
    """Return `value` if it is one of `choices`, else raise `InputError` listing them."""
    if not isinstance(value, str) or value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        close = difflib.get_close_matches(str(value), choices, n=1) if isinstance(value, str) else []
        meant = f" Did you mean {close[0]!r}?" if close else ""
        raise InputError(f"`{name}` must be one of {listed}, got {shown(value)}.{meant}")
    return str(value)


def type_name(value: object) -> str:
    """Return what kind of thing a value is, as sentences name it."""
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
