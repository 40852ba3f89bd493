"""How a search went, as a small drawing: one dot a question."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from likethat.report.text import percent

__all__ = ["PathView", "path_view"]

WIDTH, HEIGHT = 640, 180  # of the drawing, in its own units


@dataclass(frozen=True, kw_only=True)
class PathView:
    """The drawing in pixels of its own; y grows downwards.

    Attributes:
        dots: (x, y) of every question.
        line: "x,y x,y ...": the best so far.
        size: width and height.
        last: number of the last question.
        words: what a reader who cannot see it is told.
    """

    dots: tuple[tuple[float, float], ...]
    line: str
    size: tuple[int, int]
    last: int
    words: str


def path_view(
    queries: Int[NDArray[np.int64], " asked"], probability: Float[NDArray[np.float64], " asked"], *, name: str
) -> PathView:
    """Lay out the probability of the target over the questions asked.

    Example:
        >>> path_view(np.array([1, 2]), np.array([0.0, 1.0]), name="cat").line
        '0,180 640,180 640,0'
    """
    span = max(int(queries.max(initial=1)) - 1, 1)
    x = np.round((queries - 1) / span * WIDTH, 1)
    y = np.round((1 - probability) * HEIGHT, 1)
    best = HEIGHT + 1.0
    corners: list[tuple[float, float]] = []
    for across, down in zip(x.tolist(), y.tolist(), strict=True):
        if down < best:
            corners += [(across, best if corners else down)] if corners else []
            corners.append((across, down))
            best = down
    corners.append((float(x[-1]), best))
    unique = list(dict.fromkeys(corners))
    return PathView(
        dots=tuple(zip(x.tolist(), y.tolist(), strict=True)),
        line=" ".join(f"{across:g},{down:g}" for across, down in unique),
        size=(WIDTH, HEIGHT),
        last=int(queries.max(initial=1)),
        words=f"probability of {name} over {len(queries)} questions: from {percent(float(probability[0]))} up to "
        f"{percent(float(probability.max()))}",
    )
