"""Explanations and banks as matplotlib figures, for a notebook."""

from typing import Any

from likethat._checks import check_count, require
from likethat.explanations.explanation import Explanation
from likethat.explanations.records import Box, Contribution, Prototype
from likethat.report.bank_page import BankLike, units_by_usage
from likethat.report.palette import AGAINST, FOR, NEUTRAL, row_colour
from likethat.report.pixels import overlay, to_picture
from likethat.report.sentences import headline, lead
from likethat.report.sheet import PIXELATED_UP_TO
from likethat.report.text import for_matplotlib, shorten, signed
from likethat.report.views import noun_of
from likethat.report.waterfall import Waterfall, waterfall

_MOST_PROTOTYPES = 5  # in a row of a figure that fits a sheet of paper
_SIDE = 1.35  # inches of a small picture


def explanation_figure(explanation: Explanation) -> Any:
    """Return a `matplotlib.figure.Figure`: the picture with boxes, the sum, and each row with its prototypes.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    require("matplotlib", purpose="figure()")
    from matplotlib.figure import Figure

    steps = waterfall(explanation, noun_of(explanation.provenance))
    n_rows = len(explanation.rows)
    n_shown = min(max((len(row.prototypes) for row in explanation.rows), default=0), _MOST_PROTOTYPES)
    top = 3.6
    height = top + (_SIDE + 0.45) * n_rows + 0.9
    figure = Figure(figsize=(9.5, height), layout="constrained")
    figure.suptitle(for_matplotlib(f"{headline(explanation)}\n{lead(explanation, steps.decimals)}"), fontsize=11)
    outer = figure.add_gridspec(2 if n_rows else 1, 1, height_ratios=[top, (_SIDE + 0.45) * n_rows][: 1 + bool(n_rows)])
    upper = outer[0].subgridspec(1, 2, width_ratios=[2, 3])
    _seen(figure.add_subplot(upper[0]), explanation)
    _sum(figure.add_subplot(upper[1]), steps)
    if n_rows:
        grid = outer[1].subgridspec(n_rows, 1 + max(n_shown, 1))
        for place, row in enumerate(explanation.rows):
            axes = [figure.add_subplot(grid[place, column]) for column in range(1 + n_shown)]
            _row(axes, explanation, row, place, steps.printed_rows[place])
    return figure


def bank_figure(bank: BankLike, *, limit: int = 12) -> Any:
    """Return a `matplotlib.figure.Figure` of a bank's most used units and their prototypes.

    Args:
        bank: what is shown.
        limit: how many units at most.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    require("matplotlib", purpose="figure()")
    from matplotlib.figure import Figure

    units = units_by_usage(bank)[: check_count(limit, name="limit")]
    groups: dict[int, list[Prototype]] = {unit: [] for unit in units}
    for prototype in bank.prototypes:
        if prototype.unit in groups and prototype.kind == "positive" and prototype.rank < _MOST_PROTOTYPES:
            groups[prototype.unit].append(prototype)
    n_shown = max((len(group) for group in groups.values()), default=1) or 1
    figure = Figure(figsize=(1.6 * n_shown + 0.6, _SIDE * max(len(units), 1) + 0.8), layout="constrained")
    figure.suptitle(for_matplotlib(f"What {shorten(bank.provenance.model, 60)} looks for"), fontsize=11)
    grid = figure.add_gridspec(max(len(units), 1), n_shown)
    for line, unit in enumerate(units):
        for prototype in sorted(groups[unit], key=lambda item: item.rank):
            axes = figure.add_subplot(grid[line, prototype.rank])
            _picture(axes, bank.images[prototype.image], prototype.box, row_colour(0))
            if prototype.rank == 0:
                name = f"{shorten(bank.unit_names[unit], 24)}\npurity {bank.unit_purity[unit]:.2f}"
                axes.set_ylabel(for_matplotlib(name), fontsize=8)
    return figure


