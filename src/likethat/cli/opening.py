"""From the words of a command to models, images and banks: the only place where names stand for things."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from likethat.errors import BankMismatchError, InputError, LikethatError, MissingExtraError

if TYPE_CHECKING:
    from likethat.explanations import Bank
    from likethat.models import SplitModel

__all__ = ["open_bank_with_model", "open_images", "open_model"]

N_CREATURES = 2000


def open_model(
    name: str, *, weights: str | None = None, layer: str | None = None, device: str = "auto"
) -> "SplitModel":
    """Load a model by name and put it where it shall run.

    Raises:
        InputError: no such device.
    """
    from likethat.models import load

    options: dict[str, Any] = {} if layer is None else {"layer": layer}
    model = load(name, weights=weights, **options) if weights is not None else load(name, **options)
    model.network.to(_device(device))
    return model


def _device(name: str) -> Any:
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"`--device` must be one that torch can use here, got {name!r}. Use cpu, or auto.") from error
    return device


def open_images(name: str) -> Any:
    """Return the source that a folder, ``zoo:creatures`` or ``zoo:digits`` stands for.

    Raises:
        InputError: no such folder, or no such set.
    """
    from likethat.sources import ImageFolder, creatures, digits

    if name.startswith("zoo:"):
        sets = {"zoo:creatures": lambda: creatures(N_CREATURES, seed=1), "zoo:digits": digits}
        if name not in sets:
            raise InputError(f"`--images` must be a folder or one of {', '.join(sets)}, got {name!r}.")
        return sets[name]()
    path = Path(name)
    if not path.is_dir():
        found = "which is a file" if path.exists() else "which does not exist"
        raise InputError(f"`--images` must be a folder of images, got {name}, {found}. Name the folder.")
    return ImageFolder(path)


def open_bank_with_model(
    path: Path, *, model: str | None, weights: str | None, layer: str | None, device: str
) -> "Bank":
    """Open a bank and the model it was made from, by the name that the bank remembers unless one is given.

    Raises:
        InputError: the model's name in the bank does not load; it must be given.
        BankMismatchError: other weights, or another layer.
    """
    from likethat.explanations import open_bank

    bank = open_bank(path)
    name = bank.provenance.model if model is None else model
    try:
        split = open_model(name, weights=weights, layer=layer, device=device)
    except MissingExtraError:
        raise
    except LikethatError as error:
        if model is not None:
            raise
        raise InputError(
            f"the bank {path} was made from {name!r}, which does not load by that name: {error} Say what it is with "
            "--model (and --weights)."
        ) from error
    try:
        return bank.attach(split)
    except BankMismatchError as error:
        if model is not None or weights is not None or layer is not None:
            raise
        raise BankMismatchError(
            f"the bank {path} was made from {name} with other weights or another layer than its name stands for. "
            f"Give the same as when it was fitted: --model {name} --weights … or --layer …."
        ) from error
