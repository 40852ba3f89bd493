"""Images to try a network with, and the logits in what it returns."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from likethat._checks import check_finite
from likethat.errors import NotAClassifierError
from likethat.models._libraries import configured_shape, first_channels

__all__ = ["candidate_shapes", "check_logits", "logits_of", "probe_images"]

SIZES = (224, 96, 64, 32, 28, 299, 384)


def probe_images(
    n_images: int, channels: int, size: tuple[int, int], *, seed: int
) -> Float[Tensor, "batch channel height width"]:
    """Draw images in [0, 1] that differ in colour, contrast, shape and texture; torch's own random state stays.

    Example:
        >>> tuple(probe_images(2, 3, (8, 8), seed=0).shape)
        (2, 3, 8, 8)
    """
    rng = torch.Generator().manual_seed(seed)
    images = torch.rand(n_images, channels, 1, 1, generator=rng).expand(-1, -1, *size) * 0.5
    for cells, strength in ((3, 0.8), (9, 0.6), (31, 0.4)):
        coarse = torch.rand(n_images, channels, min(cells, size[0]), min(cells, size[1]), generator=rng)
        contrast = strength * torch.rand(n_images, 1, 1, 1, generator=rng)
        images = (
            images
            + (nn.functional.interpolate(coarse, size=size, mode="bilinear", align_corners=False) - 0.4) * contrast
        )
    return (images + 0.1 * torch.randn(n_images, channels, *size, generator=rng)).clamp(0.0, 1.0)


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
    logits = result
    if isinstance(result, Mapping):
        logits = result.get("logits")
        if logits is None:
            keys = ", ".join(repr(key) for key in result)
            raise NotAClassifierError(
                f"`network` must return logits (batch, class), got a mapping with {keys} and no 'logits'. "
                "Wrap it in a module that returns the logits alone."
            )
    logits = getattr(logits, "logits", logits)
    if not isinstance(logits, Tensor):
        size = f" of {len(result)}" if isinstance(result, tuple | list) else ""
        raise NotAClassifierError(
            f"`network` must return logits (batch, class), got a {type(result).__name__}{size}. "
            "Wrap it in a module that returns the logits alone."
        )
    _check_shape(logits, n_images)
    return logits


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


def check_logits(logits: Tensor) -> None:
    """Raise `NonFiniteError` where finite weights gave NaN or infinite logits."""
    check_finite(logits, name="logits of the network on probe images")
