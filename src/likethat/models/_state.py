"""The user's network comes back as it was: modes, buffers, random state; one call at a time runs in it."""

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from likethat._session import default_device

_guard = threading.Lock()
_locks: WeakKeyDictionary[nn.Module, threading.RLock] = WeakKeyDictionary()
_switched: dict[nn.Module, int] = {}  # modules in evaluation mode for now, and by how many calls


def _forget() -> None:
    """Begin anew in a forked process: the threads that held these locks are not there."""
    global _guard  # noqa: PLW0603 - a lock cannot be opened from outside
    _guard = threading.Lock()
    _locks.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def unwrap(network: nn.Module) -> nn.Module:
    """Return the module inside ``torch.compile``, ``DataParallel`` and ``DistributedDataParallel``."""
    while True:
        inner = getattr(network, "_orig_mod", None)
        if inner is None and isinstance(network, nn.DataParallel | nn.parallel.DistributedDataParallel):
            inner = network.module
        if not isinstance(inner, nn.Module):
            return network
        network = inner


def device_of(network: nn.Module) -> torch.device:
    """Return the device of the first parameter or buffer; the CPU where there is none."""
    for tensor in network.parameters():
        return tensor.device
    return next((buffer.device for buffer in network.buffers()), torch.device("cpu"))


def floating_type(network: nn.Module) -> torch.dtype:
    """Return the type of the first floating parameter or buffer; float32 where there is none."""
    for tensor in network.parameters():
        if tensor.is_floating_point():
            return tensor.dtype
    return next((buffer.dtype for buffer in network.buffers() if buffer.is_floating_point()), torch.float32)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Run in evaluation mode, alone; every module gets its own flag back, whatever happens inside.

    Hooks and flags belong to the modules, not to a call, and many networks keep what a pass made on themselves: so one
    thread at a time runs in a network. Modules that two networks share are in evaluation until both are done.
    The flags are set one by one: a module's own ``train`` method may do more than flip them (merge weights, say).
    """
    with _guard:
        lock = _locks.setdefault(network, threading.RLock())
    with lock, default_device(device_of(network)):
        switched = _switch_off(network)
        try:
            yield
        finally:
            _switch_back(switched)


def _switch_off(network: nn.Module) -> list[nn.Module]:
    with _guard:
        switched = [module for module in network.modules() if module.training or module in _switched]
        for module in switched:
            module.training = False
            _switched[module] = _switched.get(module, 0) + 1
    return switched


def _switch_back(switched: list[nn.Module]) -> None:
    with _guard:
        for module in switched:
            _switched[module] -= 1
            if not _switched[module]:
                del _switched[module]
                module.training = True


def _in_full_precision(device: torch.device) -> AbstractContextManager[Any]:
    """Return a context without autocast, which some devices do not know at all."""
    has_autocast = torch.amp.is_autocast_available(device.type)
    return torch.autocast(device.type, enabled=False) if has_autocast else nullcontext()


@contextmanager
def untouched(network: nn.Module) -> Iterator[set[str]]:
    """Evaluate without gradients; buffers that the forward pass changes and torch's random state are put back.

    Yields a set that holds the names of those buffers afterwards.
    """
    saved = [(name, buffer, buffer.detach().clone()) for name, buffer in network.named_buffers()]
    changed: set[str] = set()
    device = device_of(network)
    devices = [device] if device.type == "cuda" else []
    with (
        torch.random.fork_rng(devices=devices),
        torch.inference_mode(False),  # inference tensors count no in-place changes
        torch.no_grad(),
        _in_full_precision(device),
        evaluating(network),
    ):
        try:
            yield changed
        finally:
            for name, buffer, value in saved:
                if not torch.equal(buffer, value):
                    changed.add(name)
                    put_back(buffer, value)


def put_back(buffer: Tensor, value: Tensor) -> None:
    """Copy a value into a buffer, which may have been made in inference mode: those are written there alone."""
    with torch.inference_mode(buffer.is_inference()):
        buffer.copy_(value)
