"""How bodies, wings, tails and legs are painted, each about its own joint, looking to the right."""

from functools import cache

import numpy as np

from likethat.sources.creatures._brush import Brush, Colour, Mark, Points, ellipse, ribbon, smooth
from likethat.sources.creatures._palette import (
    COCOA,
    CORAL,
    CREAM,
    INK,
    LILAC,
    MUSTARD,
    NAVY,
    PLUM,
    RUST,
    SAGE,
    SLATE,
    TEAL,
)
from likethat.sources.creatures.classes import Kind

_OUTLINES: dict[Kind, Points] = {
    "bird": smooth(
        (0.205, -0.12), (0.205, 0.02), (0.14, 0.125), (0.0, 0.165), (-0.12, 0.125), (-0.21, 0.03), (-0.17, -0.07),
        (-0.05, -0.13), (0.07, -0.2),
    ),
    "beast": smooth(
        (0.22, -0.14), (0.245, 0.0), (0.2, 0.105), (0.06, 0.14), (-0.1, 0.14), (-0.215, 0.105), (-0.25, 0.0),
        (-0.2, -0.1), (-0.06, -0.125), (0.08, -0.15),
    ),
}  # fmt: skip


def _spotted(brush: Brush, kind: Kind) -> None:
    brush.shape(_OUTLINES[kind] * np.array([1.0, 1.04]), MUSTARD, marks=_spots(), shade=0.035)


@cache
def _spots() -> tuple[Mark, ...]:
    grid = [(0.085 * i + 0.042 * (j % 2) - 0.26, 0.068 * j - 0.2) for i in range(7) for j in range(6)]
    return tuple((ellipse(x, y, 0.02, 0.019, n=16), COCOA) for x, y in grid)


def _striped(brush: Brush, kind: Kind) -> None:
    stripes: tuple[Mark, ...] = tuple(
        (ribbon((x, -0.26), (x - 0.035, -0.05), (x + 0.01, 0.2), widths=(0.016, 0.02, 0.012)), NAVY)
        for x in (-0.2, -0.12, -0.04, 0.04, 0.12, 0.2)
    )
    brush.shape(_OUTLINES[kind] * np.array([1.02, 0.95]), TEAL, marks=stripes, shade=0.035)


def _bellied(brush: Brush, kind: Kind) -> None:
    belly = ellipse(0.1, 0.1, 0.2, 0.115, -14) if kind == "bird" else ellipse(0.03, 0.13, 0.22, 0.085)
    brush.shape(_OUTLINES[kind] * np.array([0.98, 1.06]), CORAL, marks=((belly, CREAM),), shade=0.035)


def _scaled(brush: Brush, kind: Kind) -> None:
    brush.shape(_OUTLINES[kind], PLUM, marks=_scales(), shade=0.035)


@cache
def _scales() -> tuple[Mark, ...]:
    marks: list[Mark] = []
    for row in range(7):
        for column in range(7):
            x, y = 0.088 * column + 0.044 * (row % 2) - 0.3, 0.15 - 0.056 * row
            marks += [(ellipse(x, y, 0.046, 0.044, n=18), LILAC), (ellipse(x, y - 0.012, 0.043, 0.042, n=18), PLUM)]
    return tuple(marks)


def _barred(brush: Brush) -> None:
    outline = smooth(
        (0.03, -0.02), (0.0, -0.065), (-0.1, -0.06), (-0.2, 0.0), (-0.23, 0.055), (-0.12, 0.07), (0.0, 0.045)
    )
    bars: tuple[Mark, ...] = tuple(
        (ribbon((x, -0.1), (x - 0.03, 0.0), (x - 0.01, 0.12), widths=(0.013, 0.013, 0.013)), CREAM)
        for x in (-0.04, -0.105, -0.17)
    )
    brush.shape(outline, NAVY, marks=bars)


def _pointed(brush: Brush) -> None:
    for turn, length, colour in ((-16, 0.2, RUST), (0, 0.25, CORAL), (14, 0.28, CORAL)):
        feather = brush.at(0, 0, turn=turn)
        feather.shape(smooth((0.03, 0.0), (-0.05, -0.045), (-length, 0.0), (-0.06, 0.04)), colour)
    brush.flat(ellipse(0, 0, 0.04, 0.036), CORAL)
    brush.flat(ellipse(0.004, -0.002, 0.019, 0.018), CREAM)


def _round(brush: Brush) -> None:
    outline = smooth(
        (0.04, 0.0), (0.01, -0.085), (-0.1, -0.105), (-0.2, -0.05), (-0.21, 0.045), (-0.12, 0.1), (0.0, 0.075)
    )
    marks: list[Mark] = []
    for x, y in ((-0.2, -0.05), (-0.19, 0.03), (-0.13, 0.08), (-0.13, -0.02), (-0.07, 0.05), (-0.06, -0.03)):
        marks += [
            (ellipse(x, y, 0.055, 0.052, n=18), COCOA),
            (ellipse(x + 0.01, y - 0.004, 0.05, 0.048, n=18), MUSTARD),
        ]
    brush.shape(outline, MUSTARD, marks=tuple(marks))


