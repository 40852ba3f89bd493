"""A brush on an RGBA picture whose fourth channel is the number of the part, not its opacity.

Everything is painted opaque, back to front, on a picture a few times too large; one pass gives colours and part
numbers together, and averaging blocks of pixels smooths both.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

Points: TypeAlias = npt.NDArray[np.float64]
Colour: TypeAlias = tuple[int, int, int]
Mark: TypeAlias = tuple[Points, Colour]

_INK = np.array([44.0, 30.0, 40.0])


def hexes(text: str) -> Colour:
    """Return the colour of six hexadecimal digits."""
    red, green, blue = bytes.fromhex(text)
    return red, green, blue


@lru_cache(maxsize=512)
def ellipse(x: float, y: float, rx: float, ry: float, turn: float = 0.0, n: int = 36) -> Points:
    """Return the outline of an ellipse turned by `turn` degrees."""
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    across, down = rx * np.cos(angle), ry * np.sin(angle)
    return np.stack([x + across * cos - down * sin, y + across * sin + down * cos], axis=1)


@lru_cache(maxsize=512)
def smooth(*knots: tuple[float, float], closed: bool = True, steps: int = 7) -> Points:
    """Return a curve through the knots (Catmull-Rom)."""
    p1 = np.array(knots, dtype=np.float64)
    ends = p1 if closed else np.concatenate([p1[:1], p1, p1[-1:]])
    p0, p2, p3 = (
        (np.roll(p1, 1, 0), np.roll(p1, -1, 0), np.roll(p1, -2, 0)) if closed else (ends[:-3], ends[2:-1], ends[3:])
    )
    p1 = p1 if closed else ends[1:-2]
    t = (np.arange(steps) / steps)[None, :, None]
    p0, p1, p2, p3 = (p[:, None] for p in (p0, p1, p2, p3))
    curve = 0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * (p1 - p2) + p3 - p0) * t**3)
    points = curve.reshape(-1, 2)
    return points if closed else np.concatenate([points, ends[-1:]])


@lru_cache(maxsize=512)
def ribbon(*knots: tuple[float, float], widths: tuple[float, ...]) -> Points:
    """Return the outline of a band along a curve, its half width running through `widths`."""
    spine = smooth(*knots, closed=False)
    along = np.gradient(spine, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    half = np.interp(np.linspace(0, 1, len(spine)), np.linspace(0, 1, len(widths)), widths)[:, None]
    side = np.stack([-along[:, 1], along[:, 0]], axis=1) * half
    return np.concatenate([spine + side, (spine - side)[::-1]])


@dataclass(frozen=True, kw_only=True, eq=False)
class Brush:
    """Paints shapes given in local coordinates.

    Attributes:
        picture: RGBA, the fourth channel holds the part number.
        matrix, offset: local coordinates to pixels.
        pixel: pixels in one picture width, for the width of outlines.
        part: number written where it paints.
        tint: gains on red, green and blue.
    """

    picture: Image.Image
    matrix: npt.NDArray[np.float64]
    offset: npt.NDArray[np.float64]
    pixel: float
    part: int = 0
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def at(self, x: float, y: float, *, turn: float = 0.0, scale: float = 1.0) -> "Brush":
        """Return a brush whose origin is at (x, y), turned clockwise by `turn` degrees."""
        cos, sin = np.cos(np.radians(turn)) * scale, np.sin(np.radians(turn)) * scale
        matrix = self.matrix @ np.array([[cos, -sin], [sin, cos]])
        return replace(self, matrix=matrix, offset=self.matrix @ np.array([x, y]) + self.offset)

    def numbered(self, part: int) -> "Brush":
        """Return a brush that writes another part number."""
        return replace(self, part=part)

    def flat(self, points: Points, colour: Colour) -> None:
        """Fill a shape, without outline."""
        _fill(ImageDraw.Draw(self.picture), self._place(points), self._ink(colour))

    def shape(self, points: Points, colour: Colour, *, marks: tuple[Mark, ...] = (), shade: float = 0.0) -> None:
        """Fill an outlined shape, with marks that stay inside it and a shaded rim below.

        Args:
            points: its outline.
            colour: its fill; the outline is a dark kin of it.
            marks: shapes with colours, cut off at the outline.
            shade: width of the shaded rim, in local units; 0 for none.
        """
        placed = self._place(points)
        fill, dark = self._ink(colour), self._ink(_darker(colour))
        pen = ImageDraw.Draw(self.picture)
        _fill(pen, _grown(placed, 0.0085 * self.pixel), dark)
        if not marks and not shade:
            _fill(pen, placed, fill)
            return
        corner = np.floor(placed.min(axis=0)).astype(int)
        width, height = (int(side) for side in np.ceil(placed.max(axis=0)).astype(int) - corner + 1)
        patch = Image.new("RGBA", (width, height), fill)
        pen = ImageDraw.Draw(patch)
        for outline, mark_colour in marks:
            _fill(pen, self._place(outline) - corner, self._ink(mark_colour))
        if shade:
            self._shade(patch, placed - corner, shade)
        self.picture.paste(patch, (int(corner[0]), int(corner[1])), _stencil(placed - corner, patch.size))

    def _shade(self, patch: Image.Image, placed: Points, shade: float) -> None:
        up = self.pixel * shade * np.array([-0.35, -1.0])
        lit = Image.new("L", patch.size, 255)
        ImageDraw.Draw(lit).polygon((placed + up).ravel().tolist(), fill=0)
        patch.paste(patch.point(_SHADE), (0, 0), lit)

    def _place(self, points: Points) -> Points:
        return points @ self.matrix.T + self.offset

    def _ink(self, colour: Colour) -> tuple[int, int, int, int]:
        return (*_tinted(colour, self.tint), self.part)


_SHADE = [round(value * gain) for gain in (0.80, 0.78, 0.84, 1.0) for value in range(256)]
"""Darker and a little bluer, as shade is; alpha as it is."""


def _fill(pen: ImageDraw.ImageDraw, placed: Points, ink: tuple[int, int, int, int]) -> None:
    pen.polygon(placed.ravel().tolist(), fill=ink)


@lru_cache(maxsize=256)
def _tinted(colour: Colour, tint: tuple[float, float, float]) -> Colour:
    red, green, blue = (min(255, round(value * gain)) for value, gain in zip(colour, tint, strict=True))
    return red, green, blue


@lru_cache(maxsize=256)
def _darker(colour: Colour) -> Colour:
    red, green, blue = (round(value) for value in 0.38 * np.array(colour) + 0.45 * _INK)
    return red, green, blue


def _grown(placed: Points, width: float) -> Points:
    ring = np.concatenate([placed[-1:], placed, placed[:1]])
    after = ring[2:]
    along = after - ring[:-2]
    outward = np.stack([along[:, 1], -along[:, 0]], axis=1)
    outward /= np.maximum(np.sqrt((along * along).sum(axis=1))[:, None], 1e-9)
    turns = np.sum(placed[:, 0] * after[:, 1] - after[:, 0] * placed[:, 1])
    return placed + outward * (width if turns > 0 else -width)


def _stencil(placed: Points, size: tuple[int, int]) -> Image.Image:
    stencil = Image.new("L", size, 0)
    ImageDraw.Draw(stencil).polygon(placed.ravel().tolist(), fill=255)
    return stencil
