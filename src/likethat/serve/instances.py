"""Images in JSON: tensors of the Open Inference Protocol, and the instances of its first version."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from starlette.exceptions import HTTPException
from torch import Tensor

from likethat._checks import check_images
from likethat.explanations import Bank
from likethat.serve.dropped import decoded
from likethat.serve.limits import Limits

_TYPES = {"FP32": "float32", "FP64": "float64", "UINT8": "uint8"}
_WHITE = 255  # of 8 bits


def tensor_of(inputs: Any, *, bank: Bank, limits: Limits) -> Tensor:
    """Return the images of the only input of a question: float32 in [0, 1], (n, channel, height, width).

    Whole numbers (UINT8) from 0 to 255 become [0, 1].

    Raises:
        HTTPException: 400, it is no such tensor, or holds more images than are taken at once.
        InputError: its numbers are no image's.
    """
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], Mapping):
        raise HTTPException(400, "`inputs` must be one tensor, 'images', got something else.")
    tensor = inputs[0]
    shape, datatype = tensor.get("shape"), tensor.get("datatype")
    if tensor.get("name") != "images" or datatype not in _TYPES:
        raise HTTPException(400, "`inputs` must be called 'images' and be FP32, FP64 or UINT8, got another.")
    sizes = [size for size in shape if type(size) is int and size >= 1] if isinstance(shape, list) else []
    if not isinstance(shape, list) or len(sizes) != len(shape) or len(shape) != 4:
        raise HTTPException(400, "`shape` must be (n, channel, height, width), four numbers, got something else.")
    if sizes[0] > limits.instances:
        raise HTTPException(400, f"The batch must have at most {limits.instances} images at once, got {sizes[0]}.")
    array = _array(tensor.get("data"), _TYPES[datatype])
    if array.size != int(np.prod([float(size) for size in sizes])):
        raise HTTPException(400, f"`data` must hold as many numbers as {sizes} says, got {array.size}.")
    return _checked(array.reshape(sizes), bank)


def image_of(instance: Any, *, bank: Bank, limits: Limits) -> Tensor:
    """Return one image, (channel, height, width): of nested lists in [0, 1], or of a file in base64, ``{"b64": ...}``.

    A mapping of a single name, as ``{"image_bytes": {"b64": ...}}``, is looked into.

    Raises:
        HTTPException: 400, it is neither.
        LikethatError: the file does not decode, or the numbers are no image's.
    """
    while isinstance(instance, Mapping) and len(instance) == 1 and "b64" not in instance:
        instance = next(iter(instance.values()))
    if isinstance(instance, Mapping):
        return _decoded(instance.get("b64"), bank, limits)
    array = _array(instance, "float64")
    if array.ndim != 3:
        raise HTTPException(400, f"An instance must be (channel, height, width), got {array.ndim} axes.")
    return _checked(array[None], bank)[0]


def _decoded(text: Any, bank: Bank, limits: Limits) -> Tensor:
    try:
        data = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except (binascii.Error, ValueError):
        data = b""
    if not data:
        raise HTTPException(400, "`b64` must be a picture's file in base64, got something else.")
    sample = decoded(data, "instance", bank.provenance.data.get("reading"), most=limits.pixels)
    return bank.model.preprocess.view(sample.image)


def _array(data: Any, dtype: str) -> np.ndarray:
    """Return numbers of JSON, nested or flat."""
    try:
        array = np.asarray(data)
        if array.dtype.kind not in "iuf" or (dtype == "uint8" and array.dtype.kind == "f"):
            raise ValueError
        if dtype == "uint8" and array.size and not 0 <= array.min() <= array.max() <= _WHITE:
            raise ValueError
    except (ValueError, OverflowError, RecursionError):
        raise HTTPException(400, f"An image must be numbers ({dtype}) in even rows, got something else.") from None
    return array / _WHITE if dtype == "uint8" else array


def _checked(array: np.ndarray, bank: Bank) -> Tensor:
    return check_images(torch.from_numpy(array.astype(np.float32)), name="inputs", channels=bank.model.in_channels)
