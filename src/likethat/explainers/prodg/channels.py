"""Which made images a channel begins with, and how good an image is for a channel: ProDG's response."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from likethat.features import Features
from likethat.functional import purity
from likethat.models import SplitModel
from likethat.search import top_rows

_LEAST_CANDIDATES = 20  # samples of highest activation that prototypes are chosen among by purity
_SHARE = 0.02  # of all samples, where that is more: the highest activations alone are not the purest


@dataclass(frozen=True, kw_only=True, eq=False)
class Response:
    """How images answer the channel that each was made for.

    Attributes:
        purity: (image,) the cosine of the vector at the channel's peak with the channel's axis, in [-1, 1].
        pooled: (image, channel) the mean of the feature map, unmixed.
    """

    purity: Float[Tensor, " image"]
    pooled: Float[Tensor, "image channel"]


def respond(
    model: SplitModel,
    images: Float[Tensor, "image colour height width"],
    detectors: Float[Tensor, "image channel"],
) -> Response:
    """Return how each image answers its channel; differentiable in the images.

    Args:
        model: what is explained.
        images: in [0, 1], of any size.
        detectors: the row of the mixing, which is a rotation, for the channel that each image was made for.

    Source:
        Borycki et al. (2026), ProDG: purity at the cell where the channel is highest.

    Differs:
        Without the ReLU on the peak: where a channel is negative everywhere there still is a way up.
    """
    feature_map = model.forward(model.preprocess.view(images)).feature_map.flatten(2)
    detectors = detectors.to(feature_map.device)
    activation = torch.einsum("id,idc->ic", detectors, feature_map)
    cells = activation.detach().argmax(1)
    rows = torch.arange(len(cells), device=cells.device)
    vectors = feature_map[rows, :, cells]
    norms = torch.linalg.vector_norm(vectors, dim=1)  # the rotation leaves lengths as they are
    tiny = torch.finfo(norms.dtype).tiny
    return Response(
        purity=torch.where(norms > 0, activation[rows, cells] / norms.clamp_min(tiny), 0.0),
        pooled=feature_map.mean(2),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Starts:
    """The samples that channels begin with.

    Attributes:
        rows: (unit, rank) rows of the features, the purest first.
        purity: (unit, rank) theirs.
    """

    rows: Int[Tensor, "unit rank"]
    purity: Float[Tensor, "unit rank"]


def n_candidates_of(n_samples: int, n: int) -> int:
    """Return among how many of the samples that activate a channel most its `n` purest are chosen."""
    return max(n, min(max(_LEAST_CANDIDATES, round(_SHARE * n_samples)), n_samples))


def best_samples(
    features: Features, mixing: Float[Tensor, "channel channel"], units: Int[Tensor, " unit"], n: int
) -> Starts:
    """Return the `n` purest of the samples that activate each channel most: 2 % of them, at least 20.

    Purity alone would also choose images on which the channel is next to silent.
    """
    places, _ = top_rows(features.kept_means, mixing[units], n_candidates_of(len(features.kept), n))
    values = torch.stack(
        [_purities(features.maps[row], mixing, unit) for row, unit in zip(places, units.tolist(), strict=True)]
    )
    order = values.sort(dim=1, descending=True, stable=True).indices[:, :n]
    return Starts(rows=features.kept[places.gather(1, order)], purity=values.gather(1, order))


def _purities(maps: Float[Tensor, "map channel cell"], mixing: Tensor, unit: int) -> Float[Tensor, " map"]:
    cells = torch.einsum("d,mdc->mc", mixing[unit], maps).argmax(1)
    vectors = maps[torch.arange(len(maps)), :, cells]
    return purity(vectors @ mixing.T, torch.full((len(maps),), unit))


def channels_of_class(
    features: Features,
    mixing: Float[Tensor, "channel channel"],
    mixed_head: Float[Tensor, "class channel"],
    target: int,
    n: int,
) -> Int[Tensor, " unit"]:
    """Return the `n` channels that supply most to a class's logit, on the samples that look most like the class.

    Most like it: those that the model takes for it, or else the fiftieth part with the highest logit.
    """
    own = (features.predicted == target).nonzero()[:, 0]
    if len(own) < 5:
        logits = features.pooled @ (mixing.T @ mixed_head[target].float())
        own = logits.topk(max(1, min(len(features), max(5, len(features) // 50)))).indices
    supplied = (features.pooled[own] @ mixing.T).mean(0) * mixed_head[target].float()
    return supplied.topk(min(n, len(supplied))).indices