def _seen(axes: Any, explanation: Explanation) -> None:
    picture = to_picture(explanation.image)
    _picture(axes, picture, None, NEUTRAL)
    places: dict[tuple[int, int], int] = {}
    for place, row in enumerate(explanation.rows):
        shift = places.setdefault(row.box[:2], 0)
        places[row.box[:2]] += 1
        _frame(axes, row.box, row_colour(place), shrink=shift)
        axes.annotate(
            str(place + 1),
            row.box[:2],
            xytext=(5 + 13 * shift, 0),
            textcoords="offset points",
            color="white",
            fontsize=8,
            weight="bold",
            ha="center",
            va="center",
            bbox={"boxstyle": "round,pad=0.25", "facecolor": row_colour(place), "edgecolor": "white"},
        )
    axes.set_xlabel(for_matplotlib(shorten(explanation.source, 40)), fontsize=8)


def _sum(axes: Any, steps: Waterfall) -> None:
    labels = [f"{step.place + 1}  {step.label}" if step.place is not None else step.label for step in steps.steps]
    at = 0.0
    for place, step in enumerate(steps.steps):
        for start, width, hatch in ((at, step.located, ""), (at + step.located, step.unlocated, "////")):
            colour = FOR if width >= 0 else AGAINST
            face = "none" if hatch else colour
            axes.barh(place, width, left=start, color=face, edgecolor=colour, hatch=hatch, height=0.6)
        at += step.value
    axes.barh(len(labels), at, color=NEUTRAL, height=0.6)
    axes.axvline(0, color="#999999", linewidth=0.8, zorder=0)
    axes.set_yticks(
        range(len(labels) + 1), [for_matplotlib(shorten(label, 34)) for label in [*labels, "= logit"]], fontsize=8
    )
    axes.invert_yaxis()
    axes.tick_params(axis="x", labelsize=7)
    numbers = axes.secondary_yaxis("right")
    numbers.set_yticks(range(len(labels) + 1), [*steps.printed, steps.total], fontsize=8)
    for side in (axes, numbers):
        side.tick_params(axis="y", length=0)
        side.spines[:].set_visible(False)


def _row(axes: list[Any], explanation: Explanation, row: Contribution, place: int, printed: str) -> None:
    colour = row_colour(place)
    heat_map = row.heat_map if row.heat_map.any() else row.activation_map
    _picture(axes[0], overlay(to_picture(explanation.image), heat_map), row.box, colour)
    axes[0].set_ylabel(for_matplotlib(f"{place + 1}  {shorten(row.name, 24)}"), fontsize=8, color=colour, weight="bold")
    axes[0].set_title(for_matplotlib(f"{printed}  purity {signed(row.purity).removeprefix('+')}"), fontsize=8)
    for small, prototype in zip(axes[1:], row.prototypes, strict=False):
        _picture(small, explanation.images[prototype.image], prototype.box, colour)
        part = prototype.true_part
        same = " ✓" if part is not None and part == row.true_part else ""
        title = f"{shorten(part, 18)}{same}" if part else f"purity {signed(prototype.purity).removeprefix('+')}"
        small.set_title(for_matplotlib(title), fontsize=8)
    for small in axes[1 + len(row.prototypes) :]:
        small.set_axis_off()


def _picture(axes: Any, picture: Any, box: Box | None, colour: str) -> None:
    smooth = max(picture.shape[:2]) > PIXELATED_UP_TO
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="antialiased" if smooth else "nearest")
    if box is not None:
        _frame(axes, box, colour)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def _frame(axes: Any, box: Box, colour: str, *, shrink: int = 0) -> None:
    from matplotlib.patches import Rectangle

    left, top, right, bottom = box
    inset = min(0.06 * shrink, 0.3) * min(right - left, bottom - top)
    corner, width, height = (left - 0.5 + inset, top - 0.5 + inset), right - left - 2 * inset, bottom - top - 2 * inset
    for edge, thick in (("white", 3.5), (colour, 1.8)):
        axes.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=edge, linewidth=thick))
