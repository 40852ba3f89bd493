"""Notice that a network's weights or buffers are others than they were, for the price of a few microseconds."""

from collections.abc import Collection, Iterator
from itertools import starmap
from operator import attrgetter, call, is_, methodcaller
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

_SAMPLED = 16  # values read of a tensor: one or two lines of a processor's cache
_version, _bytes = attrgetter("_version"), methodcaller("tobytes")


class Watch:
    """Whether a network's tensors are the ones they were, looked at without reading them.

    Torch counts what it writes into a tensor; a new tensor in place of another has another identity or address. What is
    written past the count (through ``.data`` or NumPy) shows in the small samples of the values that are read as well,
    on a CPU, where enough of a tensor was written to.

    Args:
        network: what is watched.
        without: names of buffers that every pass changes.
    """

    def __init__(self, network: nn.Module, *, without: Collection[str] = ()) -> None:
        children = [(module._modules, *item) for module in network.modules() for item in module._modules.items()]
        places = list(_places(network, without))
        self._children = [child for _, _, child in children]
        self._child_look_up = [(holder.get, name) for holder, name, _ in children]
        self._look_up = [(holder.get, name) for holder, name, _ in places]
        self._tensors = [tensor for _, _, tensor in places]  # held, so that nothing else gets their addresses
        counts = not any(tensor.is_inference() for tensor in self._tensors)
        self._count = _version if counts else Tensor.data_ptr  # inference tensors count nothing
        self._samples = [sample for tensor in self._tensors if (sample := _sample(tensor)) is not None]
        self._state = self._seen()

    def is_same(self) -> bool:
        """Whether nothing has changed that can be seen."""
        return all(map(is_, starmap(call, self._child_look_up), self._children)) and self._seen() == self._state

    def _seen(self) -> list[Any] | None:
        """Return versions, addresses and samples; None where a tensor is gone."""
        tensors = list(starmap(call, self._look_up))
        try:
            return [*map(self._count, tensors), *map(Tensor.data_ptr, tensors), *map(_bytes, self._samples)]
        except (RuntimeError, TypeError, AttributeError):  # another kind of tensor than there was, or none
            return None


def _places(network: nn.Module, without: Collection[str]) -> Iterator[tuple[dict[str, Any], str, Tensor]]:
    """Yield where each parameter and buffer hangs, its name there, and itself."""
    for prefix, module in network.named_modules():
        for holder in (module._parameters, module._buffers):
            for name, tensor in holder.items():
                if tensor is None or not (tensor.ndim or tensor.is_floating_point()):
                    continue  # a count of batches, which no output depends on
                if f"{prefix}.{name}".lstrip(".") not in without:
                    yield holder, name, tensor


def _sample(tensor: Tensor) -> NDArray[Any] | None:
    """Return a view of a few of a tensor's values; None where that cannot be had for nothing."""
    if type(tensor) not in (Tensor, nn.Parameter) or tensor.device.type != "cpu" or tensor.layout != torch.strided:
        return None
    if isinstance(tensor, nn.Parameter) and tensor.ndim < 2:
        return None  # what writes to biases and factors alone is rarer than the time is worth
    if not tensor.numel() or not (
        tensor.is_contiguous() or (tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last))
    ):
        return None
    flat = tensor.detach().as_strided((tensor.numel(),), (1,))
    flat = flat.view(torch.int16) if flat.dtype == torch.bfloat16 else flat  # NumPy has no such type
    try:
        values: NDArray[Any] = flat.numpy()
    except (RuntimeError, TypeError):
        return None
    middle = max(0, len(values) - _SAMPLED) // 2
    return values[middle : middle + _SAMPLED]
