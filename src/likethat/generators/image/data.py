"""Training images for a generator: everything at one size, as bytes, in memory."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from likethat._checks import check_count
from likethat._options import shown
from likethat._progress import Stage, Watcher
from likethat.errors import InputError
from likethat.sources import ImageSource, Sample, Skipped, as_source, read

MINIMUM, SMALLEST, USUAL = 16, 8, 64
"""Images to learn anything from; pixels a side that halvings leave something of; pixels a side when none are said."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageStack:
    """Images of one size.

    Attributes:
        images: (image, channel, height, width), 8 bit.
        skipped: what could not be read.
    """

    images: UInt8[Tensor, "image channel height width"]
    skipped: tuple[Skipped, ...]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channel, height, width)."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def batch(
        self, rows: Int[Tensor, " n"], *, mirrored: Bool[Tensor, " n"] | None = None
    ) -> Float[Tensor, "n channel height width"]:
        """Return some images in [0, 1]; those marked as mirrored left to right."""
        images = self.images[rows].float() / 255
        if mirrored is None:
            return images
        return torch.where(mirrored[:, None, None, None], images.flip(3), images)


class _Part:
    """A random part of a source, in the source's order."""

    def __init__(self, source: ImageSource, n: int, seed: int) -> None:
        rng = torch.Generator().manual_seed(seed)
        self._source = source
        self._rows = torch.randperm(len(source), generator=rng)[:n].sort().values.tolist()

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int, /) -> Sample:
        return self._source[self._rows[index]]


def read_stack(
    data: Any,
    *,
    size: int | tuple[int, int] | None = None,
    max_images: int = 50_000,
    seed: int = 0,
    watch: Watcher | None = None,
) -> ImageStack:
    """Read images, cut to the middle and resized to one size.

    Args:
        data: whatever `as_source` takes: a folder, arrays, tensors, a data set.
        size: (height, width), or one number for both; None takes the first image's, at most 64 pixels a side.
        max_images: of more, a random part is read.
        seed: of that part.
        watch: called as it goes on.

    Raises:
        InputError: fewer than 16 readable images, or a size below 8.
    """
    source = as_source(data)
    check_count(max_images, name="max_images", minimum=MINIMUM)
    total = len(source) if isinstance(source, ImageSource) else None
    if isinstance(source, ImageSource) and len(source) > max_images:
        source, total = _Part(source, max_images, seed), max_images
    skipped: list[Skipped] = []
    parts: list[Tensor] = []
    stage = Stage("reading images", watch, total=total)
    for batch in islice(read(source, view=_Fit(size), skipped=skipped), -(-max_images // 32)):
        parts.append((batch.images * 255).round().to(torch.uint8))
        stage(batch.indices[-1] + 1)
    if sum(map(len, parts)) < MINIMUM:
        first = f" ({len(skipped)} could not be read; first {skipped[0].name}: {skipped[0].reason})" if skipped else ""
        raise InputError(
            f"`data` must hold at least {MINIMUM} readable images to learn from, got {sum(map(len, parts))}{first}."
        )
    return ImageStack(images=torch.cat(parts)[:max_images], skipped=tuple(skipped))


class _Fit:
    """Brings every image to one size and number of channels: the ones asked for, or the first image's."""

    def __init__(self, size: int | tuple[int, int] | None) -> None:
        self.size = None if size is None else _checked_size(size)
        self.channels: int | None = None

    def __call__(self, image: Float[Tensor, "any h w"]) -> Float[Tensor, "channel height width"]:
        if self.channels is None:
            self.channels = 1 if image.shape[0] == 1 else 3
        if self.size is None:
            shrunk = min(1.0, USUAL / max(image.shape[1:]))
            self.size = _checked_size((round(image.shape[1] * shrunk), round(image.shape[2] * shrunk)))
        return fit_image(image, self.size, self.channels)


def fit_image(
    image: Float[Tensor, "any h w"], size: tuple[int, int], channels: int
) -> Float[Tensor, "channel height width"]:
    """Cut the middle of the right proportions out of an image and resize it; alpha is left out."""
    image = image[:3] if image.shape[0] >= 3 else image[:1]
    if image.shape[0] != channels:
        image = image.expand(3, -1, -1) if channels == 3 else image.mean(0, keepdim=True)
    height, width = image.shape[1:]
    if (height, width) == size:
        return image
    ratio = min(height / size[0], width / size[1])
    cut = max(1, round(size[0] * ratio)), max(1, round(size[1] * ratio))
    top, left = (height - cut[0]) // 2, (width - cut[1]) // 2
    middle = image[None, :, top : top + cut[0], left : left + cut[1]]
    resize: Callable[..., Tensor] = torch.nn.functional.interpolate
    return resize(middle, size=size, mode="bilinear", antialias=True, align_corners=False)[0].clamp(0, 1)


def _checked_size(size: Any) -> tuple[int, int]:
    pair = (size, size) if hasattr(size, "__index__") else tuple(size) if isinstance(size, list | tuple) else ()
    if len(pair) != 2 or not all(isinstance(side, int) and side >= SMALLEST for side in pair):
        raise InputError(f"`size` must be (height, width) of at least {SMALLEST} pixels each, got {shown(size)}.")
    return pair[0], pair[1]
