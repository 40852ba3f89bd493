"""What tells two sources of images apart without a network: names, sizes and times of files, numbers in memory."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

_BLOCK = 256  # images of an array that are copied at a time, where they do not lie in one piece


def signature_of(source: Any) -> dict[str, Any]:
    """Return which images a source holds: plain values under words that end "they differ in their ...".

    A stream has no number. Sources without a `signature` are looked at again when a fit goes on (`check_same`).
    """
    said = getattr(source, "signature", None)
    if isinstance(said, Mapping):
        return dict(said)
    known: dict[str, Any] = {"kind": type(source).__name__}
    if hasattr(source, "__len__"):
        known["number"] = len(source)
    return known if said is None else {**known, "content": str(said)}


def file_facts(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Return a file's size and when it was written, in nanoseconds; (-1, -1) where it is not there."""
    try:
        found = Path(path).stat()
    except OSError:
        return -1, -1
    return found.st_size, found.st_mtime_ns


def numbers_of(values: Tensor | np.ndarray[Any, Any]) -> Iterable[Any]:
    """Yield all numbers of an array as they lie in memory, with their type and shape before them."""
    yield f"{values.dtype} {tuple(values.shape)}".encode()
    for start in range(0, len(values), _BLOCK) if values.ndim else ():
        block = values[start : start + _BLOCK]
        if isinstance(block, Tensor):
            yield block.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data
        else:
            yield np.ascontiguousarray(block).reshape(-1).view(np.uint8).data


def digest_of_all(parts: Iterable[Any]) -> str:
    """Return one short digest of texts, bytes and anything that prints the same when it is the same."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        data = part if isinstance(part, bytes | memoryview) else repr(part).encode(errors="surrogateescape")
        digest.update(data)
        digest.update(b"\0")
    return digest.hexdigest()
