"""How the logits answer to what the modules give: one pass forward, one back, for every module at once.

Where the rest of a network is affine in a module's output, the gradient of the logits there is the same for every
image. So one pass names all places from which the rest is affine, whatever the code in between looks like.
"""

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from likethat._double import double
from likethat.models._trace import first_input, relative_error, tensor_of, vector_of

Logits = Callable[[Any, int], Tensor]  # from what the network returned, and the number of images
_SEED = 4  # of the combination of logits that is followed
_AT_ONCE = 2**24  # numbers of the derivatives that are made together: 64 MB of float32


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where in a pass a tensor is: what a call of a module was given, or what it gave."""

    name: str
    module: nn.Module
    index: int
    side: Literal["input", "output"] = "output"


@dataclass(frozen=True, kw_only=True, eq=False)
class Felt:
    """A tensor of one pass, and how one combination of the logits answers to it.

    Attributes:
        place: where it is.
        value: (batch, ...), a copy.
        gradient: (batch, ...) of the combination.
        left: (batch,) what of the combination it does not explain: combination - <gradient, value>.
    """

    place: Place
    value: Tensor
    gradient: Tensor
    left: Float[Tensor, " batch"]

    def is_affine(self, tolerance: float) -> bool:
        """Whether the gradient is that of every image, as far as these images tell."""
        first = self.gradient[:1].expand_as(self.gradient)
        return bool(first.any()) and relative_error(self.gradient, first) <= tolerance


def combined(logits: Float[Tensor, "batch cls"]) -> Float[Tensor, " batch"]:
    """Return the combination of the logits that is followed."""
    rng = torch.Generator().manual_seed(_SEED)
    return logits.float() @ torch.randn(logits.shape[1], generator=rng, dtype=torch.float32).to(logits.device)


def feel(network: nn.Module, inputs: Tensor, logits_of: Logits, *, held: Collection[Place] = ()) -> list[Felt]:
    """Return what was felt at every module, in the order of the calls.

    Args:
        network: in evaluation mode.
        inputs: what it takes, two images or more.
        logits_of: finds the logits in what it returns.
        held: places whose outputs are taken for constants: what lies behind them alone is not felt.

    Returns:
        One entry for the output of every call, and for the input where that is one vector an image.
    """
    with torch.enable_grad(), noting(network, inputs, held) as noted:
        logits = logits_of(network(inputs.detach().clone().requires_grad_()), len(inputs))
        combination = combined(logits)
        kept = [(place, value) for place, value, version in noted if value._version == version]
        if not combination.requires_grad or not kept:
            return []
        gradients = torch.autograd.grad(combination.sum(), [value for _, value in kept], allow_unused=True)
    felt = []
    for (place, value), gradient in zip(kept, gradients, strict=True):
        if gradient is None or place in held:
            continue
        moved = (double(gradient) * double(value.detach())).flatten(1).sum(1)
        left = double(combination.detach()) - moved
        felt.append(Felt(place=place, value=value.detach().clone(), gradient=gradient, left=left))
    return felt


Noted = list[tuple[Place, Tensor, int]]


@contextmanager
def noting(network: nn.Module, inputs: Tensor, held: Collection[Place]) -> Iterator[Noted]:
    """Note what every call is given and gives, with its version; outputs go on as copies, safe from in-place steps."""
    noted: Noted = []
    counts: dict[nn.Module, int] = {}
    names = {module: name for name, module in network.named_modules() if name}
    mine, batch = threading.get_ident(), len(inputs)

    def before(module: nn.Module, args: Any, kwargs: Any) -> None:
        given = first_input(args, kwargs)
        if threading.get_ident() != mine or given is None or len(given.shape) < 2 or len(given) != batch:
            return
        if given.requires_grad and vector_of(given) is not None:
            place = Place(name=names[module], module=module, index=counts.get(module, 0), side="input")
            noted.append((place, given, given._version))

    def after(module: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
        if threading.get_ident() != mine:
            return output
        index = counts.get(module, 0)
        counts[module] = index + 1
        value, place = tensor_of(output), Place(name=names[module], module=module, index=index)
        if value is None or not value.requires_grad or value.ndim < 2 or len(value) != batch:
            return output
        if value is first_input(args, kwargs):  # a dropout: others may take what it was given, past it
            value = value.clone()
        if place in held:
            return value.detach().requires_grad_() if isinstance(output, Tensor) else output
        noted.append((place, value, value._version))
        return value.clone() if isinstance(output, Tensor) else output

    handles = [module.register_forward_pre_hook(before, with_kwargs=True) for module in names]
    handles += [module.register_forward_hook(after, with_kwargs=True) for module in names]
    try:
        yield noted
    finally:
        for handle in handles:
            handle.remove()


def derivatives(
    network: nn.Module, inputs: Tensor, logits_of: Logits, place: Place
) -> Iterator[Float[Tensor, "some *axes"]]:
    """Yield the derivatives of the logits of one image at a place, some classes at a time.

    Args:
        network: in evaluation mode.
        inputs: one image.
        logits_of: finds the logits in what it returns.
        place: whose tensor, without its batch axis, the derivatives are shaped like.
    """
    with torch.enable_grad(), noting(network, inputs, ()) as noted:
        logits = logits_of(network(inputs.detach().clone().requires_grad_()), 1)[0]
        value = next(value for where, value, _ in noted if where == place)
        classes = torch.eye(len(logits), dtype=logits.dtype, device=logits.device)
        for chosen in classes.split(max(1, _AT_ONCE // value.numel())):
            yield _backward(logits, value, chosen)


def _backward(logits: Tensor, value: Tensor, chosen: Tensor) -> Tensor:
    try:
        (found,) = torch.autograd.grad(logits, value, chosen, retain_graph=True, is_grads_batched=True)
    except RuntimeError:  # a step whose gradient does not come in batches
        rows = [torch.autograd.grad(logits, value, one, retain_graph=True)[0] for one in chosen]
        found = torch.stack(rows)
    return found[:, 0].detach()
