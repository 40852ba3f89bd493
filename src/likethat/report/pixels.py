"""Pictures with heat maps and boxes on them: pure functions of arrays."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from PIL import Image

from likethat.explanations.records import HALF, Box
from likethat.report.palette import AGAINST, FOR, rgb

LEAST_CLOSE_UP = 12
"""Pixels a side of a window whose enlargement shows more than a smear: a cell of a 32 x 32 photo has 7 with its rim, of
a 64 x 64 drawing 14."""
_OUTLINE_GRID = 32  # points a side that an outline runs between, of large maps twice as many: some kilobytes
_LOSSLESS_UP_TO = 160  # pixels a side: flat drawings stay exact, photographs become JPEG

RGB = UInt8[NDArray[np.uint8], "height width 3"]


def to_picture(image: Float[NDArray[np.float32], "channel height width"]) -> RGB:
    """Return an image in [0, 1] as a picture: grey for one or two channels, else its first three."""
    values = np.clip(np.nan_to_num(image), 0, 1)
    shown = values[:3] if len(values) >= 3 else np.repeat(values[:1], 3, axis=0)
    return np.ascontiguousarray(np.round(shown * 255).astype(np.uint8).transpose(1, 2, 0))


def to_rgb(picture: NDArray[np.uint8]) -> RGB:
    """Return a picture, grey (height, width) or coloured, as (height, width, 3)."""
    return np.repeat(picture[..., None], 3, axis=2) if picture.ndim == 2 else picture[..., :3]


def upsample(
    heat_map: Float[NDArray[np.float32], "row column"], size: tuple[int, int]
) -> Float[NDArray[np.float64], "height width"]:
    """Enlarge a map bilinearly; each cell's value stands at the cell's centre, the edges repeat.

    Example:
        >>> upsample(np.array([[0.0, 4.0]]), (1, 4)).tolist()
        [[0.0, 1.0, 3.0, 4.0]]
    """
    return _interpolation(heat_map.shape[0], size[0]) @ heat_map @ _interpolation(heat_map.shape[1], size[1]).T


def _interpolation(n_cells: int, n_pixels: int) -> Float[NDArray[np.float64], "pixel cell"]:
    centres = np.clip((np.arange(n_pixels) + 0.5) * n_cells / n_pixels - 0.5, 0, n_cells - 1)
    return np.maximum(0.0, 1 - np.abs(centres[:, None] - np.arange(n_cells)))


def colour_heat(
    heat: Float[NDArray[np.float64], "height width"], scale: float | None = None
) -> Float[NDArray[np.float64], "height width 4"]:
    """Colour signed values: blue for, orange against, the more opaque the larger.

    Args:
        heat: signed values.
        scale: the magnitude that is fully opaque; the largest of `heat` when None.

    Returns:
        Red, green, blue and alpha in [0, 1]; alpha is 0 where `heat` is 0.
    """
    top = float(np.abs(heat).max(initial=0.0)) if scale is None else scale
    alpha = np.clip(np.abs(heat) / top, 0, 1) if top > 0 else np.zeros_like(heat, dtype=np.float64)
    colours = np.array([rgb(AGAINST), rgb(FOR)]) / 255
    return np.concatenate([colours[(heat > 0).astype(int)], alpha[..., None]], axis=2)


def overlay(
    picture: NDArray[np.uint8],
    heat_map: Float[NDArray[np.float32], "row column"],
    *,
    strength: float = 0.8,
) -> RGB:
    """Lay a coloured heat map over a picture, whose own colours fade so that the map's can be told.

    Args:
        picture: grey or coloured.
        heat_map: signed; enlarged to the picture.
        strength: opacity of the largest magnitude, in [0, 1].
    """
    base = to_rgb(picture).astype(np.float64)
    grey = base @ np.array([0.299, 0.587, 0.114])
    faded = 0.45 * base + 0.55 * (0.85 * grey + 0.15 * 255)[..., None]
    top = float(np.abs(heat_map).max(initial=0.0))
    coloured = colour_heat(upsample(heat_map, (base.shape[0], base.shape[1])), top)
    alpha = strength * coloured[..., 3:]
    blended = (1 - alpha) * faded + alpha * 255 * coloured[..., :3]
    return np.round(blended).clip(0, 255).astype(np.uint8)


def outline(values: Float[NDArray[np.float32], "row column"], *, share: float = HALF) -> str:
    """Return the line round where a map is above a share of its peak, as an SVG path in percent of the picture.

    Marching squares between the points of the enlarged map: a piece for each square that the line crosses.

    Args:
        values: the map; what is below 0 is outside.
        share: of the largest value.

    Returns:
        The path; "" where nothing is above 0, or nothing is outside.

    Example:
        >>> outline(np.zeros((2, 2)))
        ''
    """
    rows, columns = (min(max(1, round(_OUTLINE_GRID / n)) * n, 2 * _OUTLINE_GRID) for n in values.shape)
    level = share * float(values.max(initial=0.0))
    inner = upsample(values, (rows, columns)) - level
    if level <= 0 or bool((inner > 0).all()):
        return ""
    height = np.pad(inner, 1, constant_values=-level)
    y, x = ((np.arange(n + 2) - 0.5) / n * 100 for n in (rows, columns))
    pieces = []
    for row, column in _crossed(height > 0):
        corners = [(row, column), (row, column + 1), (row + 1, column + 1), (row + 1, column)]
        ends = []
        for one, other in zip(corners, corners[1:] + corners[:1], strict=True):
            first, second = height[one], height[other]
            if (first > 0) != (second > 0):
                at = first / (first - second)
                across, down = x[one[1]] + at * (x[other[1]] - x[one[1]]), y[one[0]] + at * (y[other[0]] - y[one[0]])
                ends.append(f"{min(max(across, 0), 100):.1f} {min(max(down, 0), 100):.1f}")
        pieces += [f"M{start}L{end}" for start, end in zip(ends[::2], ends[1::2], strict=True)]
    return "".join(pieces)


def _crossed(inside: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the squares of four neighbours of which some are inside and some are not."""
    four = inside[:-1, :-1].astype(int) + inside[1:, :-1] + inside[:-1, 1:] + inside[1:, 1:]
    return [(int(row), int(column)) for row, column in np.argwhere((four > 0) & (four < 4))]


