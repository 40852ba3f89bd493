"""How good an explanation is, with and without ground truth."""

from likethat.metrics.attributions import Curves, insertion_deletion, sensitivity
from likethat.metrics.channels import ChannelStability, channel_stability, held_out_purity, mean_coverage
from likethat.metrics.deletion import Deletion, delete_rows, rank_agreement
from likethat.metrics.evaluate import Measures, evaluate
from likethat.metrics.frechet import frechet_distance
from likethat.metrics.parts import (
    PartConsistency,
    box_match,
    huang_consistency,
    huang_stability,
    part_consistency,
    parts_in_windows,
    pip_net_purity,
)
from likethat.metrics.single_deletion import importance_of, single_deletion
from likethat.metrics.truth import SURROUNDINGS, PartTruth, part_at

__all__ = [
    "SURROUNDINGS",
    "ChannelStability",
    "Curves",
    "Deletion",
    "Measures",
    "PartConsistency",
    "PartTruth",
    "box_match",
    "channel_stability",
    "delete_rows",
    "evaluate",
    "frechet_distance",
    "held_out_purity",
    "huang_consistency",
    "huang_stability",
    "importance_of",
    "insertion_deletion",
    "mean_coverage",
    "part_at",
    "part_consistency",
    "parts_in_windows",
    "pip_net_purity",
    "rank_agreement",
    "sensitivity",
    "single_deletion",
]
