"""How heads, eyes, mouths and crowns are painted, each about its own joint, looking to the right."""

from likethat.sources.creatures._brush import Brush, ellipse, ribbon, smooth
from likethat.sources.creatures._palette import (
    COCOA,
    CORAL,
    CREAM,
    INK,
    MUSTARD,
    NAVY,
    PLUM,
    ROSE,
    RUST,
    SAGE,
    SAND,
    SKY,
    SLATE,
    TEAL,
    WHITE,
)


def _capped(brush: Brush) -> None:
    cap = smooth((-0.2, 0.02), (-0.08, -0.03), (0.02, -0.055), (0.09, -0.06), (0.2, -0.03), (0.1, -0.2), (-0.1, -0.2))
    brush.shape(ellipse(0, 0, 0.128, 0.122), CREAM, marks=((cap, NAVY),), shade=0.03)


def _masked(brush: Brush) -> None:
    band = smooth((-0.16, -0.01), (-0.02, -0.085), (0.15, -0.06), (0.16, 0.03), (0.03, 0.055), (-0.08, 0.03))
    brush.shape(ellipse(0, 0, 0.134, 0.116), SAGE, marks=((band, COCOA),), shade=0.03)


def _hooded(brush: Brush) -> None:
    face = smooth(
        (0.02, -0.035), (0.07, -0.075), (0.14, -0.03), (0.13, 0.06), (0.04, 0.1), (-0.04, 0.045), (-0.03, -0.06)
    )
    outline = smooth(
        (-0.12, 0.03), (-0.1, -0.09), (0.0, -0.13), (0.1, -0.09), (0.125, 0.02), (0.07, 0.105), (-0.05, 0.115)
    )
    brush.shape(outline, RUST, marks=((face, CREAM),), shade=0.03)


def _cheeked(brush: Brush) -> None:
    cheek = ellipse(0.015, 0.055, 0.045, 0.034)
    outline = smooth(
        (-0.13, 0.02), (-0.09, -0.1), (0.01, -0.13), (0.1, -0.085), (0.13, 0.02), (0.09, 0.1), (-0.06, 0.11)
    )
    brush.shape(outline, SKY, marks=((cheek, ROSE),), shade=0.03)


def _round(brush: Brush) -> None:
    brush.shape(ellipse(0, 0, 0.042, 0.044), WHITE)
    brush.flat(ellipse(0.008, 0.003, 0.029, 0.031), INK)
    brush.flat(ellipse(0.017, -0.009, 0.011, 0.011), WHITE)


def _ringed(brush: Brush) -> None:
    brush.shape(ellipse(0, 0, 0.048, 0.048), CORAL)
    brush.flat(ellipse(0, 0, 0.033, 0.033), MUSTARD)
    brush.flat(ellipse(0.005, 0, 0.016, 0.016), INK)


def _almond(brush: Brush) -> None:
    outline = smooth((-0.058, 0.012), (-0.01, -0.034), (0.056, -0.022), (0.012, 0.03))
    brush.shape(outline, (150, 220, 130), marks=((ellipse(0.006, 0, 0.013, 0.04), INK),))
    brush.flat(ellipse(0.014, -0.012, 0.008, 0.008), WHITE)


def _sleepy(brush: Brush) -> None:
    lid = smooth((-0.08, 0.006), (0.0, 0.002), (0.08, 0.01), (0.06, -0.08), (-0.06, -0.08))
    pupil = ellipse(0.006, 0.014, 0.024, 0.026)
    brush.shape(ellipse(0, 0, 0.046, 0.044), WHITE, marks=((pupil, INK), (lid, PLUM)))
    brush.flat(ribbon((-0.05, 0.008), (0.0, 0.004), (0.052, 0.01), widths=(0.006, 0.007, 0.006)), INK)


def _cone(brush: Brush) -> None:
    brush.shape(smooth((-0.03, 0.0), (0.03, 0.006), (0.085, 0.022), (0.03, 0.045), (-0.03, 0.045)), CORAL)
    brush.shape(smooth((-0.03, -0.045), (0.03, -0.03), (0.115, 0.012), (0.03, 0.014), (-0.03, 0.012)), MUSTARD)


def _curved(brush: Brush) -> None:
    knots = ((-0.02, 0.0), (0.06, -0.005), (0.13, 0.03), (0.165, 0.1))
    brush.shape(ribbon(*knots, widths=(0.03, 0.022, 0.015, 0.003)), CORAL)
    brush.flat(ribbon((-0.01, 0.006), (0.055, 0.002), (0.12, 0.036), widths=(0.004, 0.004, 0.002)), RUST)


