"""How the logits of the predicted classes use the channels of a rotation."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from likethat._vectors import blocks
from likethat.coordinates import Rotation
from likethat.features import Features
from likethat.functional import coverage as coverage_of


@dataclass(frozen=True, kw_only=True, eq=False)
class Use:
    """Mean absolute contribution of each channel, and the mean coverage of the best four."""

    """How the logits of the predicted classes use the channels."""

    per_channel: Float[np.ndarray, " channel"]
    coverage: float


def usage_of(features: Features, rotation: Rotation, *, block: int = 8192) -> Use:
    """Measure the use of every channel over all images."""
    head, matrix = rotation.mixed_head.float(), rotation.matrix()
    total = torch.zeros(rotation.n_units, dtype=torch.float64)
    covered = 0.0
    for first, part in blocks(features.pooled):
        for start in range(0, len(part), block):
            pooled = part[start : start + block]
            predicted = features.predicted[first + start : first + start + len(pooled)]
            values = (pooled @ matrix.T) * head[predicted]
            total += values.abs().sum(0)
            covered += float(coverage_of(values, top=4).sum())
    return Use(per_channel=(total / len(features)).float().numpy(), coverage=covered / len(features))
