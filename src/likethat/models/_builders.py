"""The `Preprocess` that a library's own transforms amount to."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn

from likethat._calls import warn
from likethat._options import shown
from likethat.errors import InputError
from likethat.models._libraries import (
    configured_part,
    hub_processor,
    interpolation_of,
    is_given_images,
    timm_preprocess,
    timm_settings,
)
from likethat.models._probe import probe_images
from likethat.models.preprocessing import Preprocess

_CONVERSIONS = {  # steps that turn an image file into a tensor in [0, 1]: ours already is one
    "ConvertImageDtype",
    "Identity",
    "MaybePILToTensor",
    "MaybeToTensor",
    "PILToTensor",
    "RGB",
    "ToDtype",
    "ToImage",
    "ToPureTensor",
    "ToTensor",
}
_READABLE = _CONVERSIONS | {"CenterCrop", "CenterCropOrPad", "Grayscale", "Normalize", "Resize", "ResizeKeepRatio"}
_ADVICE = "Pass a likethat.Preprocess, or a function of a batch of images in [0, 1]."


def as_preprocess(anything: Any, network: nn.Module | None = None) -> Preprocess:
    """Return the preprocessing that `anything` stands for.

    Args:
        anything: None for a network that takes images in [0, 1] as they are; "auto" for what the network's
            configuration says; "default" for that where it carries one, and else None; a `Preprocess`; a dictionary of
            its arguments, of timm's or of Hugging Face's; the transforms of torchvision or timm; a Hugging Face image
            processor; or a function of a batch of views.
        network: whose configuration "auto" and "default" read.

    Raises:
        InputError: nothing of these, or transforms that cannot be read exactly.

    Example:
        >>> as_preprocess({"size": 32, "mean": 0.5, "std": 0.5}).input_size
        (32, 32)
    """
    if isinstance(anything, Preprocess):
        return anything
    if anything is None:
        return Preprocess()
    if isinstance(anything, str):
        if anything not in ("auto", "default"):
            raise InputError(f"`preprocess` must be 'auto' where it is a word, got {shown(anything)}. {_ADVICE}")
        if network is None:
            return _from_network(network) if anything == "auto" else Preprocess()
        part = configured_part(network)
        if anything == "auto":
            return _from_network(part)
        return _if_configured(part) if is_given_images(network, part) else Preprocess()
    return _from_mapping(anything) if isinstance(anything, Mapping) else _from_transforms(anything)


def _from_transforms(anything: Any) -> Preprocess:
    if hasattr(anything, "val_transforms"):  # Hugging Face's wrapper of timm's
        return _from_transforms(anything.val_transforms)
    if hasattr(anything, "image_mean") or hasattr(anything, "do_resize"):
        return _checked_processor(anything, _from_processor(anything))
    if all(hasattr(anything, name) for name in ("crop_size", "resize_size", "mean", "std")):
        return _from_preset(anything)
    steps = _steps(anything)
    if steps is not None:
        return _from_steps(steps)
    if not callable(anything):
        raise InputError(
            f"`preprocess` must be transforms, a function, 'auto' or None, got {shown(anything)}. {_ADVICE}"
        )
    return Preprocess(transform=anything)


def _if_configured(network: Any) -> Preprocess:
    """Return what the network's configuration says, or images as they are where it carries none."""
    if timm_settings(network) is None and not hasattr(network, "timm_model"):
        try:
            if (processor := hub_processor(network)) is None:
                return Preprocess()
        except InputError as error:
            warn(
                f"{type(network).__name__} gets images in [0, 1] as they are: {error} preprocess=None silences this.",
            )
            return Preprocess()
        return as_preprocess(processor)
    return _from_network(network)


def _from_network(network: Any) -> Preprocess:
    settings = timm_settings(network)
    if settings is not None:
        found = Preprocess(**timm_preprocess(settings, network))
        _say_if_averaged(len(settings["mean"]), found.channels, network)
        return found
    inner = getattr(network, "timm_model", None)
    if inner is not None:
        return _from_network(inner)
    processor = hub_processor(network)
    if processor is None:
        raise InputError(
            f"`preprocess` 'auto' must find a configuration, and {type(network).__name__} carries none. Pass the "
            "transforms it was trained with, such as weights.transforms() of torchvision."
        )
    return as_preprocess(processor)


