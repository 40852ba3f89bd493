"""Exact rewritings of pool + head: which summands a class's head vector is split into."""

from likethat.coordinates.base import Coordinates
from likethat.coordinates.head_parts import HeadParts
from likethat.coordinates.rotation import Rotation

__all__ = ["Coordinates", "HeadParts", "Rotation"]
