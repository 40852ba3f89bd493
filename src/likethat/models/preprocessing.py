"""From any image in [0, 1] to what the network takes: the view (resized, cropped), then its normalisation."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from likethat._calls import foreign, public
from likethat._checks import check_choice, check_count
from likethat._options import check_callable, shown
from likethat._session import in_own_session
from likethat.errors import InputError

_MODES = {"bilinear": "bilinear", "bicubic": "bicubic", "nearest": "nearest"}
_LARGEST = 2.0  # of mean and std in units of [0, 1]; those for 0 to 255 are 30 and more
_LUMA = (0.2989, 0.587, 0.114)  # ITU-R 601, in torchvision's digits


@public
@in_own_session
@dataclass(frozen=True, kw_only=True, eq=False)
class Preprocess:
    """What a network does to an image before its first layer, differentiably and in torch alone.

    Args:
        size: height and width of the view; one number for a square; None leaves every image as large as it is.
        resize: what is resized before the crop: the shorter side, or (height, width); None means `size`.
        crop: how the resized image meets `size`: ``"center"`` keeps the aspect and cuts the middle, ``"squash"``
            stretches to `resize` and cuts the middle, ``"border"`` keeps everything and pads with `mean`.
        mean: one number a channel (or one for all), taken away from the view, in units of images in [0, 1]. None, with
            `std` None, leaves the view as it is.
        std: one number a channel (or one for all) that the difference is divided by.
        interpolation: ``"bilinear"``, ``"bicubic"`` (overshoot is clamped to [0, 1]) or ``"nearest"``.
        rounding: where half a pixel of the crop's corner goes: ``"even"`` as in torchvision and timm, ``"down"`` as in
            Hugging Face.
        channels: channels that the network takes; grey becomes RGB and RGB becomes grey as needed.
        order: of the channels as the network takes them; ``"bgr"`` turns those of a view round. `mean` and `std` are in
            this order.
        transform: a function of a batch of views that takes the place of `mean`, `std` and `order`.

    Example:
        >>> import torch
        >>> preprocess = Preprocess(size=4, mean=(0.5,), std=(0.5,))
        >>> view = preprocess.view(torch.rand(3, 8, 6))
        >>> tuple(view.shape), preprocess.input_size
        ((3, 4, 4), (4, 4))
    """

    size: tuple[int, int] | int | None = None
    resize: tuple[int, int] | int | None = None
    crop: Literal["center", "squash", "border"] = "center"
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    interpolation: Literal["bilinear", "bicubic", "nearest"] = "bilinear"
    rounding: Literal["even", "down"] = "even"
    channels: int | None = None
    order: Literal["rgb", "bgr"] = "rgb"
    transform: Callable[[Tensor], Tensor] | None = None

    def __post_init__(self) -> None:
        check_choice(self.interpolation, name="interpolation", choices=tuple(_MODES))
        check_choice(self.crop, name="crop", choices=("center", "squash", "border"))
        check_choice(self.rounding, name="rounding", choices=("even", "down"))
        check_choice(self.order, name="order", choices=("rgb", "bgr"))
        object.__setattr__(self, "size", _pair(self.size, name="size", square=True))
        object.__setattr__(self, "resize", _pair(self.resize, name="resize", square=False))
        object.__setattr__(self, "mean", _numbers(self.mean, name="mean"))
        object.__setattr__(self, "std", _numbers(self.std, name="std"))
        if self.std is not None and min(self.std) <= 0:
            raise InputError(f"`std` must be above 0, got {self.std}. A channel that is left alone has std 1.")
        if self.channels is not None:
            check_count(self.channels, name="channels")
        check_callable(self.transform, name="transform", takes="a batch of views")
        self._check_channels()
        self._check_units()

    def _check_units(self) -> None:
        """Refuse what runs and gives wrong answers: numbers for pixels from 0 to 255, and one half of a pair."""
        for name, values in (("mean", self.mean), ("std", self.std)):
            largest = max((abs(number) for number in values or ()), default=0.0)
            if largest > _LARGEST:
                raise InputError(
                    f"`{name}` must be in units of images in [0, 1], got {largest:g}, as for pixels from 0 to 255. "
                    "Divide mean and std by 255."
                )
        if (self.mean is None) != (self.std is None):
            there, absent, nothing = ("mean", "std", 1) if self.std is None else ("std", "mean", 0)
            raise InputError(
                f"`{absent}` must be given with `{there}`, got None. Say {absent}={nothing} if the network was trained "
                "without."
            )

    def _check_channels(self) -> None:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and self.channels is not None and len(values) not in (1, self.channels):
                raise InputError(
                    f"`{name}` must have 1 or {self.channels} numbers as the network takes {self.channels} channels, "
                    f"got {len(values)}: {values}."
                )

    @property
    def input_size(self) -> tuple[int, int] | None:
        """Height and width of a view, or None where images keep their size."""
        return self.size if isinstance(self.size, tuple) else None

    def view(self, image: Float[Tensor, "*batch colour height width"]) -> Float[Tensor, "*batch channel h w"]:
        """Return what the network sees of an image in [0, 1]: its channels converted, resized and cropped.

        Args:
            image: (channel, height, width), or a batch of such images of one size.

        Returns:
            The same number of axes, still in [0, 1]. An image that already has the size is returned as it is.

        Raises:
            InputError: another number of axes, integers, or channels that cannot be converted.
        """
        if not isinstance(image, Tensor) or image.ndim not in (3, 4) or not image.is_floating_point():
            raise InputError(
                f"`image` must be a floating tensor in [0, 1], (channel, height, width) or a batch of those, got "
                f"{_described(image)}."
            )
        images = self._convert(image if image.ndim == 4 else image[None])
        size = self.input_size
        if size is not None and images.shape[-2:] != size:
            if not images.numel():
                raise InputError(f"`image` must hold pixels, got shape {tuple(image.shape)}.")
            images = self._fit(images, size)
        return images if image.ndim == 4 else images[0]

    def frame(self, height: int, width: int) -> tuple[float, float, float, float]:
        """Return which part of an image its view shows: left, top, right and bottom in pixels of the image.

        Where the view is padded it reaches beyond the image's edges.

        Example:
            >>> Preprocess(size=4, resize=8).frame(16, 24)
            (8.0, 4.0, 16.0, 12.0)
        """
        size = self.input_size
        if size is None or (height, width) == size:
            return 0.0, 0.0, float(width), float(height)
        new = self._resized(height, width, size)
        top, left = _corner(new, size, down=self.rounding == "down")
        x, y = width / new[1], height / new[0]
        return left * x, top * y, (left + size[1]) * x, (top + size[0]) * y

    def normalise(self, views: Float[Tensor, "batch channel h w"]) -> Float[Tensor, "batch channel h w"]:
        """Return the views as the network's first layer takes them.

        Raises:
            InputError: no batch of floating images, or a `transform` that fails or gives something else.
        """
        if not isinstance(views, Tensor) or views.ndim != 4 or not views.is_floating_point():
            raise InputError(f"`views` must be floating (batch, channel, height, width), got {_described(views)}.")
        if self.transform is not None:
            with foreign("`transform`", "It gets a batch of views and returns what the network takes."):
                changed = self.transform(views)
            if not isinstance(changed, Tensor) or len(changed) != len(views):
                raise InputError(f"`transform` must return a tensor with a row a view, got {_described(changed)}.")
            return changed
        self._check_fit(views)
        if self.order == "bgr":
            views = views.flip(-3)
        if self.mean is not None:
            views = views - views.new_tensor(self.mean).view(-1, 1, 1)
        if self.std is not None:
            views = views / views.new_tensor(self.std).view(-1, 1, 1)
        return views

    def in_words(self) -> str:
        """Return the preprocessing as a line of a table.

        Example:
            >>> Preprocess(size=224, resize=256, mean=(0.5,), std=(0.5,)).in_words()
            '224 x 224 of 256, mean 0.5, std 0.5'
            >>> Preprocess().in_words()
            'images in [0, 1] as they are'
        """
        words = []
        if self.input_size is not None:
            of = "" if self.resize is None else f" of {_by(self.resize)}"
            words.append(f"{_by(self.input_size)}{of}{'' if self.crop == 'center' else f' ({self.crop})'}")
        if self.transform is not None:
            words.append(f"the function {getattr(self.transform, '__name__', type(self.transform).__name__)}")
        elif self.mean is not None and self.std is not None:
            for name, numbers in (("mean", self.mean), ("std", self.std)):
                words.append(f"{name} {' '.join(f'{number:.4g}' for number in numbers)}")
        if self.transform is None and self.order == "bgr":
            words.append("blue first")
        if self.transform is None and self.mean is None:
            words.append("in [0, 1] as they are" if words else "images in [0, 1] as they are")
        return ", ".join(words)

    def _check_fit(self, views: Tensor) -> None:
        """Refuse numbers for other channels than there are, which a broadcast would not always notice."""
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and len(values) not in (1, views.shape[-3]):
                raise InputError(
                    f"`{name}` must have 1 or {views.shape[-3]} numbers, as the images have {views.shape[-3]} "
                    f"channels, got {len(values)}."
                )

    def _convert(self, images: Tensor) -> Tensor:
        """Convert between grey and RGB where `channels` asks for another number; an alpha of ones goes."""
        have, want = images.shape[1], self.channels
        if want is None or have == want:
            return images
        if have in (2, 4) and want in (1, 3):
            if not bool((images[:, -1] >= 1).all()):
                raise InputError(
                    f"`image` must have {want} channels as the network takes, got {have}, whose last is transparency "
                    "or another band. Lay it on a colour with Images([image], background='white')[0], or give "
                    f"image[:{have - 1}]."
                )
            images, have = images[:, : have - 1], have - 1
        if have == want:
            return images
        if have == 1 and want == 3:
            return images.expand(-1, 3, -1, -1)
        if have == 3 and want == 1:
            return (images * images.new_tensor(_LUMA).view(-1, 1, 1)).sum(dim=1, keepdim=True)
        advice = " Keep the fourth with Images(..., background=None)." if (have, want) == (3, 4) else ""
        raise InputError(
            f"`image` must have {want} channels as the network takes, got {have} ({tuple(images.shape)}).{advice}"
        )

    def _fit(self, images: Tensor, size: tuple[int, int]) -> Tensor:
        height, width = images.shape[-2:]
        resized = self._resize(images, self._resized(height, width, size))
        fill = self._fill(images) if self.crop == "border" else 0.0
        return _centre(resized, size, fill=fill, down=self.rounding == "down")

    def _resized(self, height: int, width: int, size: tuple[int, int]) -> tuple[int, int]:
        """Return the height and width of an image as it is before the crop."""
        box = self.resize if self.resize is not None else size
        if isinstance(box, int):
            new = (box, int(box * width / height)) if height <= width else (int(box * height / width), box)
            if self.crop == "squash":
                new = (box, box)
        elif self.crop == "squash":
            new = box
        else:
            ratios = (height / box[0], width / box[1])
            ratio = min(ratios) if self.crop == "center" else max(ratios)
            new = (round(height / ratio), round(width / ratio))
        return max(new[0], 1), max(new[1], 1)

    def _fill(self, images: Tensor) -> float | Tensor:
        return 0.0 if self.mean is None else images.new_tensor(self.mean).view(-1, 1, 1)

    def _resize(self, images: Tensor, size: tuple[int, int]) -> Tensor:
        if images.shape[-2:] == size:
            return images
        if self.interpolation == "nearest":
            return nn.functional.interpolate(images, size=size, mode="nearest")
        # Half precision has no antialiased kernel on CPU; single precision is exact enough for both.
        resized = nn.functional.interpolate(
            images.float(), size=size, mode=self.interpolation, antialias=True, align_corners=False
        )
        return (resized.clamp(0.0, 1.0) if self.interpolation == "bicubic" else resized).to(images.dtype)


def _centre(images: Tensor, size: tuple[int, int], *, fill: float | Tensor, down: bool) -> Tensor:
    """Cut the middle of `size`, padding where the image is smaller."""
    height, width = images.shape[-2:]
    top, left = _corner((height, width), size, down=down)
    missing = (max(size[0] - height, 0), max(size[1] - width, 0))
    if any(missing):
        above, before = max(-top, 0), max(-left, 0)
        border = (before, missing[1] - before, above, missing[0] - above)
        inside = nn.functional.pad(torch.ones_like(images[:1, :1]), border).bool()
        images = torch.where(inside, nn.functional.pad(images, border), images.new_tensor(0.0) + fill)
        top, left = top + above, left + before
    return images[..., top : top + size[0], left : left + size[1]]


def _corner(resized: tuple[int, int], size: tuple[int, int], *, down: bool) -> tuple[int, int]:
    """Return top and left of the view in a resized image; below 0 by what is padded."""
    return _start(resized[0], size[0], down=down), _start(resized[1], size[1], down=down)


def _start(side: int, wanted: int, *, down: bool) -> int:
    if side < wanted:
        return -((wanted - side) // 2)
    return (side - wanted) // 2 if down else round((side - wanted) / 2)


def _by(size: tuple[int, int] | int) -> str:
    return str(size) if isinstance(size, int) else f"{size[0]} x {size[1]}"


def _described(value: Any) -> str:
    return f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else shown(value)


def _pair(value: Any, *, name: str, square: bool) -> tuple[int, int] | int | None:
    if value is None:
        return None
    if not isinstance(value, list | tuple) and hasattr(value, "__index__"):
        count = check_count(value, name=name)
        return (count, count) if square else count
    pair = tuple(value) if isinstance(value, list | tuple) else ()
    if len(pair) != 2:
        raise InputError(f"`{name}` must be one number, (height, width) or None, got {shown(value)}.")
    return check_count(pair[0], name=name), check_count(pair[1], name=name)


def _numbers(value: Any, *, name: str) -> tuple[float, ...] | None:
    if value is None:
        return None
    if hasattr(value, "tolist"):
        value = value.tolist()
    values = (value,) if isinstance(value, Real) else tuple(value) if isinstance(value, list | tuple) else ()
    are_numbers = all(isinstance(number, Real) and not isinstance(number, bool) for number in values)
    if not values or not are_numbers or not all(map(math.isfinite, values)):
        raise InputError(f"`{name}` must hold one finite number a channel, got {shown(value)}.")
    return tuple(float(number) for number in values)
