"""Reading safetensors that somebody else may have made."""

import hashlib
import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from likethat._documents import Damaged, parse_json, reason_of, typed

_TENSOR_ERRORS = (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError, OverflowError, MemoryError)


def read_tensors(
    path: str | os.PathLike[str], *, may_be_nan: Collection[str] = ()
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors in a safetensors file, mapped into memory, and its metadata.

    Args:
        path: of the file.
        may_be_nan: beginnings of names of tensors that may hold NaN; ``("",)`` for all.

    Raises:
        Damaged: missing, no file, no safetensors, cut short, or not finite.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise Damaged("is no file" if path.exists() else "is missing")
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            return _finite(tensors, may_be_nan=may_be_nan), dict(file.metadata() or {})
    except Damaged:
        raise
    except _TENSOR_ERRORS as error:
        raise Damaged(f"holds no whole tensors ({reason_of(error)})") from error


def left_bytes(tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> bytes:
    """Return a file for `read_left`: tensors of unfinished work, what is noted beside them, and a checksum of both."""
    data = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    text = json.dumps(dict(about))
    return save(data, metadata={"about": text, "sha256": checksum_of(data, text)})


def read_left(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return tensors that unfinished work left, and what it noted beside them.

    Raises:
        Damaged: missing, cut short, without notes, or not as it was written.
    """
    tensors, metadata = read_tensors(path, may_be_nan=("",))
    text = metadata.get("about", "")
    if metadata.get("sha256") != checksum_of(tensors, text):
        raise Damaged("does not fit its checksum")
    return tensors, typed(parse_json(text, nan=True), dict[str, Any])


def checksum_of(tensors: Mapping[str, Tensor], text: str) -> str:
    """Return the sha256 of tensors, their names, types and shapes, and of a text beside them."""
    digest = hashlib.sha256(text.encode(errors="surrogatepass"))
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def tensors_of(data: bytes, *, may_be_nan: Collection[str] = ()) -> dict[str, Tensor]:
    """Return the tensors in the bytes of a safetensors file.

    Args:
        data: the file.
        may_be_nan: beginnings of names of tensors that may hold NaN.

    Raises:
        Damaged: no safetensors, cut short, or not finite.
    """
    try:
        return _finite(load(data), may_be_nan=may_be_nan)
    except Damaged:
        raise
    except _TENSOR_ERRORS as error:
        raise Damaged(f"holds no whole tensors ({reason_of(error)})") from error


def _finite(tensors: dict[str, Tensor], *, may_be_nan: Collection[str] = ()) -> dict[str, Tensor]:
    """Return tensors that are finite; raise `Damaged` for others."""
    for name, value in tensors.items():
        is_float = value.is_floating_point() or value.is_complex()
        if is_float and not name.startswith(tuple(may_be_nan)) and not bool(torch.isfinite(value).all()):
            raise Damaged(f"holds NaN or infinity in {name!r}")
    return tensors
