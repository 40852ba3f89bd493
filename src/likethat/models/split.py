"""Cut any trained classifier before its pooling, exactly, or say why not."""

import difflib
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from likethat._checks import check_images
from likethat.errors import InputError, ModelError, NonFiniteError, NotAClassifierError
from likethat.models._builders import as_preprocess
from likethat.models._libraries import configured_name, configured_names
from likethat.models._probe import candidate_shapes, check_logits, logits_of, probe_images
from likethat.models._replay_search import find_replay
from likethat.models._search import Found, Probes, find_head, find_linear, head_copy
from likethat.models._state import device_of, floating_type, untouched, unwrap
from likethat.models._trace import relative_error
from likethat.models.fingerprint import fingerprint
from likethat.models.preprocessing import Preprocess
from likethat.models.split_model import Head, SplitModel

__all__ = ["split"]


def split(
    network: nn.Module,
    preprocess: Any = None,
    layer: str | None = None,
    class_names: Sequence[str] | None = None,
    example: Float[Tensor, "batch channel height width"] | None = None,
) -> SplitModel:
    """Cut a classifier into feature map, pooled vector and head, checked on the network itself.

    Args:
        network: an image classifier, in any mode, on any device; it comes back as it was.
        preprocess: None when the network takes images in [0, 1] as they are, "auto" to read its configuration, a
            `Preprocess`, a dictionary of its arguments, the library's transforms, or a function of a batch.
        layer: dotted name of the module to read the map from; None finds the one closest to the head.
        class_names: one name a class; None takes them from the network's configuration, else "class 0", ...
        example: images in [0, 1] of a size and channels that the network takes; None finds those out.

    Returns:
        The split model, whose logits are the network's own.

    Raises:
        ModelError: no layer's map decides the logits, or the network does not run.
        NotAClassifierError: no (batch, class) logits come out of it.
        NonFiniteError: weights that are NaN or infinite.
        InputError: class names, layer or example that do not fit.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> layers = [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)]
        >>> model = split(nn.Sequential(*layers).eval(), example=torch.rand(1, 3, 32, 32))
        >>> model.layer, model.pooling, model.n_channels, model.grid
        ('1', 'mean', 8, (30, 30))
    """
    network = _checked_network(network)
    prepared = as_preprocess(preprocess, network)
    _check_layer(network, layer)
    if any(module.training for module in network.modules()):
        warnings.warn(
            "The network is in training mode; likethat explains it in evaluation mode and gives the mode back. Call "
            "network.eval() first to silence this.",
            UserWarning,
            stacklevel=2,
        )
    with untouched(network):
        probes, channels = _probe(network, prepared, example)
        found, head, note = _find(network, probes, layer)
    names = _class_names(network, class_names, found.output.logits.shape[1])
    return SplitModel(
        network,
        found.reader,
        preprocess=_with_channels(prepared, channels),
        class_names=names,
        head=head,
        probed=found.output,
        name=configured_name(network),
        in_channels=channels,
        error=found.error,
        note=note,
        fingerprint=fingerprint(network, layer=found.reader.layer, pooling=found.reader.pooling),
    )


def _find(network: nn.Module, probes: Probes, layer: str | None) -> tuple[Found, Head | None, str]:
    """Return the split, its head where it is linear, and a sentence on its limits."""
    head, before = find_head(network, probes)
    why = "no linear layer gives its logits"
    if head is None:
        _check_has_head(network)
    else:
        if head.activated:
            warnings.warn(
                f"The network returns {head.activated} values; likethat explains the logits of `{head.name}` before "
                "them.",
                UserWarning,
                stacklevel=3,
            )
        found, why = find_linear(network, probes, head, before, layer=layer)
        if found is not None:
            cells = found.output.feature_map[0, 0].numel()
            note = "" if cells > 1 else "The map has a single cell: explanations cannot say where."
            return found, head_copy(head.module), note
    replayed = find_replay(
        network, probes, layer=layer, activated=head if head is not None and head.activated else None
    )
    if replayed is None:
        where = f"of `{layer}` " if layer is not None else ""
        raise ModelError(
            f"`network` ({configured_name(network)}) cannot be split: {why}, and no map {where}decides its logits. "
            "Name a convolution or block whose output is (batch, channel, height, width): split(network, layer=...)."
        )
    note = f"There are no contributions: {why}, so the network is replayed from `{replayed.reader.layer}`."
    return replayed, None, note


