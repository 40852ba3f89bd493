"""One forward pass with every module watched: what came in, what went out, in order."""

import copy
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from likethat._double import double


@dataclass(frozen=True, kw_only=True, eq=False)
class Call:
    """One call of one module.

    Attributes:
        name: dotted name of the module.
        module: the module.
        index: how often it had been called before, in this pass.
        shape: of its output.
        output: a copy of its output, where it was kept.
        vector: a copy of its input where that is one vector an image: (batch, channel).
    """

    name: str
    module: nn.Module
    index: int
    shape: tuple[int, ...]
    output: Tensor | None
    vector: Tensor | None

    @property
    def where(self) -> tuple[nn.Module, int]:
        """Module and number of the call, which name it."""
        return self.module, self.index


def tensor_of(output: Any) -> Tensor | None:
    """Return the tensor that a module's output stands for: itself, the last hidden state, or a tuple's first."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping):
        output = output.get("last_hidden_state")
    elif isinstance(output, tuple | list):
        output = output[0] if output else None
    return output if isinstance(output, Tensor) else None


def with_tensor(output: Any, value: Tensor) -> Any:
    """Return a module's output with another tensor in the place of the one it stands for."""
    if isinstance(output, Tensor):
        return value
    if isinstance(output, Mapping):
        changed = copy.copy(output)
        changed["last_hidden_state"] = value  # type: ignore[index]  # a ModelOutput, a dictionary
        return changed
    rest = [value, *output[1:]]
    return type(output)(*rest) if hasattr(output, "_fields") else type(output)(rest)


def first_input(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor | None:
    """Return the first tensor that a module was called with."""
    return next((value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)), None)


def vector_of(values: Tensor) -> Tensor | None:
    """Return (batch, channel) where the tensor holds one vector an image, spatial axes of one cell dropped."""
    if values.ndim < 2 or not values.is_floating_point():
        return None
    if sum(length > 1 for length in values.shape[1:]) > 1:
        return None
    return values.flatten(1)


def record(network: nn.Module, inputs: Tensor, keep: Callable[[tuple[int, ...]], bool]) -> tuple[list[Call], Any]:
    """Run the network once with every module watched.

    Outputs are copied at once: an in-place operation further on would overwrite them, and a wrong split would
    then look right.

    Args:
        network: in evaluation mode, in eager mode.
        inputs: what it takes.
        keep: whether an output of this shape is worth a copy.

    Returns:
        The calls in the order they ended, and what the network returned.
    """
    calls: list[Call] = []
    counts: dict[nn.Module, int] = {}
    names = {module: name for name, module in network.named_modules() if name}
    mine = threading.get_ident()

    def watch(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        if threading.get_ident() != mine:
            return
        index = counts.get(module, 0)
        counts[module] = index + 1
        value = tensor_of(output)
        if value is None or not value.is_floating_point():
            return
        shape = tuple(value.shape)
        given = first_input(args, kwargs)
        vector = None if given is None else vector_of(given)
        calls.append(
            Call(
                name=names[module],
                module=module,
                index=index,
                shape=shape,
                output=value.detach().clone() if keep(shape) else None,
                vector=None if vector is None or given is None or len(given) != len(inputs) else vector.clone(),
            )
        )

    handles = [module.register_forward_hook(watch, with_kwargs=True) for module in names]
    try:
        result = network(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return calls, result


class Captured:
    """What a hook saw of one call: input and output, and whether the output was overwritten afterwards."""

    def __init__(self) -> None:
        self.given: Tensor | None = None
        self.output: Tensor | None = None
        self._raw: Tensor | None = None
        self._version = 0

    def take(self, given: Tensor | None, output: Tensor | None, *, clone: bool) -> None:
        """Remember one call."""
        self.given, self._raw = given, output
        self._version = 0 if output is None or output.is_inference() else output._version
        self.output = output.clone() if clone and output is not None else output

    @property
    def overwritten(self) -> bool:
        """Whether an in-place operation has changed the output since."""
        return self._raw is not None and not self._raw.is_inference() and self._raw._version != self._version


@contextmanager
def at_call(module: nn.Module, index: int, act: Callable[[Any, Any, Any], Any]) -> Iterator[None]:
    """Call `act` with arguments and output of this thread's call number `index` of a module; no hook is left behind.

    What it returns takes the output's place, unless that is None.
    """
    seen, mine = 0, threading.get_ident()

    def watch(_: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
        nonlocal seen
        if threading.get_ident() != mine:
            return None  # the user's own thread runs the network beside us
        seen += 1
        return act(args, kwargs, output) if seen - 1 == index else None

    handle = module.register_forward_hook(watch, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def capturing(module: nn.Module, index: int, *, clone: bool) -> Iterator[Captured]:
    """Watch this thread's call number `index` of one module; the hook is gone afterwards, whatever happens inside."""
    captured = Captured()
    with at_call(
        module,
        index,
        lambda args, kwargs, output: captured.take(first_input(args, kwargs), tensor_of(output), clone=clone),
    ):
        yield captured


def relative_error(values: Tensor, expected: Tensor) -> float:
    """Return the largest difference relative to the largest expected magnitude; infinity for other shapes or NaN."""
    if values.shape != expected.shape:
        return float("inf")
    values, expected = double(values), double(expected)
    scale = expected.abs().max().clamp_min(torch.finfo(torch.float32).tiny)
    error = float((values - expected).abs().max() / scale)
    return float("inf") if math.isnan(error) else error
