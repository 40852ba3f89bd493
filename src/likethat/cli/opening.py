"""From the words of a command to models, images and banks: the only place where names stand for things."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from likethat.errors import BankMismatchError, InputError, LikethatError, MissingExtraError

if TYPE_CHECKING:
    from likethat.explanations import Bank
    from likethat.models import SplitModel

N_CREATURES, N_HELD_OUT = 2000, 300  # pictures drawn where none are given: to fit to, and to try on


def open_model(
    name: str,
    *,
    weights: str | None = None,
    layer: str | None = None,
    device: str = "auto",
    class_names: Path | None = None,
    preprocess: dict[str, Any] | None = None,
) -> "SplitModel":
    """Load a model by name, with its trained weights unless others are named, and put it where it shall run."""
    from likethat.models import load

    names = None if class_names is None else read_names(class_names)
    return load(
        name,
        weights=_weights(name, weights),
        layer=layer,
        device=device_of(device),
        class_names=names,
        preprocess=preprocess,
    )


def _check_named(path: Path, name: str, weights: str | None, *, is_named: bool) -> None:
    """Refuse code that the user has not named, and weights that have gone, before a hub is asked for others."""
    from likethat.models import is_own

    if is_own(name) and not is_named:
        again = shlex.join(["--model", name, *(["--weights", weights] if weights else [])])
        raise InputError(
            f"the bank {path} was made from {name!r}, a file of code, and code is run only where you name it. If you "
            f"trust that file, add: {again}"
        )
    if weights and not Path(weights).is_file():
        raise InputError(
            f"the bank {path} was made from {name!r} with the weights {weights}, which are not there now. Say where "
            "they are with --weights."
        )


def device_of(name: str) -> str:
    """Return the device that a word of a command stands for: auto is a GPU where there is one."""
    import torch

    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"


def _weights(name: str, weights: str | None) -> str | None:
    """Return what `likethat.load` takes: without a word, the trained weights; "random" for none."""
    if weights == "random":
        return None
    is_named_set = name.startswith(("torchvision:", "timm:"))
    return "DEFAULT" if weights is None and is_named_set else weights


def read_names(path: Path) -> list[str]:
    """Return the class names in a text file, one a line.

    Raises:
        InputError: it cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"`--class-names` must be a text file, one name a line, got {path} ({error}).") from error
    return [line.strip() for line in lines if line.strip()]


def open_images(given: str, *, held_out: bool = False, name: str = "--images") -> Any:
    """Return the source that a folder, shards, ``zoo:creatures`` or ``zoo:digits`` stand for.

    Args:
        given: a folder, shards as `likethat.Shards` takes them, or one of the two sets that come with the library.
        held_out: of those two, the images to measure on instead of the ones to fit on.
        name: what errors call it.

    Raises:
        InputError: no such folder, or no such set.
    """
    from likethat.sources import ImageFolder, Shards, creatures, digits
    from likethat.sources.shards.places import name_shards

    if given.startswith("zoo:"):
        sets: dict[str, Callable[[], Any]] = {
            "zoo:creatures": lambda: creatures(N_HELD_OUT, seed=2) if held_out else creatures(N_CREATURES, seed=1),
            "zoo:digits": lambda: digits(split="test" if held_out else "train"),
        }
        if given not in sets:
            raise InputError(f"`{name}` must be a folder or one of {', '.join(sets)}, got {given!r}.")
        return sets[given]()
    path = Path(given)
    if name_shards(given) and not path.is_dir():
        return Shards(given)
    if not path.is_dir():
        found = "which is a file" if path.exists() else "which does not exist"
        raise InputError(
            f"`{name}` must be a folder of images or shards (.tar, .parquet), got {given}, {found}. Name the folder."
        )
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
    if weights is None and name == bank.provenance.model:
        weights = bank.provenance.weights or None
        _check_named(path, name, weights, is_named=model is not None)
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
        if split.fingerprint == bank.provenance.fingerprint:  # split in another way: the bank's own is put back
            return bank.attach(split.network)
        if model is not None or weights is not None or layer is not None:
            raise
        raise BankMismatchError(
            f"the bank {path} was made from {name} with other weights or another layer than its name stands for. "
            f"Give the same as when it was fitted: --model {name} --weights … or --layer …."
        ) from error
