"""Which axis of an array is what, and what its fourth channel is; where both readings are likely, one sentence."""

import numpy as np
from numpy.typing import NDArray

from likethat.errors import InputError

_USUAL = (1, 3, 4)  # grey, RGB, RGB and transparency
_MOST_BANDS = 32  # channels of a picture that was taken; beyond, an axis is as likely to be a side
_SOLID_SHARE = 0.1
"""Share of a transparency that is fully opaque or fully clear; of other bands about 2 in 256 values are so extreme."""


def channels_last(shape: tuple[int, ...], *, name: str) -> bool:
    """Return whether the last of three axes is the channel; otherwise the first is.

    Three or four at the end are channels, unless the first axis has one or three. Else the channel is the axis that is
    shorter than the two others.

    Raises:
        InputError: both would do.

    Example:
        >>> [channels_last(shape, name="x") for shape in [(64, 64, 12), (12, 64, 64), (3, 9, 3), (64, 8, 8)]]
        [True, False, False, False]
    """
    first, middle, last = shape
    if first in (1, 3):
        return False
    if last in _USUAL:
        return True
    if first in _USUAL or first < min(middle, last):
        return False
    if last < min(first, middle) and last <= _MOST_BANDS:
        return True
    if middle == last != first:
        return False  # many channels of a square image
    raise InputError(
        f"{name} must say where its channels are, got an array of shape {shape}, which could be (channel, height, "
        "width) or (height, width, channel). Give a tensor, whose channels come first: torch.from_numpy(array)."
    )


def check_is_stack(shape: tuple[int, ...]) -> None:
    """Raise where three axes look like one image of many channels, or like images behind each other.

    Raises:
        InputError: (height, width, channel) or (height, width, image).
    """
    first, middle, last = shape
    advice = "Give images[..., None] if the first axis counts grey images"
    if last <= _MOST_BANDS and 4 * last <= min(first, middle):
        raise InputError(
            f"`images` must be (image, height, width[, channel]), got shape {shape}, which looks like one image of "
            f"{last} channels. {advice}, or images[None] for one image."
        )
    if first == middle != last and first > 1:
        raise InputError(
            f"`images` must be (image, height, width), got shape {shape}, which looks like (height, width, image). "
            f"{advice}, or np.moveaxis(images, -1, 0) if the last one does."
        )


def check_tensor_layout(shape: tuple[int, ...], *, name: str) -> None:
    """Raise where the last of a tensor's three axes is the channel by all looks.

    Raises:
        InputError: (height, width, channel).
    """
    first, middle, last = shape
    if last in _USUAL and first not in (1, 2, 3, 4) and min(first, middle) >= 8:
        raise InputError(
            f"{name} must be (channel, height, width) in a tensor, got {shape}, which looks like (height, width, "
            "channel). Give tensor.movedim(-1, -3)."
        )


def is_transparency(values: NDArray[np.float32]) -> bool:
    """Return whether a fourth channel in [0, 1] looks like transparency: one value, or mostly all or nothing.

    Example:
        >>> is_transparency(np.array([0.0, 0.0, 1.0, 0.4])), is_transparency(np.linspace(0.1, 0.9, 50))
        (True, False)
    """
    if not values.size or bool((values == values.flat[0]).all()):
        return True
    return float(((values <= 0) | (values >= 1)).mean()) >= _SOLID_SHARE
