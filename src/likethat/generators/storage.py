"""Generators on disk: JSON and safetensors, in a folder or in one file; nothing is ever unpickled."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from likethat._files import new_folder, write_whole
from likethat.errors import InputError, StorageError

__all__ = ["StoredGenerator", "read_generator", "save_generator"]

SCHEMA = 1
_MARK, _WEIGHTS, _CARD = "generator.json", "weights.safetensors", "card.md"


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredGenerator:
    """What lies on disk.

    Attributes:
        family: which class it is of, e.g. "image-vae".
        config: what builds the class again.
        tensors: its weights.
        card: what is known of it.
    """

    family: str
    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    card: Mapping[str, Any]


def save_generator(
    path: str | Path,
    *,
    family: str,
    config: Mapping[str, Any],
    state: Mapping[str, Tensor],
    card: Mapping[str, Any],
    half: bool = False,
) -> Path:
    """Write a generator: a folder, or one file where the path ends in .safetensors.

    Args:
        path: where to; an earlier generator there is replaced.
        family: which class it is of.
        config: plain JSON values that build the class again.
        state: its weights.
        card: plain JSON values, for people.
        half: store floating-point weights in half precision.

    Raises:
        InputError: something else stands there.
        StorageError: the disk did not take it; what stood there before still does.
    """
    about = {"schema": SCHEMA, "family": family, "config": dict(config), "card": dict(card)}
    tensors = {
        name: (value.half() if half and value.is_floating_point() else value).detach().cpu().contiguous().clone()
        for name, value in state.items()
    }
    path = Path(path)
    if path.suffix == ".safetensors":
        return write_whole(path, save(tensors, metadata={"generator": json.dumps(about)}))
    with new_folder(path) as folder:
        (folder / _MARK).write_text(json.dumps(about, indent=1), encoding="utf-8")
        (folder / _WEIGHTS).write_bytes(save(tensors))
        (folder / _CARD).write_text(card_page(path.name, family, card, tensors), encoding="utf-8")
    return path


def read_generator(path: str | Path) -> StoredGenerator:
    """Read what `save_generator` wrote.

    Raises:
        InputError: no generator lies there, it is damaged, or of a newer likethat.
    """
    path = Path(path)
    weights = path if path.is_file() else path / _WEIGHTS
    try:
        with safe_open(weights, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            text = (file.metadata() or {}).get("generator")
        about = json.loads((path / _MARK).read_text(encoding="utf-8") if text is None else text)
        if about["schema"] > SCHEMA:
            raise InputError(
                f"the generator in {path} was written by a newer likethat (schema {about['schema']}, this one reads "
                f"{SCHEMA}). Update likethat."
            )
        return StoredGenerator(
            family=about["family"],
            config=about["config"],
            tensors={name: _whole(value) for name, value in tensors.items()},
            card=about["card"],
        )
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError | StorageError):
            raise
        raise InputError(
            f"{path} must be a folder that likethat train-generator wrote, got one without a readable {_MARK} and "
            f"{_WEIGHTS} ({type(error).__name__}). Train the generator again, or name another folder."
        ) from error


def _whole(value: Tensor) -> Tensor:
    return value.float() if value.dtype == torch.float16 else value


def card_page(name: str, family: str, card: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """Return a card as a page for people."""
    rows = {"family": family, **card, "numbers": f"{sum(value.numel() for value in tensors.values()):,}"}
    lines = "".join(f"| {key} | {str(value).replace('|', '/')} |\n" for key, value in rows.items())
    return f"# {name}\n\n| | |\n|---|---|\n{lines}"