def _checked_network(network: Any) -> nn.Module:
    if not isinstance(network, nn.Module):
        hint = " Pass an instance of it." if isinstance(network, type) else " For a bare function use lt.BlackBox."
        raise InputError(f"`network` must be a torch.nn.Module, got {type(network).__name__}.{hint}")
    network = unwrap(network)
    if isinstance(network, torch.jit.ScriptModule):
        raise ModelError("`network` must be a module in eager mode, got TorchScript. Pass the module it was made from.")
    for name, value in (*network.named_parameters(), *network.named_buffers()):
        if value.is_meta:
            raise ModelError(f"`network` must hold its weights, got `{name}` on the meta device. Load them first.")
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise NonFiniteError(f"`network` must have finite weights, got NaN or infinity in `{name}`. Load it again.")
    return network


def _check_layer(network: nn.Module, layer: str | None) -> None:
    if layer is None:
        return
    names = [name for name, _ in network.named_modules() if name]
    if layer not in names:
        close = difflib.get_close_matches(str(layer), names, n=3, cutoff=0.3) or names[-3:]
        raise InputError(
            f"`layer` must name a module of the network, got {layer!r}. Close to it: "
            f"{', '.join(repr(name) for name in close)}."
        )


def _probe(network: nn.Module, preprocess: Preprocess, example: Tensor | None) -> tuple[Probes, int]:
    """Return two batches that the network takes, with its logits, and its number of channels."""
    channels, size = preprocess.channels, preprocess.input_size
    if example is not None:
        if isinstance(example, Tensor) and example.ndim == 3:
            example = example[None]
        check_images(example, name="example")
        channels, size = channels or example.shape[1], size or (example.shape[2], example.shape[3])
    problem: Exception | None = None
    for count, *side in candidate_shapes(network, channels, size):
        views = [probe_images(n, count, (side[0], side[1]), seed=seed) for n, seed in ((2, 0), (3, 1))]
        try:
            inputs = [_prepare(network, preprocess, view) for view in views]
            result = network(inputs[0])
        except Exception as error:
            problem = problem or error
            continue
        return _probes(network, inputs, result), count
    raise ModelError(
        f"`network` must run on a batch of images, but raised {type(problem).__name__}: {_first_line(problem)} Pass "
        "`example=`, images in [0, 1] of the size and channels it takes."
    ) from problem


def _prepare(network: nn.Module, preprocess: Preprocess, views: Tensor) -> Tensor:
    return preprocess.normalise(views.to(device_of(network))).to(floating_type(network))


def _probes(network: nn.Module, inputs: list[Tensor], result: Any) -> Probes:
    logits = logits_of(result, len(inputs[0]))
    _check_classes(network)
    check_logits(logits)
    probes = Probes(
        first=inputs[0],
        second=inputs[1],
        first_logits=logits.clone(),
        second_logits=logits_of(network(inputs[1]), len(inputs[1])).clone(),
    )
    again = relative_error(logits_of(network(inputs[0]), len(inputs[0])), probes.first_logits)
    if again > probes.head_tolerance:
        raise ModelError(
            f"`network` must give the same logits for the same images, got a relative difference of {again:.1e}. Turn "
            "its randomness off in evaluation mode (F.dropout needs training=self.training)."
        )
    return probes


def _check_classes(network: Any) -> None:
    """Refuse a feature extractor that says itself that it has no classes."""
    if getattr(network, "num_classes", None) == 0:
        raise NotAClassifierError(
            "`network` must have classes, got num_classes = 0. Create it with its number of classes."
        )


def _check_has_head(network: nn.Module) -> None:
    for name in ("fc", "classifier", "head", "heads"):
        if isinstance(getattr(network, name, None), nn.Identity):
            raise NotAClassifierError(
                f"`network` must be a classifier, got one whose `{name}` is nn.Identity. Put its head back."
            )


def _class_names(network: Any, class_names: Sequence[str] | None, n_classes: int) -> tuple[str, ...]:
    if class_names is not None:
        names = tuple(str(name) for name in class_names)
        if isinstance(class_names, str) or len(names) != n_classes:
            raise InputError(
                f"`class_names` must hold {n_classes} names as the network has {n_classes} classes, got {len(names)}."
            )
        return names
    known = configured_names(network, n_classes)
    if known is not None:
        return known
    return tuple(f"class {index}" for index in range(n_classes))


def _with_channels(preprocess: Preprocess, channels: int) -> Preprocess:
    return preprocess if preprocess.channels is not None else replace(preprocess, channels=channels)


def _first_line(error: Exception | None) -> str:
    line = (str(error).strip().splitlines() or [""])[0]
    return line if line.endswith(".") else f"{line}."
