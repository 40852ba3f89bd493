"""Pure tensor functions, each from one equation."""

from likethat.functional.contributions import contributions, coverage
from likethat.functional.peaks import cell_box, peak_cells
from likethat.functional.purity import purity
from likethat.functional.rotations import polar_factor, random_rotation, rotation_from, whitening

__all__ = [
    "cell_box",
    "contributions",
    "coverage",
    "peak_cells",
    "polar_factor",
    "purity",
    "random_rotation",
    "rotation_from",
    "whitening",
]
