"""Tensors as bytes behind the JSON: the binary data extension of the Open Inference Protocol."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

HEADER = "Inference-Header-Content-Length"
TEXTS = ("BYTES", "STRING")
TYPES = {"FP16": "float16", "BF16": "float32", "FP32": "float32", "FP64": "float64", "BOOL": "bool"} | {
    f"{sign}INT{bits}": f"{sign.lower()}int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)
}
"""What NumPy calls the types of the protocol; it has no BF16."""
_LENGTH = 4  # bytes before each text, lowest first: how many it has


def packed(array: np.ndarray, datatype: str) -> bytes:
    """Return a tensor as the extension lays it out: row by row, lowest byte first, texts behind their lengths.

    Example:
        >>> packed(np.array([1, 258], dtype="int16"), "INT16").hex(), packed(np.array(["ab"]), "BYTES").hex()
        ('01000201', '020000006162')
    """
    if datatype in TEXTS:
        texts = [str(text).encode() for text in array.ravel().tolist()]
        return b"".join(len(text).to_bytes(_LENGTH, "little") + text for text in texts)
    if datatype == "BF16":
        array = torch.from_numpy(np.ascontiguousarray(array, "float32")).to(torch.bfloat16).view(torch.int16).numpy()
    return array.astype(array.dtype.newbyteorder("<")).tobytes()


def filled_in(outputs: list[Any], raw: bytes) -> None:
    """Put what stands behind the JSON of an answer into those of its outputs that name a size, in their order.

    Raises:
        ValueError: sizes that are no numbers, more bytes than there are, fewer, or texts that do not end with them.
    """
    start = 0
    for output in outputs:
        size = (output.get("parameters") or {}).get("binary_data_size") if isinstance(output, Mapping) else None
        if size is not None:
            if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= len(raw) - start:
                raise ValueError(size)
            output["data"] = _unpacked(raw[start : start + size], str(output.get("datatype")))
            start += size
    if start != len(raw):
        raise ValueError(len(raw) - start)


def _unpacked(raw: bytes, datatype: str) -> Any:
    if datatype in TEXTS:
        return _texts(raw)
    if datatype == "BF16":  # the upper half of the same number in 32 bits
        return (np.frombuffer(raw, "<u2").astype("uint32") << 16).view("float32")
    if datatype not in TYPES:
        raise ValueError(datatype)
    return np.frombuffer(raw, np.dtype(TYPES[datatype]).newbyteorder("<"))


def _texts(raw: bytes) -> list[str]:
    texts, start = [], 0
    while start < len(raw):
        size = int.from_bytes(raw[start : start + _LENGTH], "little")
        start += _LENGTH + size
        if start > len(raw):
            raise ValueError(size)
        texts.append(raw[start - size : start].decode("utf-8", "replace"))
    return texts
