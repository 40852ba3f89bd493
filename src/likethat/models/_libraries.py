"""What timm, torchvision and Hugging Face say about their own networks, read without importing them."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from likethat._checks import require
from likethat._imagenet import imagenet_names
from likethat.errors import InputError, ModelError
from likethat.models._state import device_of, floating_type, untouched
from likethat.models._trace import Captured, vector_of


def has_timm_api(network: Any) -> bool:
    """Whether the network has the three methods by which timm cuts its classifiers."""
    names = ("forward_features", "forward_head", "get_classifier")
    return all(callable(getattr(network, name, None)) for name in names)


def timm_pass(network: Any, inputs: Tensor, *, clone: bool) -> tuple[Captured, Tensor, Tensor]:
    """Return timm's unpooled features, the pooled vector (float32) and the logits.

    Raises:
        ModelError: the pooled features are not one vector an image.
    """
    features = Captured()
    raw = network.forward_features(inputs)
    features.take(None, raw, clone=clone)
    pooled = network.forward_head(raw, pre_logits=True)
    vector = vector_of(pooled)
    if vector is None:
        raise ModelError(f"forward_head(pre_logits=True) must give one vector an image, got {tuple(pooled.shape)}.")
    return features, vector.float(), network.get_classifier()(pooled).flatten(1)


def first_channels(network: nn.Module) -> int | None:
    """Return the input channels of the first convolution, where there is one."""
    first = next((module for module in network.modules() if isinstance(module, nn.Conv2d)), None)
    return None if first is None else first.in_channels


_OTHER_INPUTS: dict[str, tuple[type[nn.Module], ...]] = {
    "an embedding, for texts": (nn.Embedding, nn.EmbeddingBag),
    "a one-dimensional convolution, for series": (nn.Conv1d,),
    "a three-dimensional convolution, for volumes or films": (nn.Conv3d,),
    "a recurrent layer, for series or texts": (nn.RNNBase, nn.RNNCellBase),
    "a linear layer, for rows": (nn.Linear,),
}


def other_inputs(network: nn.Module) -> str | None:
    """Say what a network without a layer for images begins with, where that tells what it is for."""
    layers = list(network.modules())
    if any(isinstance(module, nn.Conv2d) for module in layers):
        return None
    for module in layers:
        found = next((words for words, kinds in _OTHER_INPUTS.items() if isinstance(module, kinds)), None)
        if found is not None:
            return found
    return None


def timm_settings(network: Any) -> Mapping[str, Any] | None:
    """Return timm's data configuration of the network, or None."""
    for name in ("pretrained_cfg", "default_cfg"):
        settings = getattr(network, name, None)
        if isinstance(settings, Mapping) and settings.get("input_size") and "mean" in settings:
            return settings
    return None


def configured_part(network: nn.Module) -> nn.Module:
    """Return the network, or the one module inside it that carries a library's configuration: it may be wrapped."""
    waiting, found = [network], []
    while waiting:
        module = waiting.pop()
        if _is_configured(module):
            found.append(module)
        else:
            waiting += module.children()
    return found[0] if len(found) == 1 else network


def _is_configured(module: Any) -> bool:
    config = getattr(module, "config", None)
    known = isinstance(getattr(config, "id2label", None), Mapping) or getattr(config, "problem_type", None)
    return timm_settings(module) is not None or hasattr(module, "timm_model") or bool(known)


def is_given_images(network: nn.Module, part: nn.Module) -> bool:
    """Whether a part of a network gets the very images that the network gets, found by running it once.

    A network that prepares its images before it calls the part needs no preparing by the part's configuration.
    """
    if part is network:
        return True
    channels, size = configured_shape(part)
    rng, shape = torch.Generator().manual_seed(0), (1, channels or 3, *(size or (224, 224)))
    inputs = torch.rand(shape, generator=rng, dtype=torch.float32).to(device_of(network), floating_type(network))
    given: list[bool] = []

    def look(_: nn.Module, args: Any, kwargs: Any) -> None:
        values = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
        given.append(any(value.shape == inputs.shape and torch.equal(value, inputs) for value in values))

    handle = part.register_forward_pre_hook(look, with_kwargs=True)
    try:
        with untouched(network):
            network(inputs.clone())
    except Exception:  # whatever it raises: split says it, at a size that it takes
        return bool(given and given[0])
    finally:
        handle.remove()
    return bool(given and given[0])


def configured_shape(network: Any) -> tuple[int | None, tuple[int, int] | None]:
    """Return the channels and the size that the network's own configuration names; None for what it does not."""
    settings = timm_settings(network)
    if settings is not None:
        channels, height, width = settings["input_size"]
        built_for = getattr(getattr(network, "patch_embed", None), "img_size", None)  # an img_size= given by the user
        if isinstance(built_for, tuple | list) and len(built_for) == 2:
            height, width = built_for
        built = (int(height), int(width))
        return _own_channels(network, int(channels), built), built
    config = getattr(network, "config", None)
    count, side = getattr(config, "num_channels", None), getattr(config, "image_size", None)
    side = (side, side) if isinstance(side, int) else side
    size = (int(side[0]), int(side[1])) if isinstance(side, tuple | list) and len(side) == 2 else None
    return count if isinstance(count, int) else None, size


