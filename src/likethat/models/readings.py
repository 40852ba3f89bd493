"""Ways to read a module's output as a feature map, and to pool it into the vector that enters the head.

Each way is exact or it is not used: `likethat.split` accepts a reading only when it reproduces the pooled vector of
images that it has not seen. Nothing is guessed from names.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

# class token; none; + 4 registers; + distillation token; SO400M and friends; registers alone; then any up to 16
PREFIXES = (1, 0, 5, 2, 8, 4, 3, 6, 7, *range(9, 17))
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "": lambda values: values,
    "relu": nn.functional.relu,
    "silu": nn.functional.silu,
    "gelu": nn.functional.gelu,
    "gelu (tanh)": partial(nn.functional.gelu, approximate="tanh"),
    "hardswish": nn.functional.hardswish,
    "relu6": nn.functional.relu6,
    "leaky relu": nn.functional.leaky_relu,
    "leaky relu .1": partial(nn.functional.leaky_relu, negative_slope=0.1),  # YOLO's and Darknet's slope
    "leaky relu .2": partial(nn.functional.leaky_relu, negative_slope=0.2),  # that of GANs' discriminators
    "elu": nn.functional.elu,
    "selu": nn.functional.selu,
    "mish": nn.functional.mish,
    "softplus": nn.functional.softplus,
    "tanh": torch.tanh,
}


def token_grid(n_tokens: int, input_size: tuple[int, int]) -> tuple[int, int] | None:
    """Return rows and columns of `n_tokens` patches of an image, or None where no grid has the image's aspect.

    Example:
        >>> token_grid(196, (224, 224)), token_grid(8, (64, 128)), token_grid(7, (224, 224))
        ((14, 14), (2, 4), None)
    """
    height, width = input_size
    for patch in range(1, max(height, width) + 1):
        for rows, columns in ((height // patch, width // patch), (-(-height // patch), -(-width // patch))):
            if rows * columns == n_tokens:
                return rows, columns
    return None


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where batch, channels and space are in a module's output.

    Attributes:
        kind: the order of the axes.
        prefix: tokens before the patches.
    """

    kind: Literal["NCHW", "NHWC", "tokens"]
    prefix: int = 0

    def split(self, raw: Tensor, input_size: tuple[int, int]) -> tuple[Tensor, Tensor | None] | None:
        """Return the map (batch, channel, height, width) and the prefix tokens; None where this is no such layout."""
        if self.kind != "tokens":
            if raw.ndim != 4:
                return None
            return (raw if self.kind == "NCHW" else raw.permute(0, 3, 1, 2)), None
        if raw.ndim != 3 or raw.shape[1] <= self.prefix:
            return None
        grid = token_grid(raw.shape[1] - self.prefix, input_size)
        if grid is None:
            return None
        patches = raw[:, self.prefix :].transpose(1, 2).reshape(raw.shape[0], raw.shape[2], *grid)
        return patches, raw[:, : self.prefix] if self.prefix else None

    def join(self, feature_map: Tensor, prefix: Tensor | None) -> Tensor:
        """Return the module's output that holds this map: the inverse of `split`."""
        if self.kind == "NCHW":
            return feature_map
        if self.kind == "NHWC":
            return feature_map.permute(0, 2, 3, 1)
        patches = feature_map.flatten(2).transpose(1, 2)
        return patches if prefix is None else torch.cat([prefix, patches], dim=1)


def layouts(shape: tuple[int, ...], batch: int, input_size: tuple[int, int]) -> Iterator[Layout]:
    """Yield every layout that an output of this shape can have."""
    if len(shape) not in (3, 4) or shape[0] != batch:
        return
    if len(shape) == 4:
        yield Layout(kind="NCHW")
        yield Layout(kind="NHWC")
        return
    for prefix in PREFIXES:
        is_usual = prefix <= 8 or shape[1] > 2 * prefix  # as many tokens as patches, and more, are no prefix
        if is_usual and shape[1] > prefix and token_grid(shape[1] - prefix, input_size) is not None:
            yield Layout(kind="tokens", prefix=prefix)


def seems_channels_last(shape: tuple[int, ...]) -> bool:
    """Whether a four-axis output has its channels last: more of them than cells in a row, and rows as columns."""
    return len(shape) == 4 and shape[1] < shape[3] and shape[1] == shape[2]


class Step(Protocol):
    """A map of vectors that, given one vector, is affine: it can act on every cell with that vector's statistics."""

    @property
    def name(self) -> str:
        """What the step is called in `Reading.pooling`."""
        ...

    @property
    def mixes_channels(self) -> bool:
        """Whether an output channel depends on more than one input channel."""
        ...

    def __call__(self, cells: Tensor, vector: Tensor) -> Tensor:
        """Apply to cells (batch, channel, place) what the network applies to `vector` (batch, channel)."""
        ...


