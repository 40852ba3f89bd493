"""One pass of a model over a source: the vectors every method selects from, and the maps it learns from."""

from likethat.features.collect import collect
from likethat.features.features import Features
from likethat.features.looking import Forward
from likethat.features.peaks import Peaks, mean_unit_patches, read_peaks

__all__ = ["Features", "Forward", "Peaks", "collect", "mean_unit_patches", "read_peaks"]
