"""`likethat.repair`: the same network without one direction."""

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from likethat._calls import public
from likethat._files import write_whole
from likethat._options import check_flag, check_path, shown
from likethat._session import in_own_session
from likethat._version import __version__
from likethat.errors import InputError, ModelError
from likethat.explanations.audit import Shortcut
from likethat.functional.removal import without_direction
from likethat.models import SplitModel, as_model, check_model, split

_OFF = 1e-3  # relative: a head in half precision is off by less
_PROBES = 4  # images that the repaired network is tried on


@public
@in_own_session
@dataclass(frozen=True, kw_only=True, eq=False)
class Repaired:
    """A copy of a network that no longer sees one direction of its features; the network itself is as it was.

    Attributes:
        model: the copy, split as the original was; ``repaired.model.network`` is a module like the user's own.
        shortcut: what was taken out, with what it costs.
        layer: dotted name of the one layer that differs.
        original: name and value of that layer's parameters before.
    """

    model: SplitModel
    shortcut: Shortcut
    layer: str
    original: dict[str, Tensor]

    @property
    def network(self) -> nn.Module:
        """The copy."""
        return self.model.network

    def undo(self) -> nn.Module:
        """Return a copy of the network with the layer as it was, bit for bit."""
        network = copy.deepcopy(self.network)
        layer = network.get_submodule(self.layer)
        for name in ("weight", "bias"):
            value = self.original.get(name)
            setattr(layer, name, None if value is None else nn.Parameter(value.clone()))
        return network

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the weights as one safetensors file, with a note of what was done in its metadata.

        ``network.load_state_dict(safetensors.torch.load_file(path))`` and ``--weights path`` read it.

        Args:
            path: ending in .safetensors.
            overwrite: replace a file of that name.

        Raises:
            InputError: another ending, or a file stands there that holds something else.
            StorageError: the disk did not take it.
        """
        place = check_path(path)
        if place.suffix.lower() != ".safetensors":
            raise InputError(f"`path` must end in .safetensors, got {place.name!r}. Rename it.")
        state = {name: value.detach().cpu().contiguous().clone() for name, value in self.network.state_dict().items()}
        data = save_tensors(
            state, metadata={"likethat": json.dumps(self._note())}
        )  # one key: of several the order is not kept
        return write_whole(place, data, overwrite=check_flag(overwrite, name="overwrite"))

    def _note(self) -> dict[str, Any]:
        one = self.shortcut
        return {
            "what": "a network without one direction of its features",
            "likethat": __version__,
            "layer": self.layer,
            "made_from": one.fingerprint,
            "accuracy": _known(one.accuracy),
            "balanced": _known(one.balanced),
            "worst": _known(one.worst),
            "predictions_changed": one.n_predictions,
            "direction": one.direction.tolist(),
            "reader": one.reader.tolist(),
        }

    def __repr__(self) -> str:
        before, after = self.shortcut.balanced
        said = "" if np.isnan(before) else f", balanced accuracy {before:.2f} -> {after:.2f}"
        return f"<Repaired {self.model.name}: `{self.layer}` without one direction{said}>"


@public
@in_own_session
def repair(model: SplitModel | nn.Module, shortcut: Shortcut) -> Repaired:
    """Take a shortcut out of a network: a copy that differs in its last linear layer alone.

    The layer no longer sees how far features lie along the shortcut's direction, as its reader reads it, and its biases
    make classes as frequent as their labels again. What it costs is said before: `shortcut.accuracy`, `balanced` and
    `worst`, before and after, and `right_before`, `right_after` by class and state.

    Args:
        model: the model that was audited; a network is split.
        shortcut: one of ``likethat.audit(model, images).shortcuts``.

    Raises:
        InputError: no shortcut, or one of another model.
        ModelError: no single linear layer of the network is its head.

    Example:
        >>> found = lt.audit(model, images)  # doctest: +SKIP
        >>> better = lt.repair(model, found.clear[0]).network  # doctest: +SKIP
    """
    check_model(model)
    if not isinstance(shortcut, Shortcut):
        raise InputError(
            f"`shortcut` must be one of audit(model, images).shortcuts, got {shown(shortcut)}. Choose one of them."
        )
    given = as_model(model)
    given.require_linear("repair")
    given.require_classes("a repair")
    given.check_unchanged(fully=True)
    if given.fingerprint != shortcut.fingerprint:
        raise InputError(
            f"`shortcut` must be of this model, with fingerprint {given.fingerprint[:12]}…, got one of "
            f"{shortcut.fingerprint[:12]}…. Audit this model."
        )
    expected = (given.head.weight.shape[1], given.head.weight.shape[1], len(given.head.bias))
    if (len(shortcut.direction), len(shortcut.reader), len(shortcut.bias)) != expected:
        raise InputError(
            f"`shortcut` must hold a direction and a reader of {expected[0]} numbers and {expected[2]} biases, got "
            f"{len(shortcut.direction)}, {len(shortcut.reader)} and {len(shortcut.bias)}. Take it as it is."
        )
    direction, reader = (torch.from_numpy(one).double() for one in (shortcut.direction, shortcut.reader))
    weight = without_direction(given.head.weight.cpu().double(), direction, reader)
    bias = torch.from_numpy(shortcut.bias).double()
    for name in _heads_of(given):
        made = _replaced(given, name, weight, bias)
        if _fits(made, given, weight, bias):
            layer = given.network.get_submodule(name)
            original = {key: value.detach().clone() for key, value in layer.named_parameters()}
            return Repaired(model=made, shortcut=shortcut, layer=name, original=original)
    raise ModelError(
        f"`model` must have one linear layer whose weights are its head's, got {given.name}, whose head was "
        f"{given.how}. Replace its end by a linear layer on the pooled features, and train that."
    )


def _heads_of(model: SplitModel) -> list[str]:
    """Return the names of linear layers, and convolutions of one cell, that hold the head's weights."""
    found = []
    for name, module in model.network.named_modules():
        is_linear = isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1))
        if is_linear and name:
            weight = module.weight.detach().flatten(1).float()
            if weight.shape == model.head.weight.shape and torch.equal(weight, model.head.weight):
                found.append(name)
    return found


