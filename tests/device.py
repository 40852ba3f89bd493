"""A device without float64, as Apple's is, on a machine that has none: its tensors live on the CPU.

It claims to be "meta", the one device that every build of torch lets take part in autograd.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

__all__ = ["NAME", "Elsewhere", "Held"]

NAME = "meta"


class Held(Tensor):
    """A tensor of that device."""

    held: Tensor
    is_meta = False  # it has values

    @staticmethod
    def __new__(cls, held: Tensor) -> "Held":
        made = Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=NAME,
        )
        made.held = held
        return made

    def __init__(self, held: Tensor) -> None: ...

    def __repr__(self, **_: Any) -> str:
        return f"Held({self.held})"

    def tolist(self) -> Any:
        """Return its numbers, which torch gives of no subclass."""
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(cls, op: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        return _run(op, args, kwargs or {})


class Elsewhere(TorchDispatchMode):
    """Within it, what is made on or sent to the device is `Held`."""

    def __torch_dispatch__(self, op: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        return _run(op, args, kwargs or {})


def _run(op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    given = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
    is_there = any(isinstance(value, Held) for value in given)
    is_mixed = is_there and any(value.ndim and not isinstance(value, Held) for value in given)
    if is_mixed and not any(word in str(op) for word in ("copy", "index")):  # an index may lie on the CPU
        raise RuntimeError(f"Expected all tensors to be on the same device, but found two, of {op}")
    if kwargs.get("device") is not None:
        is_there = torch.device(kwargs["device"]).type == NAME
        kwargs = {**kwargs, "device": torch.device("cpu")}
    first = args[0] if args else None
    args, kwargs = tree_map(lambda value: value.held if isinstance(value, Held) else value, (tuple(args), kwargs))
    found = op(*args, **kwargs)
    if isinstance(first, Tensor) and op._schema.is_mutable and (found is args[0]):  # in place
        return first
    if not is_there:
        return found
    return tree_map(lambda value: _held(value, op) if isinstance(value, Tensor) else value, found)


def _held(value: Tensor, op: Any) -> Held:
    if value.dtype == torch.float64:
        raise TypeError(f"Cannot convert a tensor to float64: this device has none ({op})")
    return Held(value)
