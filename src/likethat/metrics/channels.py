"""How good channels are, without any ground truth: purity on other images, coverage, stability."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from likethat._session import in_own_session
from likethat.coordinates import Rotation, Units
from likethat.errors import InputError
from likethat.features import Features, read_peaks
from likethat.functional import coverage
from likethat.search import top_rows, varying_units


@in_own_session
def held_out_purity(features: Features, coordinates: Units, *, n: int = 5) -> float:
    """Return the mean purity of each channel's top images among images that were not fitted on.

    1: every channel's prototypes consist of that channel alone; 0: they have nothing of it.

    Args:
        features: of the held-out images; those whose maps are held take part.
        coordinates: whose channels are measured; those that never vary are left out.
        n: images a channel.

    Raises:
        InputError: no channel differs between the images.
    """
    detectors = coordinates.detectors(torch.arange(coordinates.n_units))
    live = varying_units(features.kept_means, detectors).nonzero()[:, 0]
    if not len(live):
        raise InputError(f"`images` must differ, got {len(features)} images on which no channel varies.")
    rows, _ = top_rows(features.kept_means, detectors[live], n)
    cells = read_peaks(features.maps, rows, detectors[live]).cells
    vectors = features.maps[rows.flatten(), :, cells.flatten()]
    units = live[:, None].expand_as(rows).flatten()
    return float(coordinates.purity(vectors, units).mean())


@in_own_session
def mean_coverage(features: Features, rotation: Rotation, *, top: int = 4, block: int = 4096) -> float:
    """Return the mean share of the positive evidence for the predicted class that the `top` channels carry.

    1: a few channels are the whole reason; 0: there is no positive evidence, or it is spread without end.
    """
    head, matrix = rotation.mixed_head.float(), rotation.matrix()
    total = 0.0
    for start in range(0, len(features), block):
        rows = slice(start, start + block)
        values = (features.pooled[rows] @ matrix.T) * head[features.predicted[rows]]
        total += float(coverage(values, top=top).sum())
    return total / max(len(features), 1)


@dataclass(frozen=True, kw_only=True)
class ChannelStability:
    """How alike two mixings of the same network are.

    Attributes:
        matched: share of channels whose partner has a cosine above the threshold, in [0, 1].
        cosine: mean cosine of the partners, in [0, 1].
    """

    matched: float
    cosine: float


@in_own_session
def channel_stability(
    first: Float[Tensor, "channel channel"], second: Float[Tensor, "channel channel"], *, threshold: float = 0.9
) -> ChannelStability:
    """Match the channels of two mixings one to one, so that their cosines are largest, and say how alike they are.

    1: the same channels in another order; 0: none has a partner.

    Raises:
        InputError: mixings of different size.

    Example:
        >>> channel_stability(torch.eye(3), torch.eye(3)[[2, 0, 1]])
        ChannelStability(matched=1.0, cosine=1.0)
    """
    if first.shape != second.shape:
        raise InputError(f"the two mixings must have one shape, got {tuple(first.shape)} and {tuple(second.shape)}.")
    cosines = torch.nn.functional.normalize(first.double()) @ torch.nn.functional.normalize(second.double()).T
    rows, columns = linear_sum_assignment(cosines.numpy(), maximize=True)
    matched = cosines[torch.from_numpy(rows), torch.from_numpy(columns)]
    return ChannelStability(matched=float((matched > threshold).double().mean()), cosine=float(matched.mean()))
