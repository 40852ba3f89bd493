"""ProDG's objective in loops over images and cells (Borycki et al. 2026), without the ReLU."""

import math

from torch import Tensor


def purity(feature_map: Tensor, mixing: Tensor, channel: int) -> float:
    """The cosine with the channel's axis at the cell where the channel is highest, of a map (channel, cell)."""
    best, found = -math.inf, 0.0
    for cell in range(feature_map.shape[1]):
        mixed = mixing.double() @ feature_map[:, cell].double()
        if float(mixed[channel]) > best:
            best = float(mixed[channel])
            norm = math.sqrt(sum(float(value) ** 2 for value in mixed))
            found = best / norm if norm else 0.0
    return found


def loss(
    maps: Tensor, mixing: Tensor, channel: int, moved: Tensor, scale: Tensor, *, diversity: float, closeness: float
) -> float:
    """The loss of one channel's images, times their number.

    maps (image, channel, cell); moved (own, latent): latents less the sample they began as.
    """
    n = len(maps)
    pure = sum(purity(feature_map, mixing, channel) for feature_map in maps)
    alike = 0.0
    for first in maps:
        for second in maps:
            a, b = first.double().mean(1), second.double().mean(1)
            alike += float(a @ b) / (float(a.norm()) * float(b.norm())) / n**2
    away = 0.0
    for own in moved:
        for value, width in zip(own.tolist(), scale.tolist(), strict=True):
            away += (value / width) ** 2 / moved.numel()
    return -pure + n * (diversity * alike + closeness * away)