def _say_if_averaged(configured: int, channels: int | None, network: Any) -> None:
    if channels is not None and channels > 3 and configured not in (1, channels):
        warn(
            f"The configuration of {type(network).__name__} holds mean and std of {configured} channels, and the "
            f"network takes {channels}: each gets their average. Pass preprocess= with the numbers of your own bands.",
        )


def _from_mapping(settings: Mapping[str, Any]) -> Preprocess:
    if "input_size" in settings:
        size = settings["input_size"]
        if not isinstance(size, list | tuple) or len(size) != 3:
            raise InputError(
                f"`preprocess` must hold timm's `input_size`, (channels, height, width), got {shown(size)}. Of "
                "likethat's own arguments it is `size`: {'size': 224}."
            )
        return Preprocess(**timm_preprocess({"mean": (0.0,), "std": (1.0,), **settings}))
    if "image_mean" in settings or "do_resize" in settings:
        return _from_processor(SimpleNamespace(**settings))
    known = [field.name for field in fields(Preprocess)]
    unknown = [str(key) for key in settings if key not in known]
    if unknown:
        raise InputError(f"`preprocess` must hold arguments of Preprocess ({', '.join(known)}), got {unknown}.")
    return Preprocess(**settings)


def _from_preset(preset: Any) -> Preprocess:
    """Read torchvision's ``weights.transforms()``: shorter side, centre crop, normalisation."""
    crop, resize = list(preset.crop_size), list(preset.resize_size)
    return Preprocess(
        size=(crop[0], crop[-1]),
        resize=resize[0] if len(resize) == 1 else (resize[0], resize[1]),
        crop="center" if len(resize) == 1 else "squash",
        mean=tuple(preset.mean),
        std=tuple(preset.std),
        interpolation=interpolation_of(preset.interpolation),  # type: ignore[arg-type]  # checked in Preprocess
    )


def _steps(anything: Any) -> list[Any] | None:
    """Return the steps of a Compose, nested ones opened; None where this is something else."""
    inner = getattr(anything, "transforms", None)
    if isinstance(anything, nn.Sequential) and all(type(step).__name__ in _READABLE for step in anything):
        inner = list(anything)
    if inner is None and type(anything).__name__ in _READABLE and not isinstance(anything, nn.Identity):
        inner = [anything]
    if not isinstance(inner, Iterable):
        return None
    return [step for one in inner for step in (_steps(one) if hasattr(one, "transforms") else [one]) or []]


def _from_steps(steps: list[Any]) -> Preprocess:
    found: dict[str, Any] = {}
    for step in steps:
        kind = type(step).__name__
        if kind not in _READABLE:
            raise InputError(f"`preprocess` must be steps that can be read exactly, got {kind}. {_ADVICE}")
        if kind in ("Resize", "ResizeKeepRatio"):
            if "size" in found:
                raise InputError(f"`preprocess` must resize before it crops, got {kind} after. {_ADVICE}")
            found |= _resize_step(step, keeps_ratio=kind == "ResizeKeepRatio")
        elif kind in ("CenterCrop", "CenterCropOrPad"):
            if "resize" not in found:
                raise InputError(f"`preprocess` must resize before {kind}, got no Resize. {_ADVICE}")
            found["size"] = _pair(step.size)
        elif kind == "Normalize":
            found |= {"mean": _tuple(step.mean), "std": _tuple(step.std)}
        elif kind == "Grayscale":
            if step.num_output_channels != 1:
                raise InputError(f"`preprocess` must give one grey channel, got Grayscale to 3. {_ADVICE}")
            found["channels"] = 1
    if "size" not in found and "resize" in found:
        found["size"] = _pair(found["resize"])
    return Preprocess(**found)


def _resize_step(step: Any, *, keeps_ratio: bool) -> dict[str, Any]:
    size = step.size if isinstance(step.size, int) else tuple(step.size)
    if size is None or getattr(step, "max_size", None) is not None:
        raise InputError(f"`preprocess` must resize to one size, got Resize with max_size. {_ADVICE}")
    size = size[0] if isinstance(size, tuple) and len(size) == 1 else size
    longest = keeps_ratio and getattr(step, "longest", 0.0) == 1.0
    crop = "center" if isinstance(size, int) or keeps_ratio else "squash"
    return {
        "resize": size,
        "crop": "border" if longest else crop,
        "interpolation": interpolation_of(step.interpolation),
    }


