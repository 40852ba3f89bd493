"""Images held in memory: arrays, tensors, and lists of anything that is an image."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from likethat._calls import foreign, public
from likethat._checks import check_index
from likethat._options import check_names, shown
from likethat._session import in_own_session
from likethat.errors import InputError, NonFiniteError
from likethat.sources._decode import printable, to_image
from likethat.sources._layout import channels_last, check_is_stack, check_tensor_layout
from likethat.sources._pixels import DARKEST, Background, Pixels, as_pixels, check_depth, laid_on
from likethat.sources._values import FULL_SCALE, check_plain, check_transparency, kind_of, scale_of, shaded
from likethat.sources.base import Sample
from likethat.sources.signature import digest_of_all, file_facts, numbers_of

_COLUMN = 'one column of it, such as Images(table["path"]), or its pixels as an array: Images(pixels.reshape(n, h, w))'
_LOOKED_AT = 64  # images whose fourth channel is looked at: is it transparency?


@public
@in_own_session
class Images:
    """Images in memory, or a list of paths.

    A tensor or an array is not copied: what is read is converted to floating point piece by piece, so bytes (and
    arrays mapped from a file) stay as small as they are.

    Args:
        images: tensor (image, channel, height, width), array (image, height, width[, channel]) or (image, channel,
            height, width), or a sequence of paths, PIL images, arrays and tensors of any size. Values are 8-bit or
            16-bit, or floating in [0, 1]. In arrays the last axis is the channel if it has 1, 3 or 4 entries and the
            second has not 1 or 3, or is the shortest; four of them are RGB and transparency.
        labels: class index of each image, or the name of its class; None or a negative number where it has none.
        names: what to call each image in a report; ``"image 0"`` and so on when None.
        class_names: name of each class index; the labels in alphabetical order where they are names.
        background: what transparency is laid on: a colour such as ``"black"`` or ``"#808080"``, a grey or (red, green,
            blue) in [0, 1]. None keeps a fourth channel as a band. ``"auto"`` is white, for what looks like
            transparency or is said to be by its file.
        white: the value that is white, such as 4095 for 12-bit data; the largest of the type when None. With it, whole
            numbers of any type and floating-point values beyond 1 are taken.

    Raises:
        InputError: no images, values outside [0, 1], shapes or values that could be meant in two ways, or lists of
            different length.
        NonFiniteError: NaN or infinity.

    Example:
        >>> source = Images(torch.zeros(2, 3, 8, 8), labels=[0, 1])
        >>> len(source), source[1].name, source[1].label
        (2, 'image 1', 1)
    """

    def __init__(
        self,
        images: Any,
        labels: Sequence[int | None] | Tensor | np.ndarray[Any, Any] | None = None,
        names: Sequence[str] | None = None,
        *,
        class_names: Sequence[str] = (),
        background: Background = "auto",
        white: float | None = None,
    ) -> None:
        self._pixels = as_pixels(background, white)
        self._images = _held(images, self._pixels)
        n = len(self._images)
        if n == 0:
            raise InputError("`images` must hold at least one image, got none.")
        for given, what in ((labels, "labels"), (names, "names")):
            if given is not None and (isinstance(given, str | bytes) or not hasattr(given, "__len__")):
                raise InputError(f"`{what}` must be a list with one entry an image, got {shown(given)}.")
            if given is not None and len(given) != n:
                raise InputError(f"`{what}` must have one entry an image, got {len(given)} for {n} images.")
        self.class_names = check_names(class_names)
        if labels is not None and _are_names(labels):
            self.class_names = self.class_names or tuple(
                sorted({str(name).strip() for name in filter(_is_given, labels)})
            )
            labels = _numbered(labels, self.class_names)
        self._labels = None if labels is None else _class_indices(labels, len(self.class_names))
        self._names = None if names is None else [str(name) for name in names]

    @property
    def reading(self) -> dict[str, Any]:
        """What was said of the pixels (``background``, ``white``), as the arguments that say it again."""
        return self._pixels.as_options()

    @property
    def signature(self) -> dict[str, Any]:
        """Which images these are: all their numbers, or sizes and times of their files; their names and labels."""
        if isinstance(self._images, _Stack):
            pixels = digest_of_all(numbers_of(self._images.values))
        else:
            pixels = digest_of_all(part for item in self._images for part in _facts(item))
        return {
            "number": len(self),
            "names": digest_of_all(self._names or ()),
            "pixels or files": pixels,
            "labels": digest_of_all((*self.class_names, *(self._labels or ()))),
        }

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._images)

    def name(self, index: int) -> str:
        """Return what image `index` is called."""
        index = self._checked(index)
        if self._names is not None:
            return self._names[index]
        value = self._images[index] if isinstance(self._images, list) else None
        return printable(value) if isinstance(value, str | os.PathLike) else f"image {index}"

    def label(self, index: int) -> int | None:
        """Return the class index of image `index`, where labels were given."""
        return None if self._labels is None else self._labels[self._checked(index)]

    def __getitem__(self, index: int) -> Sample:
        """Return image `index`."""
        index = self._checked(index)
        name = self.name(index)
        if isinstance(self._images, _Stack):
            image = self._images.floats(index, index + 1)[0]
        else:
            image = to_image(self._images[index], name=name, pixels=self._pixels)
        return Sample(image=image, name=name, label=self.label(index))

    def batch(self, start: int, stop: int) -> Float[Tensor, "image channel height width"] | None:
        """Return images `start` to `stop` of one tensor or array at once; None for a list."""
        return self._images.floats(start, stop) if isinstance(self._images, _Stack) else None

    def given(self, index: int) -> Any:
        """Return image `index` as it was given, not decoded; None for one tensor or array of all."""
        return self._images[self._checked(index)] if isinstance(self._images, list) else None

    def _checked(self, index: int) -> int:
        return check_index(index, len(self))

    def __repr__(self) -> str:
        return f"Images({len(self):,} images, {len(self.class_names)} classes)"


@dataclass(frozen=True, kw_only=True, eq=False)
class _Stack:
    """Images of one size, as they came.

    Attributes:
        values: (image, channel, height, width), of any dtype.
        scale: the value that is white.
        pixels: with a background where the last channel is transparency.
        overshoots: some values leave [0, 1] by rounding.
    """

    values: Any
    scale: float
    pixels: Pixels | None
    overshoots: bool = False

    def __len__(self) -> int:
        return len(self.values)

    def floats(self, start: int, stop: int) -> Tensor:
        """Return a piece in [0, 1]."""
        images = self._piece(start, stop)
        if self.overshoots:
            images = images.clamp(0.0, 1.0)
        return images if self.pixels is None else laid_on(images, self.pixels)

    def _piece(self, start: int, stop: int) -> Tensor:
        values = self.values[start:stop]
        if isinstance(values, Tensor):
            values = values.detach().cpu()
            if self.scale == 1.0 and values.is_floating_point():
                return values.float()
            values = (values.float() if values.is_floating_point() else values).numpy()
        return shaded(values, self.scale)

    def checked(self, *, block: int = 256) -> "_Stack":
        """Check floating-point values, and say which image is wrong."""
        overshoots = False
        for start in range(0, len(self), block):
            part = self._piece(start, start + block).flatten(1)
            low, high = part.amin(1), part.amax(1)
            _check_bounds(low, high, start)
            overshoots |= float(low.min()) < 0 or float(high.max()) > 1
        return replace(self, overshoots=overshoots)


def _check_bounds(low: Tensor, high: Tensor, start: int) -> None:
    bad = ~(torch.isfinite(low) & torch.isfinite(high))
    if bool(bad.any()):
        raise NonFiniteError(f"`images` must be finite, got NaN or infinity in image {start + int(bad.nonzero()[0])}.")
    bad = (low < -1e-3) | (high > 1 + 1e-3)
    if bool(bad.any()):
        at = int(bad.nonzero()[0])
        raise InputError(
            f"`images` must lie in [0, 1], got values from {float(low[at]):.3g} to {float(high[at]):.3g} in image "
            f"{start + at}. Leave out normalisation, the model does it; divide 8-bit values by 255."
        )


def _facts(item: Any) -> Iterable[Any]:
    """Yield what tells an item of a list from another in its place, without decoding it."""
    if isinstance(item, str | os.PathLike):
        return (os.fspath(item), file_facts(item))
    if isinstance(item, Image.Image):
        return _facts_of_pil(item)
    if isinstance(item, Mapping):
        return (fact for name in sorted(map(str, item)) for fact in (name, *_facts(item.get(name))))
    return numbers_of(item) if isinstance(item, Tensor | np.ndarray) else (item,)


def _facts_of_pil(image: Image.Image) -> Iterable[Any]:
    try:
        return (image.mode, image.size, image.tobytes())
    except (OSError, SyntaxError, ValueError) as error:  # opened, but not whole: said when it is read
        return (image.mode, image.size, str(error))


def _held(images: Any, pixels: Pixels) -> _Stack | list[Any]:
    if isinstance(images, np.ndarray) and images.dtype == object:
        return list(images)  # images of different sizes
    if hasattr(images, "columns"):
        raise InputError(f"`images` must be images or their paths, got a table. Give {_COLUMN}.")
    if isinstance(images, Tensor | np.ndarray):
        return _stacked(images, pixels)
    if isinstance(images, str | os.PathLike):
        raise InputError(f"`images` must be several images, got the path {images}. Read a folder with ImageFolder.")
    unordered = isinstance(images, Image.Image | bytes | Mapping | set | frozenset | type)
    if unordered or not hasattr(images, "__iter__"):
        raise InputError(
            f"`images` must be a tensor, an array or a list of images, got {type(images).__name__}. Put one image in "
            "a list: [image]."
        )
    with foreign("`images`"):
        return list(images)


def _stacked(images: Tensor | np.ndarray[Any, Any], pixels: Pixels) -> _Stack:
    check_plain(images, name="`images`")
    scale = scale_of(images, pixels, name="`images`")
    values: Any = images
    is_last = False
    if isinstance(images, np.ndarray):
        if images.ndim == 3 and images.shape[-1] not in (1, 3, 4):
            check_is_stack(images.shape)
            values = images[:, None]
        elif images.ndim == 4 and 0 not in images.shape:
            is_last = channels_last(images.shape[1:], name="`images`")
            values = np.moveaxis(images, -1, 1) if is_last else images
    if values.ndim != 4:
        hint = " One image needs the first axis too: images[None]." if images.ndim == 3 else ""
        raise InputError(f"`images` must be (image, channel, height, width), got shape {tuple(images.shape)}.{hint}")
    if 0 in values.shape[1:]:
        raise InputError(f"`images` must hold pixels, got shape {tuple(images.shape)}.")
    if isinstance(images, Tensor):
        check_tensor_layout(tuple(images.shape[1:]), name="`images`")
    stack = _Stack(values=values, scale=scale, pixels=None)
    if pixels.white is not None or kind_of(images) not in FULL_SCALE:
        stack = stack.checked()
    elif kind_of(images) in DARKEST and len(images):
        _check_brightness(stack, kind_of(images))
    is_laid = values.shape[1] in (2, 4) if pixels.is_said else is_last and values.shape[1] == 4
    if pixels.background is None or not is_laid or not len(images):
        return stack
    check_transparency(stack.floats(0, _LOOKED_AT)[:, -1].numpy(), pixels, name="`images`")
    return replace(stack, pixels=pixels)


def _check_brightness(stack: _Stack, kind: str, *, block: int = 64) -> None:
    """Raise where all the data are almost black; the first bright block ends the search."""
    brightest = 0.0
    for start in range(0, len(stack), block):
        brightest = max(brightest, round(float(stack.floats(start, start + block).max()) * stack.scale))
        if brightest > DARKEST[kind]:
            return
    check_depth(brightest, kind, name="`images`")


def _are_names(labels: Any) -> bool:
    """Return whether labels are texts, as in a column of a table; some may be missing."""
    given = [label for label in labels if _is_given(label)]
    return bool(given) and all(isinstance(label, str) for label in given)


def _is_given(label: Any) -> bool:
    """Return whether a label is there: tables have None, NaN or nothing where it is missing."""
    if isinstance(label, float | np.floating):
        return not np.isnan(label)
    return not (label is None or type(label).__name__ == "NAType" or (isinstance(label, str) and not label.strip()))


def _numbered(labels: Any, class_names: tuple[str, ...]) -> list[int | None]:
    number = {name: index for index, name in enumerate(class_names)}
    unknown = sorted({label.strip() for label in labels if _is_given(label)} - set(number))
    if unknown:
        raise InputError(
            f"`labels` must be among the class_names where both are given, got {unknown[0]!r}, which is none of "
            f"{len(class_names)} names. Leave class_names out to take the labels' own."
        )
    return [number[label.strip()] if _is_given(label) else None for label in labels]


def _class_indices(labels: Any, n_classes: int) -> list[int | None]:
    indices = [_class_index(label, at) for at, label in enumerate(labels)]
    highest = max((index for index in indices if index is not None), default=-1)
    if n_classes and highest >= n_classes:
        raise InputError(f"`labels` must be from 0 to {n_classes - 1} as there are {n_classes} names, got {highest}.")
    return indices


def _class_index(label: Any, at: int) -> int | None:
    if label is None:
        return None
    try:
        number = float("nan") if isinstance(label, str) else float(label)
    except (TypeError, ValueError, RuntimeError):
        number = float("nan")
    if not number.is_integer():
        raise InputError(
            f"`labels` must be class indices, got {shown(label)} for image {at}. Give numbers from 0, or names "
            "for all of them."
        )
    return int(number) if number >= 0 else None