def _leaf(brush: Brush) -> None:
    outline = smooth((0.03, 0.0), (-0.03, -0.085), (-0.14, -0.095), (-0.26, -0.02), (-0.16, 0.07), (-0.04, 0.07))
    veins: list[Mark] = [
        (ribbon((0.03, 0.0), (-0.1, -0.005), (-0.25, -0.02), widths=(0.009, 0.008, 0.004)), (58, 96, 66))
    ]
    for x in (-0.04, -0.1, -0.16):
        for side in (-1, 1):
            veins.append((ribbon((x, -0.003), (x - 0.06, 0.09 * side), widths=(0.006, 0.004)), (58, 96, 66)))
    brush.shape(outline, SAGE, marks=tuple(veins))


def _forked(brush: Brush) -> None:
    for turn in (-20, 20):
        prong = brush.at(0.03, 0, turn=turn)
        tip = ellipse(-0.24, 0.0, 0.06, 0.05)
        prong.shape(
            smooth((0.0, -0.03), (-0.12, -0.036), (-0.24, 0.0), (-0.12, 0.03), (0.0, 0.03)), NAVY, marks=((tip, SAGE),)
        )


def _fan(brush: Brush) -> None:
    for turn in (-44, 44, -22, 22, 0):
        feather = brush.at(0.02, 0, turn=turn)
        feather.shape(smooth((0.0, -0.015), (-0.15, -0.045), (-0.205, 0.0), (-0.15, 0.045), (0.0, 0.015)), MUSTARD)
        feather.flat(ellipse(-0.16, 0, 0.026, 0.024), PLUM)


def _curled(brush: Brush) -> None:
    knots = (
        (0.04, 0.02),
        (-0.07, 0.04),
        (-0.155, 0.0),
        (-0.15, -0.09),
        (-0.075, -0.1),
        (-0.065, -0.045),
        (-0.1, -0.045),
    )
    brush.shape(ribbon(*knots, widths=(0.034, 0.032, 0.027, 0.023, 0.019, 0.014, 0.008)), RUST)


def _ringed(brush: Brush) -> None:
    outline = smooth(
        (0.03, -0.02), (-0.06, -0.05), (-0.15, -0.105), (-0.23, -0.125), (-0.225, -0.03), (-0.13, 0.05), (0.0, 0.04)
    )
    rings: tuple[Mark, ...] = tuple(
        (ribbon((x, -0.2), (x - 0.01, -0.05), (x + 0.05, 0.1), widths=(0.018, 0.018, 0.018)), COCOA)
        for x in (-0.045, -0.12, -0.195)
    )
    brush.shape(outline, CREAM, marks=rings)


def _places(kind: Kind, stride: float) -> tuple[tuple[float, float], ...]:
    """Return (x, lean) of each leg, far ones first."""
    if kind == "bird":
        return ((0.06 + 0.02 * stride, 0.02 * stride), (-0.025 - 0.02 * stride, -0.02 * stride))
    step = 0.025 * stride
    return ((-0.1 + step, step), (0.19 - step, -step), (-0.185 - step, -step), (0.105 + step, step))


def _thin(brush: Brush, kind: Kind, stride: float) -> None:
    for x, lean in _places(kind, stride):
        foot = x + lean
        brush.shape(ribbon((x, 0.08), (foot - 0.012, 0.19), (foot, 0.275), widths=(0.017, 0.012, 0.012)), CORAL)
        for toe in (-0.05, 0.03, 0.065):
            brush.shape(ribbon((foot, 0.272), (foot + toe, 0.288), widths=(0.012, 0.008)), CORAL)


def _webbed(brush: Brush, kind: Kind, stride: float) -> None:
    for x, lean in _places(kind, stride):
        foot = x + lean
        brush.shape(ribbon((x, 0.08), (foot, 0.265), widths=(0.02, 0.015)), MUSTARD)
        web = smooth(
            (foot - 0.025, 0.265),
            (foot + 0.02, 0.248),
            (foot + 0.085, 0.285),
            (foot + 0.02, 0.298),
            (foot - 0.04, 0.295),
        )
        brush.shape(web, MUSTARD)


def _booted(brush: Brush, kind: Kind, stride: float) -> None:
    for x, lean in _places(kind, stride):
        foot = x + lean
        brush.shape(ribbon((x, 0.07), (foot, 0.24), widths=(0.034, 0.028)), CREAM)
        boot = smooth(
            (foot - 0.036, 0.2), (foot + 0.036, 0.2), (foot + 0.04, 0.25), (foot + 0.07, 0.29), (foot - 0.03, 0.295),
        )  # fmt: skip
        brush.shape(boot, RUST)


def _hoofed(brush: Brush, kind: Kind, stride: float) -> None:
    for x, lean in _places(kind, stride):
        foot = x + lean
        hoof: Colour = INK
        brush.shape(ribbon((x, 0.07), (foot, 0.25), widths=(0.04, 0.024)), SLATE)
        brush.shape(
            smooth((foot - 0.028, 0.245), (foot + 0.028, 0.245), (foot + 0.042, 0.292), (foot - 0.036, 0.292)), hoof
        )
        brush.shape(ellipse(foot, 0.236, 0.036, 0.02), LILAC)


BODIES = {"spotted": _spotted, "striped": _striped, "bellied": _bellied, "scaled": _scaled}
WINGS = {"barred": _barred, "pointed": _pointed, "round": _round, "leaf": _leaf}
TAILS = {"forked": _forked, "fan": _fan, "curled": _curled, "ringed": _ringed}
LEGS = {"thin": _thin, "webbed": _webbed, "booted": _booted, "hoofed": _hoofed}