def _from_processor(processor: Any) -> Preprocess:
    """Read a Hugging Face image processor by its attributes."""
    found = _processor_size(processor)
    found |= {"interpolation": interpolation_of(getattr(processor, "resample", None)), "rounding": "down"}
    # The processor counts pixels from 0 to 255: x -> x * scale - offset, then (x - mean) / std.
    scale = 255.0 * getattr(processor, "rescale_factor", 1 / 255) if getattr(processor, "do_rescale", True) else 255.0
    offset = 1.0 if getattr(processor, "rescale_offset", False) else 0.0
    mean, std = torch.zeros(1, dtype=torch.float32), torch.ones(1, dtype=torch.float32)
    if getattr(processor, "do_normalize", False):
        mean, std = (
            torch.tensor(processor.image_mean, dtype=torch.float32).view(-1),
            torch.tensor(processor.image_std, dtype=torch.float32).view(-1),
        )
    again = (
        std if getattr(processor, "include_top", False) else torch.ones(1, dtype=torch.float32)
    )  # EfficientNet divides twice
    found |= {"mean": _tuple((mean + offset) / scale), "std": _tuple(std * again / scale)}
    if getattr(processor, "do_flip_channel_order", False):
        found |= {"order": "bgr"}
    return Preprocess(**found)


def _processor_size(processor: Any) -> dict[str, Any]:
    size, crop_size = _entries(getattr(processor, "size", None)), _entries(getattr(processor, "crop_size", None))
    cropped = _square(crop_size) if getattr(processor, "do_center_crop", False) else None
    edge, fraction = size.get("shortest_edge"), getattr(processor, "crop_pct", None)
    if not getattr(processor, "do_resize", True):
        return {"size": cropped or _square(size)}
    if edge is None or size.get("longest_edge"):
        exact = _square(size)
        if exact is None:
            raise InputError(f"`preprocess` must resize to one size, got a processor with size {size}. {_ADVICE}")
        return {"size": cropped or exact, "resize": exact, "crop": "squash"}
    if fraction is None:
        return {"size": cropped or (edge, edge), "resize": edge}
    if cropped is None and edge >= 384:  # ConvNeXT stretches large inputs
        return {"size": (edge, edge), "crop": "squash"}
    return {"size": cropped or (edge, edge), "resize": int(edge / fraction)}


def _checked_processor(processor: Any, preprocess: Preprocess) -> Preprocess:
    """Compare with what the processor itself does to one image; processors have ways that no attribute tells."""
    image = (probe_images(1, 3, (240, 300), seed=3)[0] * 255).round()
    pixels = np.ascontiguousarray(image.byte().permute(1, 2, 0).numpy())
    try:
        own = torch.as_tensor(np.asarray(processor(images=pixels, return_tensors="np")["pixel_values"])).float()
    except Exception:  # a processor that needs more than an image; its attributes are all there is
        return preprocess
    ours = preprocess.normalise(preprocess.view(image / 255)[None])
    if own.shape != ours.shape or float((own - ours).abs().mean()) > 0.02 * float(own.std()):
        raise InputError(
            f"`preprocess` must be a processor that can be read exactly, and {type(processor).__name__} does more than "
            f"its settings say. {_ADVICE}"
        )
    return preprocess


def _entries(size: Any) -> dict[str, int]:
    if isinstance(size, int):
        return {"height": size, "width": size}
    names = ("height", "width", "shortest_edge", "longest_edge")
    values = {name: size.get(name) if isinstance(size, Mapping) else getattr(size, name, None) for name in names}
    return {name: int(value) for name, value in values.items() if value}


def _square(size: dict[str, int]) -> tuple[int, int] | None:
    if "height" in size and "width" in size:
        return size["height"], size["width"]
    edge = size.get("shortest_edge")
    return None if edge is None or "longest_edge" in size else (edge, edge)


def _pair(size: Any) -> tuple[int, int]:
    values = (size,) if isinstance(size, int) else tuple(size)
    return int(values[0]), int(values[-1])


def _tuple(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in torch.as_tensor(values, dtype=torch.float64).flatten())
