"""From the description of a creature to pixels and to the true masks of its parts."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from likethat._checks import check_count
from likethat.sources.creatures._bodies import BODIES, LEGS, TAILS, WINGS
from likethat.sources.creatures._brush import Brush, ellipse
from likethat.sources.creatures._faces import CROWNS, EYES, HEADS, MOUTHS
from likethat.sources.creatures._scenery import backdrop, foreground
from likethat.sources.creatures.classes import PART_NAMES, Kind
from likethat.sources.creatures.creature import Creature

_NUMBER = {part: number for number, part in enumerate(PART_NAMES, start=1)}
"""In the part map, where 0 is the surroundings."""


@dataclass(frozen=True, kw_only=True)
class _Build:
    """Where the joints are, in picture widths from the middle of the body (y downwards)."""

    middle: tuple[float, float]
    head: tuple[float, float]
    wing: tuple[float, float, float]
    tail: tuple[float, float, float]


_BUILDS: dict[Kind, _Build] = {
    "bird": _Build(middle=(0.475, 0.575), head=(0.165, -0.2), wing=(0.07, -0.02, -8.0), tail=(-0.175, 0.01, 6.0)),
    "beast": _Build(middle=(0.455, 0.585), head=(0.2, -0.175), wing=(0.05, -0.07, 34.0), tail=(-0.215, -0.04, 22.0)),
}


def draw(creature: Creature, size: int = 96) -> Float[Tensor, "3 size size"]:
    """Draw a creature.

    Args:
        creature: what to draw.
        size: pixels along a side.

    Returns:
        Float32 in [0, 1]; always the same for the same description and size.

    Raises:
        InputError: `size` is too small.

    Example:
        >>> from likethat.sources.creatures import creatures
        >>> draw(creatures(n=1).creature(0), 64).shape
        torch.Size([3, 64, 64])
    """
    return torch.from_numpy(pixels(creature, size)).permute(2, 0, 1).contiguous().float() / 255


def pixels(creature: Creature, size: int) -> npt.NDArray[np.uint8]:
    """Draw a creature as (size, size, 3) bytes."""
    fine = _paint(creature, size)
    return np.array(fine.convert("RGB").reduce(fine.width // size))


def coverage(creature: Creature, size: int = 96) -> npt.NDArray[np.float32]:
    """Return how much of each pixel shows the surroundings (row 0) and each part of `PART_NAMES` (rows 1 to 8).

    An edit of one part changes only pixels in which that part has a share before or after.

    Returns:
        (9, size, size); the shares of a pixel sum to 1.
    """
    fine = _paint(creature, size)
    fold = fine.width // size
    blocks = np.asarray(fine.getchannel("A")).reshape(size, fold, size, fold)
    numbers = np.arange(len(PART_NAMES) + 1, dtype=np.uint8)
    return np.stack([(blocks == number).sum(axis=(1, 3)) for number in numbers]).astype(np.float32) / np.float32(
        fold**2
    )


def masks(creature: Creature, size: int = 96) -> dict[str, npt.NDArray[np.bool_]]:
    """Return the visible pixels of each part that is there: those in which it has the largest share.

    Returns:
        Part name to (size, size); no pixel belongs to two parts.
    """
    owner = coverage(creature, size).argmax(axis=0)
    return {part: owner == _NUMBER[part] for part in creature.parts}


def _paint(creature: Creature, size: int) -> Image.Image:
    check_count(size, name="size", minimum=16)
    side = size * (4 if size <= 64 else 3 if size <= 160 else 2)
    picture = backdrop(creature.scenery, side)
    build, pose = _BUILDS[creature.kind], creature.pose
    page = Brush(picture=picture, matrix=np.eye(2) * side, offset=np.zeros(2), pixel=side)
    mirror = np.diag([-1.0 if pose.faces_left else 1.0, 1.0])
    x = build.middle[0] + pose.x
    standing = Brush(
        picture=picture,
        matrix=page.matrix @ mirror,
        offset=side * np.array([1 - x if pose.faces_left else x, build.middle[1] + pose.y]),
        pixel=side * pose.scale,
        tint=creature.tint,
    )
    _shadow(standing.at(0, 0, scale=pose.scale))
    _creature(standing.at(0, 0, turn=pose.tilt, scale=pose.scale), creature, build)
    foreground(page, creature.scenery)
    return picture


def _shadow(brush: Brush) -> None:
    """Darken the ground under the creature; the same whatever it wears."""
    picture, side = brush.picture, brush.picture.width
    outline = ellipse(-0.01, 0.285, 0.25, 0.035) @ brush.matrix.T + brush.offset
    low, high = np.clip(np.floor(outline.min(axis=0)), 0, side), np.clip(np.ceil(outline.max(axis=0)), 0, side)
    box = (int(low[0]), int(low[1]), int(high[0]), int(high[1]))
    patch = picture.crop(box)
    stencil = Image.new("RGBA", patch.size)
    Brush(picture=stencil, matrix=brush.matrix, offset=brush.offset - low, pixel=1.0, part=255).flat(
        ellipse(-0.01, 0.285, 0.25, 0.035), (0, 0, 0)
    )
    picture.paste(patch.point(_DIM), box[:2], stencil.getchannel("A"))


_DIM = [round(value * gain) for gain in (0.8, 0.8, 0.85, 1.0) for value in range(256)]
"""Darker and a little bluer, as shade is; alpha as it is."""


def _creature(brush: Brush, creature: Creature, build: _Build) -> None:
    """Paint the parts, back to front."""
    parts, kind, pose = creature.parts, creature.kind, creature.pose
    wing_x, wing_y, wing_turn = build.wing
    tail_x, tail_y, tail_turn = build.tail
    face = brush.at(*build.head, turn=pose.head)
    if "tail" in parts:
        TAILS[parts["tail"]](brush.at(tail_x, tail_y, turn=tail_turn + pose.tail).numbered(_NUMBER["tail"]))
    if "legs" in parts:
        LEGS[parts["legs"]](brush.numbered(_NUMBER["legs"]), kind, pose.stride)
    BODIES[parts["body"]](brush.numbered(_NUMBER["body"]), kind)
    if "wing" in parts:
        WINGS[parts["wing"]](brush.at(wing_x, wing_y, turn=wing_turn + pose.wing).numbered(_NUMBER["wing"]))
    if "crown" in parts:
        CROWNS[parts["crown"]](face.at(-0.01, -0.1).numbered(_NUMBER["crown"]))
    HEADS[parts["head"]](face.numbered(_NUMBER["head"]))
    if "mouth" in parts:
        MOUTHS[parts["mouth"]](face.at(0.105, 0.025).numbered(_NUMBER["mouth"]))
    if "eye" in parts:
        EYES[parts["eye"]](face.at(0.045, -0.03).numbered(_NUMBER["eye"]))
