"""How a search went, as a small drawing: one dot a question."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from likethat.report.text import percent

WIDTH, HEIGHT = 640, 180  # of the drawing, in its own units


@dataclass(frozen=True, kw_only=True)
class PathView:
    """The drawing in pixels of its own; y grows downwards.

    Attributes:
        dots: (x, y) of every question.
        line: "x,y x,y ...": the best so far.
        size: width and height.
        last: number of the last question.
        marks: (height, what it stands for) of the lines across.
        words: what a reader who cannot see it is told.
    """

    dots: tuple[tuple[float, float], ...]
    line: str
    size: tuple[int, int]
    last: int
    marks: tuple[tuple[float, str], ...]
    words: str


def path_view(
    queries: Int[NDArray[np.int64], " asked"],
    values: Float[NDArray[np.float64], " asked"],
    *,
    name: str,
    show: Callable[[float], str] = percent,
    bounds: tuple[float, float] | None = (0.0, 1.0),
    is_falling: bool = False,
) -> PathView:
    """Lay out the probability of the target, or the number asked about, over the questions asked.

    Args:
        queries: number of each question, from 1.
        values: what came.
        name: of the value.
        show: turns a value into text.
        bounds: lowest and highest value of the drawing; those of the values when None.
        is_falling: whether lower values are better.

    Example:
        >>> path_view(np.array([1, 2]), np.array([0.0, 1.0]), name="probability of cat").line
        '0,180 640,180 640,0'
    """
    low, high = (float(values.min()), float(values.max())) if bounds is None else bounds
    share = (values - low) / (high - low) if high > low else np.full(len(values), 0.5)
    best_value = float(values.min() if is_falling else values.max())
    span = max(int(queries.max(initial=1)) - 1, 1)
    x = np.round((queries - 1) / span * WIDTH, 1)
    y = np.round((1 - share) * HEIGHT, 1)
    best = -1.0 if is_falling else HEIGHT + 1.0
    corners: list[tuple[float, float]] = []
    for across, down in zip(x.tolist(), y.tolist(), strict=True):
        if down > best if is_falling else down < best:
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
        marks=tuple((HEIGHT * (1 - part), show(low + part * (high - low))) for part in (1.0, 0.5, 0.0)),
        words=f"{name} over {len(queries)} questions: from {show(float(values[0]))} "
        f"{'down' if is_falling else 'up'} to {show(best_value)}",
    )
