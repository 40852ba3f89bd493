"""EPIC's definitions in loops over channels, images and cells (Borycki et al. 2026, section 3)."""

import math

from torch import Tensor


def top_images(maps: Tensor, mixing: Tensor, channel: int, n: int) -> list[int]:
    """The n images whose mixed channel sums highest over all cells; equals by number."""
    scores = []
    for image in range(len(maps)):
        total = 0.0
        for cell in range(maps.shape[2]):
            total += float(mixing[channel].double() @ maps[image, :, cell].double())
        scores.append((-total, image))
    return [image for _, image in sorted(scores)[:n]]


def peak(feature_map: Tensor, mixing: Tensor, channel: int) -> tuple[int, float]:
    """The cell where the mixed channel is highest, and the purity of the mixed vector there."""
    mixed = [mixing.double() @ feature_map[:, cell].double() for cell in range(feature_map.shape[1])]
    best = max(range(len(mixed)), key=lambda cell: float(mixed[cell][channel]))
    norm = math.sqrt(sum(float(value) ** 2 for value in mixed[best]))
    return best, float(mixed[best][channel]) / norm if norm else 0.0


def mean_purity(maps: Tensor, mixing: Tensor, n: int) -> float:
    """Mean purity of the n prototypes of every channel."""
    values = [
        peak(maps[image], mixing, channel)[1]
        for channel in range(len(mixing))
        for image in top_images(maps, mixing, channel, n)
    ]
    return sum(values) / len(values)
