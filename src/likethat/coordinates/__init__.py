"""Exact rewritings of pool + head: how class's head vectors are split, or the cells of each image shared."""

from likethat.coordinates.base import Coordinates, Divided, SharedCells, Units
from likethat.coordinates.head_parts import HeadParts
from likethat.coordinates.rotation import Rotation
from likethat.coordinates.shared_cells import PhotoRegions, SuperclassParts

__all__ = [
    "Coordinates",
    "Divided",
    "HeadParts",
    "PhotoRegions",
    "Rotation",
    "SharedCells",
    "SuperclassParts",
    "Units",
]
