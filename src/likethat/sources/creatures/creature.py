"""A drawn creature as data: what it wears, how it stands, where."""

import math
from dataclasses import astuple, dataclass, replace

import numpy as np

from likethat._checks import check_choice
from likethat.errors import InputError, NonFiniteError
from likethat.sources.creatures.classes import (
    CLASS_KINDS,
    CLASS_NAMES,
    CLASS_PARTS,
    PART_NAMES,
    REMOVABLE_PARTS,
    VARIANTS,
    Kind,
)


@dataclass(frozen=True, kw_only=True)
class Pose:
    """How a creature stands in its picture. Angles are in degrees, positive is clockwise before mirroring.

    Attributes:
        faces_left: mirrored; unmirrored creatures look to the right.
        x, y: shift of the whole creature, in picture widths.
        scale: its size, 1 is about four fifths of the picture.
        tilt, head, wing, tail: turns of the whole, and of the three parts about their joints.
        stride: how far the legs are apart, -1 to 1.
    """

    faces_left: bool = False
    x: float = 0.0
    y: float = 0.0
    scale: float = 1.0
    tilt: float = 0.0
    head: float = 0.0
    wing: float = 0.0
    tail: float = 0.0
    stride: float = 0.0

    def __post_init__(self) -> None:
        if not all(math.isfinite(value) for value in astuple(self)):
            raise NonFiniteError(f"`pose` must be finite numbers, got {self}.")


@dataclass(frozen=True, kw_only=True)
class Creature:
    """The whole description of one picture; `draw` turns it into pixels.

    Attributes:
        label: class index; edits keep it, though the edited creature may look like another class.
        kind: the build, ``"bird"`` or ``"beast"``.
        variants: what it wears, in the order of `PART_NAMES`; None where the part is left out.
        pose: how it stands.
        tint: gains on red, green and blue of its colours, about 1.
        scenery: seed of everything that is no creature: light, hills, clouds, grass, flowers.

    Example:
        >>> creature = sample_creature(0, np.random.default_rng(0))
        >>> creature.swap("tail", "ringed").parts["tail"]
        'ringed'
        >>> "tail" in creature.without("tail").parts
        False
    """

    label: int
    kind: Kind
    variants: tuple[str | None, ...]
    pose: Pose = Pose()
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    scenery: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.label < len(CLASS_NAMES):
            raise InputError(f"`label` must be from 0 to {len(CLASS_NAMES) - 1}, got {self.label}.")
        if len(self.variants) != len(PART_NAMES):
            raise InputError(f"`variants` must be {len(PART_NAMES)} (one a part), got {len(self.variants)}.")
        for part, variant in zip(PART_NAMES, self.variants, strict=True):
            if variant is not None:
                check_choice(variant, name=f"variant of {part}", choices=VARIANTS[part])
            elif part not in REMOVABLE_PARTS:
                raise InputError(f"`{part}` must stay, for the other parts hang on it. Swap it instead.")

    @property
    def class_name(self) -> str:
        """The name of its class."""
        return CLASS_NAMES[self.label]

    @property
    def parts(self) -> dict[str, str]:
        """The variant of each part that is there."""
        return {part: variant for part, variant in zip(PART_NAMES, self.variants, strict=True) if variant is not None}

    def without(self, part: str) -> "Creature":
        """Return the same picture with one part left out.

        Raises:
            InputError: no removable part of that name.
        """
        check_choice(part, name="part", choices=REMOVABLE_PARTS)
        return self._wearing(part, None)

    def swap(self, part: str, variant: str) -> "Creature":
        """Return the same picture with one part of another variant (also puts back a part left out).

        Raises:
            InputError: no such part, or it has no such variant.
        """
        check_choice(part, name="part", choices=PART_NAMES)
        check_choice(variant, name="variant", choices=VARIANTS[part])
        return self._wearing(part, variant)

    def _wearing(self, part: str, variant: str | None) -> "Creature":
        worn = tuple(variant if name == part else old for name, old in zip(PART_NAMES, self.variants, strict=True))
        return replace(self, variants=worn)


def sample_creature(label: int, rng: np.random.Generator, *, removed_parts: float = 0.0) -> Creature:
    """Draw pose, light and scenery of a creature of class `label` at random.

    Args:
        label: class index.
        rng: the only source of chance; the same number of draws whatever `removed_parts`.
        removed_parts: probability that one random removable part is left out.

    Returns:
        The description; the scenery is independent of the class.
    """
    pose = Pose(
        faces_left=bool(rng.random() < 0.5),
        x=float(rng.uniform(-0.06, 0.06)),
        y=float(rng.uniform(-0.03, 0.045)),
        scale=float(rng.uniform(0.84, 1.06)),
        tilt=float(rng.uniform(-7, 7)),
        head=float(rng.uniform(-12, 12)),
        wing=float(rng.uniform(-14, 10)),
        tail=float(rng.uniform(-14, 14)),
        stride=float(rng.uniform(-1, 1)),
    )
    light = rng.uniform(0.93, 1.07)
    red, green, blue = (float(gain) for gain in light * rng.uniform(0.94, 1.06, size=3))
    creature = Creature(
        label=label,
        kind=CLASS_KINDS[label],
        variants=tuple(CLASS_PARTS[label][part] for part in PART_NAMES),
        pose=pose,
        tint=(red, green, blue),
        scenery=int(rng.integers(2**31)),
    )
    is_removed = bool(rng.random() < removed_parts)
    part = str(rng.choice(REMOVABLE_PARTS))
    return creature.without(part) if is_removed else creature
