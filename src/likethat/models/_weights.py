"""Read weights from a file without ever running what is in it, and put them into a network."""

import pickle
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from likethat.errors import InputError, ModelError, UnsafeFileError

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
_NESTS = ("state_dict", "model_state_dict", "model", "network")
_PREFIXES = ("module.", "_orig_mod.", "model.", "network.")


def is_file_name(weights: Any) -> bool:
    """Whether `weights` names a file rather than a set of a library's weights."""
    return isinstance(weights, Path) or (isinstance(weights, str) and weights.lower().endswith(SUFFIXES))


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Return the tensors of a ``.safetensors`` file or of a state dictionary that torch saved.

    Raises:
        InputError: no such file, or one that holds no state dictionary.
        UnsafeFileError: a pickle that would run code.
        ModelError: a damaged file.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"`weights` must be a file, got {str(path)!r}, which does not exist.")
    if path.suffix.lower() == ".safetensors":
        return _read_safetensors(path)
    content = _read_torch(path)
    for nest in _NESTS:
        if isinstance(content, Mapping) and isinstance(content.get(nest), Mapping):
            content = content[nest]
            break
    if not isinstance(content, Mapping) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise InputError(
            f"`weights` must hold a state dictionary, got {type(content).__name__} in {path.name!r}. Save one with "
            "torch.save(network.state_dict(), path)."
        )
    return {str(name): value for name, value in content.items()}


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, ValueError, OSError) as error:
        raise ModelError(f"`weights` must be a whole .safetensors file, and {path.name!r} is not ({error}).") from error


def _read_torch(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # another pickle protocol: it reads, or it raises
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if path.read_bytes()[:2] in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
            raise UnsafeFileError(
                f"`weights` must be plain tensors, and {path.name!r} is a pickle that would run code when opened. Save "
                "the weights alone: torch.save(network.state_dict(), path), or as .safetensors."
            ) from error
        raise ModelError(f"`weights` must be a file that torch saved, and {path.name!r} is not.") from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError) as error:
        raise ModelError(f"`weights` must be a whole file that torch saved, and {path.name!r} is damaged.") from error


def head_classes(network: nn.Module, weights: Mapping[str, Tensor]) -> int | None:
    """Return how many classes the weights have, where that differs from the network; None where it does not."""
    own = network.state_dict()
    stripped = _stripped(weights, own)
    heads = [name for name, value in own.items() if name.endswith(".weight") and value.ndim in (2, 4)]
    for name in reversed(heads):
        if name in stripped and stripped[name].ndim == own[name].ndim:
            there, here = stripped[name].shape, own[name].shape
            return int(there[0]) if there[0] != here[0] and there[1:] == here[1:] else None
    return None


def put_weights(network: nn.Module, weights: Mapping[str, Tensor], *, source: str) -> None:
    """Load weights into a network; every one must be there and fit.

    Raises:
        ModelError: some are missing, unknown, or of another shape; a few are named.
    """
    own = network.state_dict()
    weights = _stripped(weights, own)
    missing = [name for name in own if name not in weights and not name.endswith("num_batches_tracked")]
    unknown = [name for name in weights if name not in own]
    shapes = [
        f"{name} {tuple(weights[name].shape)} for {tuple(own[name].shape)}"
        for name in own
        if name in weights and weights[name].shape != own[name].shape
    ]
    problems = [
        f"{len(names)} {kind} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
        for kind, names in (("missing", missing), ("unknown", unknown), ("of another shape", shapes))
        if names
    ]
    if problems:
        raise ModelError(
            f"`weights` must fit {type(network).__name__}, got from {source}: {'; '.join(problems)}. Name the "
            "architecture they were trained with."
        )
    state = OrderedDict(weights)
    state._metadata = own._metadata  # type: ignore[attr-defined]  # of versions: torchvision's MNASNet needs its own
    network.load_state_dict(state, strict=False)


def _stripped(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Drop the prefixes that wrappers put before every name, as long as the network itself has no such prefix."""
    changed = bool(weights)
    while changed:
        changed = False
        for prefix in _PREFIXES:
            if all(name.startswith(prefix) for name in weights) and not any(name.startswith(prefix) for name in own):
                weights = {name.removeprefix(prefix): value for name, value in weights.items()}
                changed = True
    return weights