def _own_channels(network: Any, configured: int, size: tuple[int, int]) -> int:
    """Return how many channels a network takes that may have been made for more or fewer than its configuration says.

    The first convolution tells, unless something before it rearranges the channels; then the configured ones run.
    """
    first = first_channels(network)
    if first is None or first == configured:
        return configured
    inputs = torch.zeros(1, configured, *size, device=device_of(network), dtype=floating_type(network))
    try:
        with untouched(network):
            network(inputs)
    except Exception:  # whatever it raises: it does not take them
        return first
    return configured


def configured_name(network: Any) -> str:
    """Return a printable name: timm's architecture, Hugging Face's path, else the class."""
    settings = timm_settings(network)
    path = getattr(getattr(network, "config", None), "name_or_path", None)
    name = settings.get("architecture") if settings is not None else (Path(path).name if path else None)
    return str(name or type(network).__name__)


def configured_names(network: Any, n_classes: int) -> tuple[str, ...] | None:
    """Return the class names of the network's own configuration, where it names every class."""
    labels = getattr(getattr(network, "config", None), "id2label", None)
    numbered = {str(number): str(name) for number, name in labels.items()} if isinstance(labels, Mapping) else {}
    if set(numbered) == {str(index) for index in range(n_classes)}:  # JSON's keys are texts
        return tuple(numbered[str(index)] for index in range(n_classes))
    settings = timm_settings(network)
    named = settings.get("label_names") if settings is not None else None
    if isinstance(named, tuple | list) and len(named) == n_classes:
        return tuple(str(name) for name in named)
    return None


def configured_task(network: nn.Module) -> str | None:
    """Return what the network's own configuration says that its outputs are for, in transformers' words."""
    return getattr(getattr(configured_part(network), "config", None), "problem_type", None)


def has_independent_labels(network: nn.Module) -> bool:
    """Whether the network's own configuration says that an image may have several labels, or none."""
    return configured_task(network) == "multi_label_classification"


def usual_names(network: Any, n_classes: int) -> tuple[str, ...] | None:
    """Return ImageNet's class names where timm's configuration says that the usual weights have that many classes.

    The configuration is that of the architecture: it says nothing of the weights that are there.
    """
    settings = timm_settings(network)
    if settings is None or settings.get("num_classes") != n_classes:
        return None
    return imagenet_names(n_classes)


def timm_preprocess(settings: Mapping[str, Any], network: Any = None) -> dict[str, Any]:
    """Return the arguments of the `Preprocess` that timm's evaluation transforms amount to."""
    channels, height, width = settings["input_size"]
    if network is not None:
        known, size = configured_shape(network)
        channels, (height, width) = known or channels, size or (height, width)
    fraction, mode = settings.get("crop_pct") or 0.875, settings.get("crop_mode") or "center"
    larger = (math.floor(height / fraction), math.floor(width / fraction))
    square = larger[0] == larger[1] and mode == "center"
    return {
        "size": (height, width),
        "resize": larger[0] if square else larger,
        "crop": mode,
        "mean": _for_channels(settings["mean"], channels),
        "std": _for_channels(settings["std"], channels),
        "interpolation": interpolation_of(settings.get("interpolation")),
        "channels": channels,
    }


def _for_channels(values: Any, channels: int) -> tuple[float, ...]:
    """Return the numbers themselves, or their mean where the network takes another number of channels."""
    numbers = tuple(float(value) for value in values)
    return numbers if len(numbers) in (1, channels) else (sum(numbers) / len(numbers),)


def interpolation_of(value: Any) -> str:
    """Return our name of an interpolation: a word, torchvision's mode, or PIL's number."""
    value = getattr(value, "value", value)  # both torchvision's and PIL's are enumerations
    if value is None:
        return "bilinear"
    if isinstance(value, int):
        return {0: "nearest", 2: "bilinear", 3: "bicubic", 1: "bicubic"}.get(value, "bilinear")
    word = str(value).removesuffix("-exact")
    return {"lanczos": "bicubic", "box": "bilinear", "hamming": "bilinear", "random": "bilinear"}.get(word, word)


def hub_processor(network: Any) -> Any:
    """Return the image processor saved beside a Hugging Face network, or None where the network is no such.

    Raises:
        InputError: it cannot be loaded.
    """
    path = getattr(getattr(network, "config", None), "name_or_path", None)
    if not path:
        return None
    transformers = require("transformers", purpose="Reading the preprocessing of a Hugging Face network")
    try:
        return transformers.AutoImageProcessor.from_pretrained(path, trust_remote_code=False)
    except Exception as error:
        raise InputError(
            f"`preprocess` 'auto' must find the image processor of {path!r}, which did not load. Pass the processor or "
            "a Preprocess."
        ) from error