def _replaced(model: SplitModel, name: str, weight: Tensor, bias: Tensor) -> SplitModel:
    """Return a copy of the model with other numbers in one layer."""
    network = copy.deepcopy(model.network)
    layer = network.get_submodule(name)
    old: Tensor = layer.weight  # type: ignore[assignment]  # of a linear layer
    for key, value in (("weight", weight.reshape(old.shape)), ("bias", bias)):
        setattr(layer, key, nn.Parameter(value.to(old.device, old.dtype), requires_grad=old.requires_grad))
    example = torch.zeros(1, model.in_channels, *model.size, dtype=torch.float32)
    made = split(
        network,
        preprocess=model.preprocess,
        layer=model.layer,
        class_names=list(model.class_names),
        example=example,
        outputs=model.outputs,
    )
    made.name = model.name
    return made


@torch.no_grad()
def _fits(made: SplitModel, model: SplitModel, weight: Tensor, bias: Tensor) -> bool:
    """Whether the copy's own logits are those of the new head on the original's features."""
    rng = torch.Generator().manual_seed(0)
    images = torch.rand(_PROBES, model.in_channels, *model.size, generator=rng, dtype=torch.float32)
    wanted = model.pooled(images).cpu().double() @ weight.T + bias
    got = made.logits(images).cpu().double()
    return bool(((got - wanted).abs() <= _OFF * wanted.abs().amax().clamp_min(1)).all())


def _known(pair: tuple[float, float]) -> list[float | None]:
    return [None if np.isnan(one) else one for one in pair]
