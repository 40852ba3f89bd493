"""Everything that is no creature: sky, hills, clouds, trees, grass, flowers, stones and twigs."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from likethat.sources.creatures._brush import Brush, Colour, ellipse, hexes, ribbon, smooth


@dataclass(frozen=True, kw_only=True)
class _Light:
    top: Colour
    low: Colour
    hills: tuple[Colour, Colour]
    ground: Colour
    blade: Colour
    glow: Colour


def _light(*codes: str) -> _Light:
    top, low, far, near, ground, blade, glow = (hexes(code) for code in codes)
    return _Light(top=top, low=low, hills=(far, near), ground=ground, blade=blade, glow=glow)


_LIGHTS = (
    _light("9FD3EE", "EAF6F0", "B9DBC0", "9CCB9E", "B4D88B", "7FB262", "FFF6C8"),  # meadow
    _light("F7B58F", "FCE6BE", "D9A7A0", "BD8F98", "D6BC85", "A99760", "FFF0B5"),  # dusk
    _light("B9C9EE", "F6E4EE", "CDBBDD", "B5A6CE", "C9C0DE", "9E93C0", "FFFFFF"),  # heather
    _light("BFE3DC", "F4F4DC", "9CC7B4", "7DB09C", "A5C4A0", "6D9C7C", "FDF6D0"),  # forest
    _light("F3D9A9", "FBF0D6", "E6C394", "D8AE7E", "EBCF9B", "C0A368", "FFFFFF"),  # sand
    _light("CFE0EE", "F6F9FC", "D9E4EF", "C2D3E2", "EDF2F7", "B3C5D3", "FFFFFF"),  # snow
)

_PETALS = tuple(hexes(code) for code in ("F7F3EA", "F2A7B0", "F3CC5C", "B79AD6", "E98A6B", "8EBBE0"))


def backdrop(scenery: int, side: int) -> Image.Image:
    """Paint what lies behind the creature, `side` pixels wide and high."""
    rng = np.random.default_rng([scenery, 0])
    light = _LIGHTS[rng.integers(len(_LIGHTS))]
    ramp = np.linspace(0, 1, side)[:, None] ** 0.8 * 1.35
    rows = np.clip((1 - ramp) * np.array(light.top) + ramp * np.array(light.low), 0, 255)
    picture = Image.new("RGBA", (side, side))
    column = np.concatenate([rows, np.zeros((side, 1))], axis=1).round().astype(np.uint8)[:, None]
    picture.paste(Image.fromarray(column).resize((side, side), Image.Resampling.NEAREST))
    brush = Brush(picture=picture, matrix=np.eye(2) * side, offset=np.zeros(2), pixel=side)
    _sky(brush, light, rng)
    _land(brush, light, rng)
    return picture


def foreground(brush: Brush, scenery: int) -> None:
    """Paint a few tufts of grass and flowers along the lower edge, in front of the creature."""
    rng = np.random.default_rng([scenery, 1])
    light = _LIGHTS[np.random.default_rng([scenery, 0]).integers(len(_LIGHTS))]
    for _ in range(rng.integers(2, 6)):
        _grass(brush, float(rng.uniform(0, 1)), float(rng.uniform(0.955, 1.02)), light.blade, rng)


def _sky(brush: Brush, light: _Light, rng: np.random.Generator) -> None:
    if rng.random() < 0.7:
        x, y, radius = rng.uniform(0.1, 0.9), rng.uniform(0.08, 0.28), rng.uniform(0.05, 0.085)
        brush.flat(ellipse(0, 0, 1, 1) * radius + (x, y), light.glow)
    for _ in range(rng.integers(0, 4)):
        cloud = brush.at(rng.uniform(0, 1), rng.uniform(0.05, 0.36), scale=rng.uniform(0.6, 1.2))
        for x, y, radius in ((-0.06, 0.01, 0.035), (0.0, -0.012, 0.05), (0.06, 0.012, 0.034)):
            cloud.flat(ellipse(x, y, radius * 1.25, radius), _mix(light.low, (255, 255, 255), 0.7))


def _land(brush: Brush, light: _Light, rng: np.random.Generator) -> None:
    across = np.linspace(-0.02, 1.02, 30)
    for height, colour, swell in (
        (0.56, light.hills[0], 0.05),
        (0.65, light.hills[1], 0.04),
        (0.75, light.ground, 0.012),
    ):
        phase, pace, lift = rng.uniform(0, 6.3), rng.uniform(3, 8), rng.uniform(-0.04, 0.04)
        ridge = height + lift + swell * np.sin(pace * across + phase)
        brush.flat(np.concatenate([np.stack([across, ridge], axis=1), [[1.1, 1.1], [-0.1, 1.1]]]), colour)
        if colour == light.hills[1]:
            continue
        if colour == light.hills[0]:
            _trees(brush, light, ridge, across, rng)
    for _ in range(rng.integers(5, 11)):
        x, y = float(rng.uniform(0, 1)), float(rng.uniform(0.8, 0.99))
        thing = rng.integers(5)
        if thing == 0:
            _flower(brush, x, y, light, rng)
        elif thing == 1:
            _stone(brush, x, y, rng)
        elif thing == 2:
            _twig(brush, x, y, rng)
        else:
            _grass(brush, x, y, light.blade, rng)


def _trees(
    brush: Brush, light: _Light, ridge: np.ndarray[tuple[int], np.dtype[np.float64]],
    across: np.ndarray[tuple[int], np.dtype[np.float64]], rng: np.random.Generator,
) -> None:  # fmt: skip
    leaves = _mix(light.hills[1], light.blade, 0.4)
    for _ in range(rng.integers(0, 6)):
        spot = int(rng.integers(len(across)))
        tree = brush.at(across[spot], ridge[spot], scale=rng.uniform(0.7, 1.5))
        tree.flat(ribbon((0.0, 0.02), (0.0, -0.06), widths=(0.008, 0.006)), _mix(leaves, (70, 50, 50), 0.5))
        if rng.random() < 0.5:
            tree.flat(ellipse(0, -0.085, 0.045, 0.055), leaves)
        else:
            tree.flat(np.array([[-0.045, -0.03], [0.0, -0.15], [0.045, -0.03]]), leaves)


def _flower(brush: Brush, x: float, y: float, light: _Light, rng: np.random.Generator) -> None:
    height, petal = rng.uniform(0.03, 0.07), _PETALS[rng.integers(len(_PETALS))]
    stem = np.array([[x - 0.005, y], [x - 0.003, y - height], [x + 0.003, y - height], [x + 0.005, y]])
    brush.flat(stem, _mix(light.blade, (40, 80, 50), 0.3))
    head = brush.at(x, y - height)
    for turn in range(0, 360, 72):
        head.at(0, 0, turn=turn).flat(ellipse(0.014, 0, 0.013, 0.009, n=12), petal)
    head.flat(ellipse(0, 0, 0.008, 0.008, n=12), (246, 214, 110))


def _stone(brush: Brush, x: float, y: float, rng: np.random.Generator) -> None:
    grey = int(rng.integers(150, 195))
    stone = brush.at(x, y, scale=rng.uniform(0.6, 1.3))
    stone.flat(
        smooth((-0.04, 0.012), (-0.03, -0.016), (0.005, -0.026), (0.038, -0.006), (0.04, 0.014)),
        (grey, grey - 4, grey - 8),
    )
    stone.flat(
        smooth((-0.024, -0.006), (-0.008, -0.02), (0.014, -0.016), (0.0, -0.008)), (grey + 24, grey + 22, grey + 20)
    )


def _twig(brush: Brush, x: float, y: float, rng: np.random.Generator) -> None:
    twig = brush.at(x, y, turn=rng.uniform(-30, 30), scale=rng.uniform(0.7, 1.2))
    twig.flat(ribbon((-0.06, 0.0), (0.0, -0.008), (0.06, 0.0), widths=(0.007, 0.006, 0.003)), (140, 108, 86))
    twig.flat(ribbon((0.0, -0.006), (0.03, -0.03), widths=(0.005, 0.002)), (140, 108, 86))


def _grass(brush: Brush, x: float, y: float, blade: Colour, rng: np.random.Generator) -> None:
    for lean in rng.uniform(-0.03, 0.03, size=3):
        tip = y - rng.uniform(0.03, 0.06)
        brush.flat(np.array([[x - 0.009, y], [x + lean, tip], [x + 0.009, y]]), blade)
        x += 0.008


def _mix(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (round((1 - share) * a + share * b) for a, b in zip(one, other, strict=True))
    return red, green, blue
