"""Images held in memory: arrays, tensors, and lists of anything that is an image."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from likethat.errors import InputError, NonFiniteError
from likethat.sources._decode import to_image
from likethat.sources.base import Sample

__all__ = ["Images"]


class Images:
    """Images in memory, or a list of paths.

    Args:
        images: tensor (image, channel, height, width), array (image, height, width[, channel]) or (image, channel,
            height, width), or a sequence of paths, PIL images, arrays and tensors of any size. Values are 8-bit, or
            floating in [0, 1]. In arrays the last axis is the channel if it has 1, 3 or 4 entries and the second has
            not.
        labels: class index of each image.
        names: what to call each image in a report; ``"image 0"`` and so on when None.
        class_names: name of each class index.

    Raises:
        InputError: no images, values outside [0, 1], or lists of different length.

    Example:
        >>> source = Images(torch.zeros(2, 3, 8, 8), labels=[0, 1])
        >>> len(source), source[1].name, source[1].label
        (2, 'image 1', 1)
    """

    def __init__(
        self,
        images: Any,
        labels: Sequence[int] | Tensor | np.ndarray[Any, Any] | None = None,
        names: Sequence[str] | None = None,
        *,
        class_names: Sequence[str] = (),
    ) -> None:
        self._images: Any = _stacked(images) if isinstance(images, Tensor | np.ndarray) else list(images)
        n = len(self._images)
        if n == 0:
            raise InputError("`images` must hold at least one image, got none.")
        for given, what in ((labels, "labels"), (names, "names")):
            if given is not None and len(given) != n:
                raise InputError(f"`{what}` must have one entry an image, got {len(given)} for {n} images.")
        self._labels = None if labels is None else [int(label) for label in labels]
        self._names = None if names is None else [str(name) for name in names]
        self.class_names = tuple(class_names)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._images)

    def name(self, index: int) -> str:
        """Return what image `index` is called."""
        if self._names is not None:
            return self._names[index]
        value = self._images[index] if isinstance(self._images, list) else None
        return str(value) if isinstance(value, str) or hasattr(value, "__fspath__") else f"image {index}"

    def label(self, index: int) -> int | None:
        """Return the class index of image `index`, where labels were given."""
        return None if self._labels is None else self._labels[index]

    def __getitem__(self, index: int) -> Sample:
        """Return image `index`."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        image = self._images[index] if isinstance(self._images, Tensor) else self._one(index)
        return Sample(image=image, name=self.name(index), label=self.label(index))

    def _one(self, index: int) -> Tensor:
        return to_image(self._images[index], name=self.name(index))

    def batch(self, start: int, stop: int) -> Float[Tensor, "image channel height width"] | None:
        """Return images of one size as a piece of the stacked tensor; None for a list."""
        return self._images[start:stop] if isinstance(self._images, Tensor) else None


def _stacked(images: Tensor | np.ndarray[Any, Any]) -> Tensor:
    """Return float32 images in [0, 1], (image, channel, height, width)."""
    values = torch.from_numpy(_channels_second(images)) if isinstance(images, np.ndarray) else images.detach().cpu()
    if values.ndim != 4:
        raise InputError(
            f"`images` must be (image, channel, height, width), got shape {tuple(images.shape)}."
            + (" One image needs the first axis too: images[None]." if images.ndim == 3 else "")
        )
    if values.dtype == torch.uint8:
        values = values.float() / 255.0
    elif values.dtype == torch.uint16:
        values = values.float() / 65535.0
    elif not values.is_floating_point():
        raise InputError(f"`images` must be uint8, uint16 or floating point in [0, 1], got {values.dtype}.")
    values = values.float()
    _check_values(values)
    return values


def _channels_second(images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if images.ndim == 3 and images.shape[-1] not in (1, 3, 4):
        images = images[:, None]
    if images.ndim == 4 and images.shape[-1] in (1, 3, 4) and images.shape[1] not in (1, 3, 4):
        images = np.moveaxis(images, -1, 1)
    return np.ascontiguousarray(images)


def _check_values(images: Tensor, *, block: int = 256) -> None:
    for start in range(0, len(images), block):
        part = images[start : start + block].flatten(1)
        if part.shape[1] == 0:
            raise InputError(f"`images` must hold pixels, got shape {tuple(images.shape)}.")
        low, high = part.amin(1), part.amax(1)
        bad = ~(torch.isfinite(low) & torch.isfinite(high))
        if bool(bad.any()):
            raise NonFiniteError(
                f"`images` must be finite, got NaN or infinity in image {start + int(bad.nonzero()[0])}."
            )
        bad = (low < -1e-3) | (high > 1 + 1e-3)
        if bool(bad.any()):
            at = int(bad.nonzero()[0])
            raise InputError(
                f"`images` must lie in [0, 1], got values from {float(low[at]):.3g} to {float(high[at]):.3g} in image "
                f"{start + at}. Leave out normalisation, the model does it; divide 8-bit values by 255."
            )
