"""One pass of a model over a source: the vectors every method selects from, and the maps it learns from."""

from likethat.features.checkpoint import Checkpoint
from likethat.features.collect import Forward, collect
from likethat.features.features import Features
from likethat.features.peaks import Peaks, read_peaks

__all__ = ["Checkpoint", "Features", "Forward", "Peaks", "collect", "read_peaks"]