@dataclass(frozen=True, eq=False)
class _LayerNorm:
    """mean -> LayerNorm, moved onto the map: G = (F - mu(v)) / sd(v) * gamma + beta, so that mean G = LN(v)."""

    module: Any
    centred: bool
    mixes_channels = False

    @property
    def name(self) -> str:
        return "layer norm" if self.centred else "rms norm"

    def __call__(self, cells: Tensor, vector: Tensor) -> Tensor:
        shift = vector.mean(dim=1, keepdim=True) if self.centred else torch.zeros_like(vector[:, :1])
        eps = self.module.eps if self.module.eps is not None else torch.finfo(vector.dtype).eps
        scale = ((vector - shift).square().mean(dim=1, keepdim=True) + eps).rsqrt()
        cells = (cells - shift[..., None]) * scale[..., None]
        return _channelwise(cells, self.module.weight, getattr(self.module, "bias", None))


@dataclass(frozen=True, eq=False)
class _BatchNorm:
    """A batch norm in evaluation: one factor and one summand a channel."""

    module: Any
    mixes_channels = False
    name = "batch norm"

    def __call__(self, cells: Tensor, vector: Tensor) -> Tensor:  # noqa: ARG002
        module = self.module
        scale = (module.running_var.float() + module.eps).rsqrt()
        return _channelwise((cells - module.running_mean.float()[:, None]) * scale[:, None], module.weight, module.bias)


@dataclass(frozen=True, eq=False)
class _Linear:
    """A bare linear map (or 1x1 convolution), the same in every cell."""

    module: Any
    mixes_channels = True
    name = "linear"

    def __call__(self, cells: Tensor, vector: Tensor) -> Tensor:  # noqa: ARG002
        weight, bias = self.module.weight.float().flatten(1), self.module.bias
        cells = torch.matmul(weight, cells)
        return cells if bias is None else cells + bias.float()[:, None]