def close_up(box: Box, size: tuple[int, int], *, zoom: float = 1.7) -> Box:
    """Return a square window round `box`, `zoom` times its longer side, moved inside a picture (height, width).

    Example:
        >>> close_up((0, 40, 20, 60), (100, 100), zoom=2.0)
        (0, 30, 40, 70)
    """
    height, width = size
    left, top, right, bottom = box
    longer = max(right - left, bottom - top, 1)
    side = min(max(round(longer * zoom), min(height, width) // 5, 4), height, width)
    x = min(max(round((left + right - side) / 2), 0), width - side)
    y = min(max(round((top + bottom - side) / 2), 0), height - side)
    return x, y, x + side, y + side


def shrink(picture: NDArray[np.uint8], limit: int) -> NDArray[np.uint8]:
    """Return a picture of at most `limit` pixels a side; a smaller one as it is."""
    longer = max(picture.shape[:2])
    if longer <= limit:
        return picture
    width, height = (max(1, round(side * limit / longer)) for side in (picture.shape[1], picture.shape[0]))
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS))


def encode(picture: NDArray[np.uint8], *, is_whole: bool = True) -> tuple[str, bytes]:
    """Return the file ending and the bytes: PNG for small pictures, JPEG for others.

    Args:
        picture: to encode.
        is_whole: it has the pixels that the network saw. One that was made smaller has none to keep, and becomes a JPEG
            unless a PNG is the smaller file.
    """
    is_small = max(picture.shape[:2]) <= _LOSSLESS_UP_TO
    png = _saved(picture, format="PNG", optimize=True) if is_small else b""
    if is_small and is_whole:
        return "png", png
    jpeg = _saved(picture, format="JPEG", quality=88)
    return ("png", png) if is_small and len(png) <= len(jpeg) else ("jpg", jpeg)


def strip(pictures: Sequence[NDArray[np.uint8]], side: int) -> RGB:
    """Return squares of `side` pixels beside each other, each a picture brought to it."""
    resized = [Image.fromarray(to_rgb(picture)).resize((side, side), Image.Resampling.BILINEAR) for picture in pictures]
    return np.concatenate([np.asarray(picture) for picture in resized], axis=1)


def encode_small(picture: NDArray[np.uint8]) -> tuple[str, bytes]:
    """Return the file ending and the bytes of a picture of which there are a thousand on a page."""
    return "webp", _saved(picture, format="WEBP", quality=60)


def _saved(picture: NDArray[np.uint8], **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, **options)
    return buffer.getvalue()


def data_uri(ending: str, data: bytes) -> str:
    """Return encoded bytes as an address that needs no network."""
    kind = {"png": "png", "jpg": "jpeg", "webp": "webp"}[ending]
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
