"""Images to try a network with, and the logits in what it returns."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from likethat._checks import check_finite, check_images
from likethat.errors import InputError, ModelError, NotAClassifierError
from likethat.models._libraries import configured_shape, first_channels
from likethat.models._state import device_of, floating_type
from likethat.models._trace import Captured, capturing, relative_error
from likethat.models.preprocessing import Preprocess

_OF_FEATURES = ("embed", "feat", "hidden", "pool")  # in the name of an entry that is no logits, such as pooler_output
SIZES = (224, 96, 64, 32, 28, 299, 384)  # tried where a network does not say its own, the most usual first

TOLERANCE = {torch.float64: 1e-5, torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}
TENSOR_FLOAT = 5e-3  # what TF32 kernels on a GPU leave of a float32 product


@dataclass(frozen=True, kw_only=True, eq=False)
class Probes:
    """Two batches of inputs, as the network takes them, and its logits for each.

    Attributes:
        first: inputs that readings are searched with.
        second: other inputs, that a reading must hold on.
        first_logits: the network's own.
        second_logits: the network's own.
        taken: which entry of the network's output the logits are, in words; "" where it gives nothing else.
        astray: layers whose map was refused, as its cells follow no place of the picture each; it grows.
        heads: what calls of heads took and gave in a pass of the first batch; it grows.
        seen: what the search for a replay saw in a pass, once it was made.
    """

    first: Tensor
    second: Tensor
    first_logits: Tensor
    second_logits: Tensor
    taken: str = ""
    astray: list[str] = field(default_factory=list)
    heads: dict[tuple[nn.Module, int], Captured] = field(default_factory=dict)
    seen: list[Any] = field(default_factory=list)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the inputs."""
        return self.first.shape[-2], self.first.shape[-1]

    @property
    def tolerance(self) -> float:
        """The largest relative error that counts as exact in the network's type."""
        return TOLERANCE.get(self.first.dtype, 1e-5)

    @property
    def head_tolerance(self) -> float:
        """The same for the head's product, which a GPU may round to TF32."""
        return tolerance_of(self.first.dtype, self.first.device)

    def at(self, network: nn.Module, head: Any) -> Captured:
        """Return what the call of a head took and gave for the first batch."""
        where = (head.module, head.index)
        if where not in self.heads:
            with capturing(*where, clone=True) as self.heads[where]:
                network(self.first)
        return self.heads[where]

    def check_same(self, logits: Tensor) -> None:
        """Raise `ModelError` unless these, from another pass of the first batch, are the first's logits."""
        difference = relative_error(logits, self.first_logits)
        if difference > self.head_tolerance:
            raise ModelError(
                f"`network` must give the same logits for the same images, got a relative difference of "
                f"{difference:.1e}. Turn its randomness off in evaluation mode (F.dropout: training=self.training)."
            )


def tolerance_of(dtype: torch.dtype, device: torch.device) -> float:
    """Return the largest relative error of a product that counts as exact in a type; a GPU may round to TF32."""
    own = TOLERANCE.get(dtype, 1e-5)
    return max(own, TENSOR_FLOAT) if device.type == "cuda" else own


def probe_images(
    n_images: int, channels: int, size: tuple[int, int], *, seed: int
) -> Float[Tensor, "batch channel height width"]:
    """Draw images in [0, 1] that differ in colour, contrast, shape and texture; torch's own random state stays.

    Example:
        >>> tuple(probe_images(2, 3, (8, 8), seed=0).shape)
        (2, 3, 8, 8)
    """
    rng = torch.Generator().manual_seed(seed)
    images = torch.rand(n_images, channels, 1, 1, generator=rng, dtype=torch.float32).expand(-1, -1, *size) * 0.5
    for cells, strength in ((3, 0.8), (9, 0.6), (31, 0.4)):
        coarse = torch.rand(
            n_images, channels, min(cells, size[0]), min(cells, size[1]), generator=rng, dtype=torch.float32
        )
        contrast = strength * torch.rand(n_images, 1, 1, 1, generator=rng, dtype=torch.float32)
        images = (
            images
            + (nn.functional.interpolate(coarse, size=size, mode="bilinear", align_corners=False) - 0.4) * contrast
        )
    return (images + 0.1 * torch.randn(n_images, channels, *size, generator=rng, dtype=torch.float32)).clamp(0.0, 1.0)


def candidate_shapes(
    network: nn.Module, channels: int | None, size: tuple[int, int] | None
) -> Iterator[tuple[int, int, int]]:
    """Yield (channel, height, width) to try, most likely first.

    What the caller knows comes first, then the network's own configuration (timm, Hugging Face), then its first
    convolution and the usual sizes.
    """
    known_channels, known_size = configured_shape(network)
    channels, size = channels or known_channels, size or known_size
    counts = [channels] if channels else list(dict.fromkeys([first_channels(network) or 3, 3, 1]))
    for side in [size] if size else [(side, side) for side in SIZES]:
        for count in counts:
            yield count, *side


def logits_of(result: Any, n_images: int) -> Float[Tensor, "batch cls"]:
    """Return the logits in what a network returned.

    Raises:
        NotAClassifierError: there are none.
        NonFiniteError: some are NaN or infinite.
    """
    logits, _ = chosen_logits(result, n_images)
    _check_shape(logits, n_images)
    return logits


