"""What a method takes as its model: a split one, or a network, which is split."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from likethat._options import shown
from likethat.errors import InputError, ModelError
from likethat.models.split import split
from likethat.models.split_model import SplitModel


def check_model(model: Any) -> None:
    """Raise `InputError` unless it is a model, or a network that can be split into one."""
    if isinstance(model, SplitModel | nn.Module):
        return
    advice = "Make one with likethat.split(network), or likethat.load(name)."
    if isinstance(model, str):
        advice = f"Load it first: likethat.load({model!r})."
    elif isinstance(model, type):
        advice = "Make an instance of it first."
    elif isinstance(model, Tensor) or hasattr(model, "__getitem__"):
        advice = "The model comes first, the images second."
    raise InputError(f"`model` must be a SplitModel or a network (torch.nn.Module), got {shown(model)}. {advice}")


def as_model(model: Any, first_image: Callable[[], Tensor | None] = lambda: None) -> SplitModel:
    """Return a split model as it is; split a network, as `likethat.split` would with its defaults.

    Args:
        model: a `SplitModel` or a network.
        first_image: returns an image (channel, height, width) in [0, 1] such as the network will see, whose size is
            tried first; asked only where there is a network to split, since reading or making one takes time.

    Raises:
        InputError: something else.
        ModelError: a network that cannot be split.
    """
    check_model(model)
    if isinstance(model, SplitModel):
        return model
    example = first_image()
    if example is not None:
        try:
            return split(model, example=example[None])
        except ModelError:  # it runs at another size
            pass
    return split(model)
