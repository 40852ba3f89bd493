"""EPIC's definitions in loops over channels, images and cells (Borycki et al. 2026, section 3)."""

import math

import torch
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


def mean_patches(maps: Tensor, mixing: Tensor, n: int) -> Tensor:
    """Each channel's mean, over the n images where it is highest, of the unit vector at its peak."""
    rows = []
    for channel in range(len(mixing)):
        total = torch.zeros(maps.shape[1], dtype=torch.float64)
        for image in top_images(maps, mixing, channel, n):
            patch = maps[image, :, peak(maps[image], mixing, channel)[0]].double()
            total += patch / patch.norm() / n
        rows.append(total)
    return torch.stack(rows)


def procrustes(maps: Tensor, counts: list[int], *, shrinkage: float, weights: Tensor | None = None) -> Tensor:
    """Rounds of the rotation closest to the mean patches, drawn to the network's own channels."""
    rotation = torch.eye(maps.shape[1], dtype=torch.float64)
    for count in counts:
        patches = mean_patches(maps, rotation, count)
        if weights is not None:
            patches = weights[:, None] * patches
        left, _, right = torch.linalg.svd(patches + shrinkage * torch.eye(len(patches), dtype=torch.float64))
        rotation = left @ right
    return rotation


def use(maps: Tensor, predicted: list[int], head: Tensor) -> Tensor:
    """Mean absolute contribution of each of the network's own channels, as exp of the standard score of its log."""
    logs = []
    for channel in range(maps.shape[1]):
        total = 0.0
        for image, target in enumerate(predicted):
            total += abs(float(maps[image, channel].double().mean()) * float(head[target, channel])) / len(maps)
        logs.append(math.log(total))
    mean = sum(logs) / len(logs)
    spread = math.sqrt(sum((log - mean) ** 2 for log in logs) / len(logs))
    return torch.tensor([math.exp((log - mean) / spread) for log in logs], dtype=torch.float64)


def adam(
    maps: Tensor, counts: list[int], *, orthogonal: bool, rate: float, decay: float, batch: int, seed: int
) -> Tensor:
    """Gradient ascent on the mean purity of the prototypes; they are chosen anew where their number changes."""
    exponent = torch.zeros(maps.shape[1], maps.shape[1], dtype=torch.float64, requires_grad=True)
    first, second = torch.zeros_like(exponent), torch.zeros_like(exponent)
    chosen: list[tuple[int, Tensor]] = []
    steps = 0

    def mixing() -> Tensor:
        return torch.linalg.matrix_exp(exponent - exponent.T if orthogonal else exponent)

    for epoch, count in enumerate(counts):
        if epoch == 0 or count != counts[epoch - 1]:
            now = mixing().detach()
            chosen = [
                (channel, maps[image, :, peak(maps[image], now, channel)[0]].double())
                for channel in range(len(now))
                for image in top_images(maps, now, channel, count)
            ]
        order = torch.randperm(len(chosen), generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch)).tolist()
        for start in range(0, len(order), batch):
            some = [chosen[place] for place in order[start : start + batch]]
            mixed = [(channel, mixing() @ patch) for channel, patch in some]
            loss = -sum(vector[channel] / vector.norm() for channel, vector in mixed) / len(mixed)
            (gradient,) = torch.autograd.grad(loss, exponent)
            steps += 1
            with torch.no_grad():  # Kingma and Ba (2015), with weight decay in the gradient
                gradient = gradient + decay * exponent
                first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
                step = (first / (1 - 0.9**steps)) / ((second / (1 - 0.999**steps)).sqrt() + 1e-8)
                exponent -= rate * step
    return mixing().detach()