def chosen_logits(result: Any, n_images: int) -> tuple[Tensor, str]:
    """Return the logits in what a network returned, and in words which entry that is; "" where it needs no words.

    Taken are: a tensor; what is called ``logits``; the one entry that has a row an image; of a pair of equal shape the
    first, the second being an auxiliary head's as in torchvision's Inception.

    Raises:
        NotAClassifierError: there are none, or it cannot be told which.
    """
    if isinstance(result, Tensor):
        return result, ""
    named = result.get("logits") if isinstance(result, Mapping) else getattr(result, "logits", None)
    if isinstance(named, Tensor):
        return named, ""
    entries = _entries(result)
    tensors = {where: value for where, value in entries.items() if isinstance(value, Tensor)}
    rows = {
        where: value
        for where, value in tensors.items()
        if value.ndim == 2 and len(value) == n_images and not any(word in where.lower() for word in _OF_FEATURES)
    }
    is_pair = isinstance(result, tuple | list) and len(result) == 2 and len({row.shape for row in rows.values()}) == 1
    if len(rows) == 1 or (len(rows) == 2 and is_pair):
        where, taken = next(iter(rows.items()))
    elif len(tensors) == 1 and not rows and not isinstance(result, Mapping):
        where, taken = next(iter(tensors.items()))  # of another shape, which is said with advice
    else:
        raise NotAClassifierError(_no_logits(result, entries, rows))
    alone = len(entries) == 1
    return taken, "" if alone else f"Its logits are {where} of the {len(entries)} entries that it returns."


def _entries(result: Any) -> dict[str, Any]:
    if isinstance(result, Mapping):
        return {repr(key): value for key, value in result.items()}
    if isinstance(result, tuple | list):
        names = getattr(result, "_fields", ())  # of a named tuple
        return {repr(names[place]) if names else f"number {place}": value for place, value in enumerate(result)}
    return {}


def _no_logits(result: Any, entries: Mapping[str, Any], rows: Mapping[str, Tensor]) -> str:
    got = f"a {type(result).__name__}" + (f" with {', '.join(list(entries)[:6])}" if entries else "")
    if rows:
        shapes = ", ".join(f"{where} {tuple(value.shape)}" for where, value in list(rows.items())[:6])
        got += f", of which {len(rows)} may be meant: {shapes}"
    return f"`network` must return logits (batch, class), got {got}. Wrap it in a module that returns the logits alone."


def _check_shape(logits: Tensor, n_images: int) -> None:
    shape = tuple(logits.shape)
    start = f"`network` must return logits (batch = {n_images}, class), got shape {shape}"
    if logits.ndim == 4 and shape[2:] == (1, 1):
        raise NotAClassifierError(f"{start}: one cell a class. Add nn.Flatten() after it.")
    if logits.ndim == 4:
        raise NotAClassifierError(
            f"{start}: a map of classes, as segmentation gives. Add a pooling over space after it."
        )
    if logits.ndim == 3:
        raise NotAClassifierError(f"{start}: features of tokens. Add its pooling and its head.")
    if logits.ndim == 1:
        raise NotAClassifierError(f"{start}. Keep the class axis: return logits[:, None] for one class.")
    if logits.ndim != 2 or shape[0] != n_images:
        raise NotAClassifierError(f"{start}. Wrap it in a module that returns one row an image.")
    if shape[1] == 0:
        raise NotAClassifierError(f"{start}: no classes at all. Give it a head with at least one class.")


def probings(network: nn.Module, preprocess: Preprocess, example: Tensor | None) -> Iterator[tuple[Probes, int]]:
    """Yield batches that the network takes, with its logits and its number of channels, the likeliest size first.

    Raises:
        ModelError: it runs at no size, or not twice the same.
    """
    channels, size = preprocess.channels, preprocess.input_size
    if example is not None:
        if isinstance(example, Tensor) and example.ndim == 3:
            example = example[None]
        check_images(example, name="example")
        if not example.numel():
            raise InputError(f"`example` must hold at least one image, got shape {tuple(example.shape)}.")
        channels, size = channels or example.shape[1], size or (example.shape[2], example.shape[3])
    problem: Exception | None = None
    runs = False
    for count, height, width in candidate_shapes(network, channels, size):
        views = [probe_images(n, count, (height, width), seed=seed) for n, seed in ((2, 0), (3, 1))]
        try:
            inputs = [_prepare(network, preprocess, view) for view in views]
            result = network(inputs[0])
        except Exception as error:
            problem = problem or error
            continue
        runs = True
        yield _probes(network, inputs, result), count
    if not runs:
        raise ModelError(
            f"`network` must run on a batch of images, but raised {type(problem).__name__}: {_first_line(problem)} "
            "Pass `example=`, images in [0, 1] of the size and channels it takes."
        ) from problem


def _prepare(network: nn.Module, preprocess: Preprocess, views: Tensor) -> Tensor:
    return preprocess.normalise(views.to(device_of(network))).to(floating_type(network))


def _probes(network: nn.Module, inputs: list[Tensor], result: Any) -> Probes:
    logits = logits_of(result, len(inputs[0])).clone()
    _check_classes(network)
    check_finite(logits, name="logits of the network on probe images")
    second = logits_of(network(inputs[1]), len(inputs[1])).clone()
    return Probes(
        first=inputs[0],
        second=inputs[1],
        first_logits=logits,
        second_logits=second,
        taken=chosen_logits(result, len(inputs[0]))[1],
    )


def _check_classes(network: Any) -> None:
    """Refuse a feature extractor that says itself that it has no classes."""
    if getattr(network, "num_classes", None) == 0:
        raise NotAClassifierError(
            "`network` must have classes, got num_classes = 0. Create it with its number of classes."
        )


def _first_line(error: Exception | None) -> str:
    line = (str(error).strip().splitlines() or [""])[0]
    return line if line.endswith(".") else f"{line}."