def _hooked(brush: Brush) -> None:
    brush.shape(smooth((-0.02, 0.02), (0.04, 0.03), (0.05, 0.055), (-0.02, 0.06)), SLATE)
    outline = smooth((-0.03, -0.05), (0.04, -0.058), (0.1, -0.015), (0.092, 0.075), (0.065, 0.03), (-0.03, 0.028))
    cere = ellipse(-0.02, -0.02, 0.04, 0.05)
    brush.shape(outline, SLATE, marks=((cere, MUSTARD),), shade=0.012)


def _snout(brush: Brush) -> None:
    outline = smooth((-0.05, -0.045), (0.03, -0.035), (0.1, -0.012), (0.115, 0.03), (0.06, 0.065), (-0.05, 0.06))
    brush.shape(outline, SAND, shade=0.015)
    brush.shape(ellipse(0.105, -0.002, 0.026, 0.022), INK)
    brush.flat(ribbon((0.01, 0.034), (0.05, 0.042), (0.09, 0.03), widths=(0.005, 0.005, 0.005)), COCOA)


def _trunk(brush: Brush) -> None:
    knots = ((-0.03, 0.01), (0.06, 0.0), (0.1, 0.07), (0.09, 0.15), (0.14, 0.185))
    folds = tuple(
        (ribbon((x - 0.035, y), (x + 0.035, y - 0.01), widths=(0.005, 0.005)), (126, 110, 150))
        for x, y in ((0.098, 0.07), (0.097, 0.1), (0.092, 0.13))
    )
    brush.shape(ribbon(*knots, widths=(0.052, 0.044, 0.034, 0.027, 0.024)), (178, 160, 196), marks=folds, shade=0.0)
    brush.flat(ellipse(0.141, 0.185, 0.011, 0.018, 50), ROSE)


def _tuft(brush: Brush) -> None:
    for turn, length in ((-52, 0.115), (-22, 0.15), (10, 0.135)):
        feather = brush.at(0, 0.03, turn=turn)
        feather.shape(
            smooth((-0.012, 0.0), (-0.03, -0.6 * length), (0, -length), (0.03, -0.6 * length), (0.012, 0)), CORAL
        )
        feather.flat(ellipse(0, -0.72 * length, 0.013, 0.022), MUSTARD)


def _horns(brush: Brush) -> None:
    for x, turn in ((0.055, 24), (-0.05, -14)):
        horn = brush.at(x, 0.03, turn=turn)
        knots = ((0.0, 0.0), (-0.012, -0.07), (0.03, -0.135))
        ring = ribbon((-0.06, -0.06), (0.04, -0.045), widths=(0.009, 0.009))
        low = ribbon((-0.06, -0.025), (0.05, -0.02), widths=(0.009, 0.009))
        horn.shape(ribbon(*knots, widths=(0.034, 0.026, 0.004)), CREAM, marks=((ring, SAND), (low, SAND)))


def _ears(brush: Brush) -> None:
    for x, turn in ((0.045, 20), (-0.045, -20)):
        ear = brush.at(x, 0.04, turn=turn)
        ear.shape(smooth((-0.02, 0.0), (-0.047, -0.1), (-0.005, -0.205), (0.04, -0.1), (0.022, 0.0)), TEAL)
        ear.flat(smooth((-0.008, -0.03), (-0.022, -0.1), (-0.003, -0.165), (0.02, -0.1), (0.01, -0.03)), ROSE)


def _antlers(brush: Brush) -> None:
    for x, turn in ((0.05, 26), (-0.05, -18)):
        antler = brush.at(x, 0.03, turn=turn)
        antler.shape(ribbon((0.0, -0.08), (0.035, -0.105), (0.05, -0.145), widths=(0.016, 0.013, 0.009)), COCOA)
        antler.shape(ribbon((0.0, -0.05), (-0.04, -0.075), (-0.052, -0.115), widths=(0.016, 0.013, 0.009)), COCOA)
        antler.flat(ribbon((0.0, 0.0), (0.002, -0.08), (-0.01, -0.16), widths=(0.027, 0.024, 0.019)), (60, 42, 40))
        antler.flat(ribbon((0.0, 0.0), (0.002, -0.08), (-0.01, -0.155), widths=(0.018, 0.015, 0.011)), COCOA)


HEADS = {"capped": _capped, "masked": _masked, "hooded": _hooded, "cheeked": _cheeked}
EYES = {"round": _round, "ringed": _ringed, "almond": _almond, "sleepy": _sleepy}
MOUTHS = {"cone": _cone, "curved": _curved, "hooked": _hooked, "snout": _snout, "trunk": _trunk}
CROWNS = {"tuft": _tuft, "horns": _horns, "ears": _ears, "antlers": _antlers}
