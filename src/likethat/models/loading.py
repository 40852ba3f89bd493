"""Load a classifier by name, with its class names and its preprocessing."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from likethat._calls import public
from likethat._checks import check_device
from likethat._session import in_own_session
from likethat.errors import InputError
from likethat.functional.links import Outputs
from likethat.models._builders import as_preprocess
from likethat.models._hubs import Loaded, load_hugging_face, load_timm, load_torchvision, load_zoo_network
from likethat.models._own import is_own, load_own
from likethat.models._weights import is_file_name
from likethat.models.preprocessing import Preprocess
from likethat.models.split import split
from likethat.models.split_model import SplitModel

_LOADERS = {
    "torchvision": load_torchvision,
    "timm": load_timm,
    "hf": load_hugging_face,
    "zoo": load_zoo_network,
}
_EXAMPLES = "'torchvision:resnet34', 'timm:convnext_tiny', 'hf:microsoft/resnet-18' (or a folder), 'zoo:creatures'"


@public
@in_own_session
def load(
    name: str,
    weights: Any = None,
    *,
    class_names: Sequence[str] | None = None,
    device: str | torch.device | None = None,
    preprocess: Any = None,
    layer: str | None = None,
    outputs: Outputs | None = None,
    **model_kwargs: Any,
) -> SplitModel:
    """Load a classifier by name and split it.

    Args:
        name: where it comes from and its name there: ``"torchvision:resnet34"``, ``"timm:convnext_tiny"``,
            ``"hf:org/name"`` or ``"hf:path/to/folder"``, ``"zoo:creatures"``; or ``"my_module.py:build"``, a function
            of your own that returns an ``nn.Module``, or what `likethat.split` made of one with its preprocessing and
            class names. The file is run as Python runs it.
        weights: "DEFAULT" for the library's trained weights, the name of a set of torchvision's, a local file
            (``.safetensors``, or a state dictionary that torch saved), or None: random for torchvision and timm, the
            trained ones for Hugging Face and the zoo.
        class_names: one name a class; None takes those of the weights. A file has none: it gets those of the
            architecture's usual weights where it has as many classes, and `SplitModel.presumed` says so.
        device: where to put it; None leaves it on the CPU.
        preprocess: as in `likethat.split`; None takes the configuration's own (torchvision without a named set of
            weights: that of the architecture's default set), and a dictionary of arguments of `Preprocess` changes
            these of it.
        layer: as in `likethat.split`.
        outputs: as in `likethat.split`.
        **model_kwargs: for the library's constructor, such as ``num_classes=20``.

    Returns:
        The split model, in evaluation mode.

    Raises:
        InputError: an unknown prefix, name, set of weights, or a file that is not there.
        ModelError: weights that do not fit, or that cannot be fetched.
        UnsafeFileError: a pickle that would run code when opened.
        MissingExtraError: the library is not installed.
    """
    if not isinstance(name, str):
        raise InputError(f"`name` must be text such as {_EXAMPLES}, got {type(name).__name__}. For a module use split.")
    loaded = _loaded(name, weights, dict(model_kwargs))
    network = _placed(loaded.network.eval(), device)
    model = split(
        network,
        preprocess=_prepared(loaded, preprocess),
        layer=loaded.layer if layer is None else layer,
        class_names=_names(loaded, class_names),
        outputs=outputs,
    )
    model.presumed = loaded.presumed if class_names is None else ""
    prefix, _, rest = name.partition(":")
    model.name = f"{prefix}:{Path(rest).name}" if Path(rest).is_dir() else name
    model.weights = str(weights) if is_file_name(weights) else ""
    return model


def _loaded(name: str, weights: Any, kwargs: dict[str, Any]) -> Loaded:
    if is_own(name):
        return load_own(name, weights, kwargs)
    prefix, _, rest = name.partition(":")
    if prefix not in _LOADERS or not rest:
        raise InputError(
            f"`name` must start with one of four prefixes: {_EXAMPLES}, or be a file of your own and its function, "
            f"'my_module.py:build'; got {name!r}."
        )
    return _LOADERS[prefix](rest, weights, kwargs)


def _prepared(loaded: Loaded, given: Any) -> Any:
    """Return the preprocessing: the configuration's own, what is given in its place, or the own with changes."""
    if given is None:
        return loaded.preprocess
    if not isinstance(given, Mapping) or not set(given) <= {field.name for field in fields(Preprocess)}:
        return given
    own = as_preprocess(loaded.preprocess, loaded.network)
    changes = {"resize": None, **given} if "size" in given else given  # what the own resizes to fits its own size
    return replace(own, **changes)


def _names(loaded: Loaded, class_names: Sequence[str] | None) -> Sequence[str] | None:
    return loaded.class_names if class_names is None else class_names


def _placed(network: nn.Module, device: str | torch.device | None) -> nn.Module:
    if device is None:
        return network
    return network.to(check_device(device))
