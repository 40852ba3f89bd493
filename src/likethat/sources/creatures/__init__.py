"""Drawn birds and beasts whose parts are known, can be removed, and can be swapped."""

from likethat.sources.creatures.classes import CLASS_NAMES, CLASS_PARTS, PART_NAMES, REMOVABLE_PARTS, VARIANTS
from likethat.sources.creatures.creature import Creature, Pose
from likethat.sources.creatures.drawing import coverage, draw, masks
from likethat.sources.creatures.source import Creatures, CreatureSample, creatures

__all__ = [
    "CLASS_NAMES",
    "CLASS_PARTS",
    "PART_NAMES",
    "REMOVABLE_PARTS",
    "VARIANTS",
    "Creature",
    "CreatureSample",
    "Creatures",
    "Pose",
    "coverage",
    "creatures",
    "draw",
    "masks",
]