def _channelwise(cells: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    if weight is not None:
        cells = cells * weight.float().reshape(-1, 1)
    return cells if bias is None else cells + bias.float().reshape(-1, 1)


def is_linear_map(module: nn.Module) -> bool:
    """Whether the module is a linear map of one vector: Linear, or a 1x1 convolution without groups."""
    if isinstance(module, nn.Linear):
        return True
    return (
        isinstance(module, nn.Conv2d)
        and module.kernel_size == (1, 1)
        and module.stride == (1, 1)
        and module.groups == 1
        and module.padding in (0, (0, 0))
    )


def step_of(module: nn.Module) -> list[Step]:
    """Return the ways to move a vector module onto the map; none where it is not affine."""
    if is_linear_map(module):
        return [_Linear(module)]
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        # A subclass may hold an activation (timm's BatchNormAct2d); the numbers decide.
        return [_BatchNorm(module)] if module.running_mean is not None else []
    weight = getattr(module, "weight", None)
    if hasattr(module, "eps") and not hasattr(module, "num_groups") and (weight is None or weight.ndim == 1):
        return [_LayerNorm(module, centred=True), _LayerNorm(module, centred=False)]
    return []


def _spatial_mean(cells: Tensor, _: Tensor | None) -> tuple[Tensor, Tensor]:
    return cells, cells.mean(dim=2)


def _spatial_max(cells: Tensor, _: Tensor | None) -> tuple[Tensor, Tensor]:
    """Keep each channel's largest cell, times the number of cells: the mean of that map is the maximum."""
    largest, where = cells.max(dim=2, keepdim=True)
    kept = torch.zeros_like(cells).scatter(2, where, largest * cells.shape[2])
    return kept, largest[..., 0]


def _mean_and_max(cells: Tensor, _: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the map whose mean is half the mean and half the maximum."""
    kept, largest = _spatial_max(cells, None)
    return (cells + kept) / 2, (cells.mean(dim=2) + largest) / 2


def _class_token(cells: Tensor, prefix: Tensor | None) -> tuple[Tensor, Tensor]:
    assert prefix is not None
    return cells, prefix[:, 0]


Part = Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor]]


@dataclass(frozen=True, kw_only=True)
class _Pool:
    """A pooling: its parts side by side, and the weight of each part's mean in the pooled vector."""

    name: str
    parts: tuple[Part, ...]
    weights: tuple[float, ...]
    needs_prefix: bool = False
    remainder: str = ""


_GLANCE = 8  # channels: of a hundred readings of each of some hundred maps, almost all fail on the first few

POOLS = (
    _Pool(name="mean", parts=(_spatial_mean,), weights=(1.0,)),
    _Pool(name="class token", parts=(_class_token,), weights=(0.0,), needs_prefix=True, remainder="class token"),
    _Pool(
        name="class token + mean",
        parts=(_class_token, _spatial_mean),
        weights=(0.0, 1.0),
        needs_prefix=True,
        remainder="class token",
    ),
    _Pool(
        name="mean + class token",
        parts=(_spatial_mean, _class_token),
        weights=(1.0, 0.0),
        needs_prefix=True,
        remainder="class token",
    ),
    _Pool(name="max", parts=(_spatial_max,), weights=(1.0,)),
    _Pool(name="(mean + max) / 2", parts=(_mean_and_max,), weights=(1.0,)),
    _Pool(name="mean + max", parts=(_spatial_mean, _spatial_max), weights=(1.0, 1.0)),
    _Pool(name="max + mean", parts=(_spatial_max, _spatial_mean), weights=(1.0, 1.0)),
)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One way from a module's output to the vector that enters the head.

    Attributes:
        layout: where the axes are.
        activation: name of what acts on every cell before the pooling, or "".
        pool: how cells and prefix tokens become one vector.
        steps: what acts on that vector before the head, moved onto the map.
    """

    layout: Layout
    activation: str
    pool: _Pool
    steps: tuple[Step, ...] = ()

    @property
    def pooling(self) -> str:
        """The reading in words, such as "relu, mean" or "mean, layer norm"."""
        return ", ".join(
            part for part in (self.activation, self.pool.name, *(step.name for step in self.steps)) if part
        )

    @property
    def remainder_name(self) -> str:
        """What the pooled vector holds beside the map."""
        return self.pool.remainder

    @property
    def is_exact(self) -> bool:
        """Whether the weights of the channels survive the steps: mixing weighted with unweighted channels does not."""
        return len(set(self.pool.weights)) == 1 or not any(step.mixes_channels for step in self.steps)

    @property
    def additive(self) -> bool:
        """Whether the pooled vector is the mean of the map and nothing else."""
        return all(weight == 1.0 for weight in self.pool.weights)

    def weight(self, n_channels: int, device: torch.device) -> Float[Tensor, " channel"]:
        """Return the weight of each channel's mean in the pooled vector."""
        if len(self.pool.weights) == 1:
            return torch.full((n_channels,), self.pool.weights[0], device=device, dtype=torch.float32)
        part = torch.tensor(self.pool.weights, device=device, dtype=torch.float32)
        return part.repeat_interleave(n_channels // len(self.pool.weights))

    def begins_as(self, parts: tuple[Tensor, Tensor | None], vector: Tensor, tolerance: float) -> bool:
        """Whether the first channels of the first image are those of a vector: a glance, before all of them are read.

        Args:
            parts: an output in this layout: the map and the tokens before it.
            vector: (batch, channel) that the reading should give.
            tolerance: of the largest number of the vector.
        """
        feature_map, prefix = parts
        if feature_map.shape[1] * len(self.pool.parts) != vector.shape[1] or (
            self.pool.needs_prefix and prefix is None
        ):
            return False
        act, some = ACTIVATIONS[self.activation], slice(_GLANCE)
        cells = act(feature_map[:1, some].flatten(2).float())
        begun = self.pool.parts[0](cells, None if prefix is None else act(prefix[:1, :, some].float()))[1]
        return bool((begun - vector[:1, : begun.shape[1]]).abs().max() <= tolerance * vector.abs().max())

    def apply(self, raw: Tensor, input_size: tuple[int, int]) -> tuple[Tensor, Tensor] | None:
        """Return the feature map and the pooled vector that this reading predicts, in float32.

        None where the output does not have the layout (or a channel count that the steps take).
        """
        parts = self.layout.split(raw.float(), input_size)
        if parts is None:
            return None
        feature_map, prefix = parts
        if self.pool.needs_prefix and prefix is None:
            return None
        act = ACTIVATIONS[self.activation]
        cells = act(feature_map.flatten(2))
        prefix = None if prefix is None else act(prefix)
        pooled = [part(cells, prefix) for part in self.pool.parts]
        cells = pooled[0][0] if len(pooled) == 1 else torch.cat([part[0] for part in pooled], dim=1)
        vector = pooled[0][1] if len(pooled) == 1 else torch.cat([part[1] for part in pooled], dim=1)
        for step in self.steps:
            cells, vector = step(cells, vector), step(vector[..., None], vector)[..., 0]
        return cells.reshape(*cells.shape[:2], *feature_map.shape[2:]), vector


def readings(layout: Layout) -> Iterator[Reading]:
    """Yield every reading of a map in this layout without steps, the plainest first."""
    for activation in ACTIVATIONS:
        for pool in POOLS:
            if layout.prefix or not pool.needs_prefix:
                yield Reading(layout=layout, activation=activation, pool=pool)
