"""The user's network comes back as it was: modes, buffers, random state."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["device_of", "evaluating", "floating_type", "untouched", "unwrap"]


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
    """Run in evaluation mode; every module gets its own flag back, whatever happens inside.

    The flags are set one by one: a module's own ``train`` method may do more than flip them (merge weights, say).
    """
    training = [module for module in network.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


@contextmanager
def untouched(network: nn.Module) -> Iterator[None]:
    """Evaluate without gradients; buffers that the forward pass changes and torch's random state are put back."""
    saved: list[tuple[Tensor, Tensor]] = [(buffer, buffer.detach().clone()) for buffer in network.buffers()]
    device = device_of(network)
    devices = [device] if device.type == "cuda" else []
    with (
        torch.random.fork_rng(devices=devices),
        torch.inference_mode(False),  # inference tensors count no in-place changes
        torch.no_grad(),
        torch.autocast(device.type, enabled=False),
        evaluating(network),
    ):
        try:
            yield
        finally:
            for buffer, value in saved:
                if not torch.equal(buffer, value):
                    buffer.copy_(value)
