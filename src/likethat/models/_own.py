"""A classifier that a function in a file of the user's own builds."""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from likethat._calls import foreign
from likethat._options import shown
from likethat.errors import InputError
from likethat.models._hubs import Loaded
from likethat.models._weights import is_file_name, put_weights, read_weights
from likethat.models.split_model import SplitModel


def is_own(name: str) -> bool:
    """Whether a name stands for a function in a Python file: ``my_module.py:build``.

    Example:
        >>> is_own("my_module.py:build"), is_own("timm:resnet18")
        (True, False)
    """
    return name.rpartition(":")[0].lower().endswith(".py")


def load_own(name: str, weights: Any, kwargs: dict[str, Any]) -> Loaded:
    """Run the file, call its function, and put the weights into what it returns.

    Raises:
        InputError: no such file or function, one that fails, or one that returns no classifier.
        ModelError: weights that do not fit.
    """
    file, _, function = name.rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise InputError(f"`name` must be FILE.py:FUNCTION, got {name!r}, and there is no file {file}.")
    if weights is not None and not is_file_name(weights):
        raise InputError(f"`weights` must be a local file or None for a model of your own, got {shown(weights)}.")
    with _beside(path), foreign(f"`name` {name!r}", "Run the file with Python first."):
        build = getattr(_run(path), function, None)
        if not callable(build):
            raise InputError(f"`name` must be FILE.py:FUNCTION, got {name!r}, and the file defines no function of it.")
        built = build(**kwargs)
    return _loaded(name, built, weights)


def _loaded(name: str, built: Any, weights: Any) -> Loaded:
    network = built.network if isinstance(built, SplitModel) else built
    if not isinstance(network, nn.Module):
        raise InputError(
            f"`name` must be a function that returns an nn.Module, or what likethat.split made of one with its "
            f"preprocessing and class names; {name!r} returned {type(built).__name__}."
        )
    if weights is not None:
        put_weights(network, read_weights(weights), source=Path(weights).name)
    if not isinstance(built, SplitModel):
        return Loaded(network=network)
    return Loaded(network=network, preprocess=built.preprocess, class_names=built.class_names, layer=built.layer)


def _run(path: Path) -> ModuleType:
    """Return the file as a module, known to Python by its stem as in a script beside it."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    known = sys.modules.get(path.stem)
    sys.modules[path.stem] = module  # dataclasses and pickles of the file look themselves up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        if known is None:
            del sys.modules[path.stem]
        else:
            sys.modules[path.stem] = known
        raise
    return module


@contextmanager
def _beside(path: Path) -> Iterator[None]:
    """Let the file import what lies beside it, as `python FILE.py` does."""
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
