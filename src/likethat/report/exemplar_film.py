"""How a search went: the film of its best inputs, and the curve of its least error."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from likethat.report.pixels import data_uri, shrink

_FRAME_MS, _LAST_MS = 700, 2500  # long enough to read a frame, longer for the last
_SIDE = 160  # pixels: smaller pictures are enlarged without smoothing, as browsers smooth animations
_WIDTH, _HEIGHT = 320.0, 110.0  # of the drawing, in its own units


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A falling line, in the units of its drawing: 320 wide, 110 high.

    Attributes:
        points: of the line, as SVG writes them.
        goal: height of the line below which the target is reached; None where it is off the drawing.
        shared: where answers that were there before end; 0 without any.
        top: the error at the top.
        last: number of the last answer.
    """

    points: str
    goal: float | None
    shared: float
    top: str
    last: int


def curve(errors: Float[Tensor, " answer"], *, goal: float | None, shared: int) -> Curve:
    """Lay out the least error after each answer, as steps.

    Example:
        >>> import torch
        >>> curve(torch.tensor([1.0, 0.5]), goal=0.05, shared=0).points
        '0.0,0.0 160.0,0.0 160.0,55.0 320.0,55.0'
    """
    values = errors.double().tolist()
    low = min(0.0, *values)
    span = max(max(values) - low, 1e-9)
    across = _WIDTH / len(values)
    points = []
    for number, value in enumerate(values):
        height = _HEIGHT * (1 - (value - low) / span)
        points += [f"{number * across:.1f},{height:.1f}", f"{(number + 1) * across:.1f},{height:.1f}"]
    level = None if goal is None else _HEIGHT * (1 - (goal - low) / span)
    return Curve(
        points=" ".join(_corners(points)),
        goal=None if level is None or not 0 <= level <= _HEIGHT else round(level, 1),
        shared=round(min(shared, len(values)) * across, 1),
        top=f"{max(values):.2g}",
        last=len(values),
    )


def _corners(points: Sequence[str]) -> list[str]:
    """Leave out points in the middle of a level stretch."""
    kept = []
    for place, point in enumerate(points):
        height = point.split(",")[1]
        is_inside = 0 < place < len(points) - 1 and all(
            points[other].split(",")[1] == height for other in (place - 1, place + 1)
        )
        if not is_inside:
            kept.append(point)
    return kept


def animated(pictures: Sequence[NDArray[np.uint8]]) -> str:
    """Return the address of pictures one after another, as an animated PNG that repeats."""
    frames = [Image.fromarray(_enlarged(shrink(picture, _SIDE))) for picture in pictures]
    buffer = io.BytesIO()
    frames[0].save(
        buffer,
        format="PNG",
        save_all=True,
        append_images=frames[1:],
        duration=[_FRAME_MS] * (len(frames) - 1) + [_LAST_MS],
        loop=0,
    )
    return data_uri("png", buffer.getvalue())


def _enlarged(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    times = max(1, _SIDE // max(picture.shape[:2]))
    return np.kron(picture, np.ones((times, times, 1), dtype=np.uint8))
