"""How pixels that can be meant in two ways are read: transparency, and which value is white."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import torch
from PIL import ImageColor
from torch import Tensor

from likethat._options import shown
from likethat.errors import InputError

Background = str | float | Sequence[float] | None
_LUMA = (0.299, 0.587, 0.114)  # ITU-R 601, as Pillow
DARKEST = {"uint8": 16, "uint16": 4095}
"""Where nothing in all the data is brighter than this, it has fewer bits than its type: 4 in 8, 12 in 16."""


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """What the user said of the pixels.

    Attributes:
        background: (red, green, blue) in [0, 1] to lay transparent pictures on; None keeps four channels.
        is_said: whether the user said so; otherwise a fourth channel must look like transparency.
        white: the value that is white; None for the largest of the type.
    """

    background: tuple[float, float, float] | None = (1.0, 1.0, 1.0)
    is_said: bool = False
    white: float | None = None

    def as_options(self) -> dict[str, Any]:
        """Return what was said as the arguments that say it again, plain values for JSON; empty for nothing."""
        said: dict[str, Any] = {} if self.white is None else {"white": self.white}
        if self.is_said:
            said["background"] = None if self.background is None else list(self.background)
        return said


AUTO = Pixels()


def as_pixels(background: Background, white: float | None) -> Pixels:
    """Return what the user said, checked.

    Raises:
        InputError: no colour, or no positive number.

    Example:
        >>> as_pixels("black", 4095).background
        (0.0, 0.0, 0.0)
    """
    if white is not None and (
        isinstance(white, bool) or not isinstance(white, Real) or not 0 < float(white) < math.inf
    ):
        raise InputError(f"`white` must be the value that is white, such as 4095, or None, got {shown(white)}.")
    own = None if white is None else float(white)
    if isinstance(background, str) and background == "auto":
        return Pixels(white=own)
    return Pixels(background=None if background is None else _colour(background), is_said=True, white=own)


def _colour(background: Any) -> tuple[float, float, float]:
    try:
        if isinstance(background, str):
            red, green, blue = (value / 255 for value in ImageColor.getrgb(background)[:3])
        elif isinstance(background, Real):
            red = green = blue = float(background)
        else:
            red, green, blue = map(float, background)
        if all(0 <= value <= 1 for value in (red, green, blue)):
            return red, green, blue
    except (TypeError, ValueError):
        pass
    raise InputError(
        "`background` must be a colour such as 'black' or '#808080', a grey or (red, green, blue) in [0, 1], or None "
        f"to keep a fourth channel, got {shown(background)}."
    )


def laid_on(images: Tensor, pixels: Pixels) -> Tensor:
    """Lay (..., 2 or 4 channels, height, width) on the background: the last channel is 1 where the image hides it."""
    colour, alpha = images[..., :-1, :, :], images[..., -1:, :, :]
    behind = torch.tensor(pixels.background or AUTO.background)
    if colour.shape[-3] == 1:
        behind = (behind * behind.new_tensor(_LUMA)).sum()[None]
    return colour * alpha + (1 - alpha) * behind[:, None, None]


def check_depth(brightest: float, kind: str, *, name: str) -> None:
    """Raise where values must have fewer bits than their type: divided by its largest they would be almost black.

    Raises:
        InputError: not one value is brighter than `DARKEST` allows, and not all are 0.
    """
    limit = DARKEST.get(kind, 0)
    if 0 < brightest <= limit:
        raise InputError(
            f"{name} must say which value is white: it is {kind} and its largest value is {brightest:g}, as in data of "
            f"fewer bits, and would be almost black. Say Images(..., white={_likely(brightest)}) or ImageFolder(..., "
            f"white={_likely(brightest)}), or the largest of the type if it is as dark."
        )


def _likely(brightest: float) -> int:
    return 2 ** max(1, math.ceil(math.log2(brightest + 1))) - 1
