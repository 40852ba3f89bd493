"""Exemplars as a matplotlib figure, for a notebook."""

from typing import Any

from torch import Tensor

from likethat._checks import require
from likethat.explanations.exemplars import ExemplarSet
from likethat.report.palette import FOR, NEUTRAL
from likethat.report.pixels import to_picture
from likethat.report.text import for_matplotlib, percent, shorten

_SIDE = 1.5  # inches of a picture
_MOST = 8  # in a row of a figure that fits a sheet of paper


def exemplar_figure(exemplars: ExemplarSet) -> Any:
    """Return a `matplotlib.figure.Figure`: the exemplars with their probabilities, and the curve of the search."""
    require("matplotlib", purpose="figure()")
    from matplotlib.figure import Figure

    n = min(len(exemplars), _MOST)
    is_picture = isinstance(exemplars.inputs, Tensor) and exemplars.inputs.ndim == 4
    height = _SIDE + 0.4 if is_picture else 0.35 * n + 0.4
    figure = Figure(figsize=(max(_SIDE * n, 6.0), height + 2.2), layout="constrained")
    figure.suptitle(for_matplotlib(f"Exemplars of {shorten(exemplars.description, 60)}"), fontsize=11)
    grid = figure.add_gridspec(2, 1, height_ratios=[height, 1.8])
    if is_picture:
        _draw_pictures(figure, grid[0].subgridspec(1, n), exemplars)
    else:
        _write_rows(figure.add_subplot(grid[0]), exemplars, n)
    _draw_curve(figure.add_subplot(grid[1]), exemplars)
    return figure


def _draw_pictures(figure: Any, grid: Any, exemplars: ExemplarSet) -> None:
    assert isinstance(exemplars.inputs, Tensor)
    for place in range(grid.ncols):
        axes = figure.add_subplot(grid[0, place])
        axes.imshow(to_picture(exemplars.inputs[place].float().numpy()), interpolation="nearest")
        axes.set_title(percent(float(exemplars.confidence[place])), fontsize=9)
        axes.set_axis_off()


def _write_rows(axes: Any, exemplars: ExemplarSet, n: int) -> None:
    axes.set_axis_off()
    for place in range(n):
        words = percent(float(exemplars.confidence[place]))
        at = 1 - (place + 0.5) / n
        axes.text(0, at, words, va="center", fontsize=9, fontweight="bold", transform=axes.transAxes)
        axes.text(
            0.14, at, for_matplotlib(_row(exemplars.inputs, place)), va="center", fontsize=9, transform=axes.transAxes
        )


def _row(inputs: Any, place: int) -> str:
    if isinstance(inputs, list):
        return shorten(inputs[place], 90)
    values = inputs[place].flatten().tolist() if isinstance(inputs, Tensor) else inputs.iloc[place].tolist()
    return shorten(", ".join(f"{value:.3g}" if isinstance(value, float) else str(value) for value in values), 90)


def _draw_curve(axes: Any, exemplars: ExemplarSet) -> None:
    axes.step(range(1, len(exemplars.curve) + 1), exemplars.curve.tolist(), where="post", color=FOR)
    if exemplars.wanted is not None and "tolerance" in exemplars.options:
        axes.axhline(exemplars.options["tolerance"], color=NEUTRAL, linestyle="--", linewidth=0.8)
    axes.set_xlabel("answers", fontsize=9)
    axes.set_ylabel("least error", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
