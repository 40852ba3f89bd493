"""What parts are worth: how dense the evidence is in their cells, and whether deleting these costs what they claim."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from likethat.coordinates import HeadParts
from likethat.features import Features
from likethat.fitting.agreement import ranked_alike, spread_over, without_cells
from likethat.models import SplitModel

WEAK_BELOW = 0.75
"""Density of evidence below which a part is "surroundings / weak". Chosen on ResNet-20: of its 40 parts those whose
deletion costs less than .75 of the same mask's elsewhere are found with precision .88 and recall 1 (1,000 photos)."""


def owners(
    cells: Float[Tensor, "*image channel cell"], detectors: Float[Tensor, "part channel"]
) -> Int[Tensor, "*image cell"]:
    """Return the part of which each cell has most."""
    return (detectors.float() @ cells).argmax(-2)


def evidence_density(
    cells: Float[Tensor, "cell channel"],
    detectors: Float[Tensor, "part channel"],
    evidence: Float[Tensor, " cell"],
) -> Float[Tensor, " part"]:
    """Return the mean evidence of the cells that each part owns, relative to that of all cells of the class.

    1: as much as anywhere; 0: none, or the part owns no cell. NaN where the class as a whole has no evidence.

    Args:
        cells: of the class's images.
        detectors: of its parts.
        evidence: (cell,) the head vector times each cell as the head sees it.
    """
    own = torch.nn.functional.one_hot(owners(cells.T, detectors), len(detectors)).double()
    total = float(evidence.double().mean())
    if total <= 0:
        return torch.full((len(detectors),), torch.nan, dtype=torch.float64)
    return (own.T @ evidence.double()) / own.sum(0).clamp_min(1) / total


@dataclass(frozen=True, kw_only=True, eq=False)
class Taken:
    """One image: what its parts claim, what taking their cells away costs, and taking as many elsewhere.

    Attributes:
        units: the parts that own cells there.
        claims: what each supplies to the logit.
        drops: of the logit, its cells filled with the mean colour.
        shifted: the same with its mask half a picture further.
        areas: share of the cells that it owns, in [0, 1].
    """

    units: Int[Tensor, " part"]
    claims: Float[Tensor, " part"]
    drops: Float[Tensor, " part"]
    shifted: Float[Tensor, " part"]
    areas: Float[Tensor, " part"]


def judge_by_deletion(
    model: SplitModel,
    features: Features,
    slots: Int[Tensor, " map"],
    parts: HeadParts,
    *,
    most: int | None = None,
) -> dict[str, float]:
    """Fill the cells that each part owns with the picture's mean colour, and the same mask half a picture further.

    A window round a part's peak is no judge: on a small map one window covers the object from any of its cells.

    Args:
        model: what is explained.
        features: of one pass.
        slots: held maps of images that were not fitted to.
        parts: of every class.
        most: images at most; one in 40 of `features` when left out, from 8 to 32.

    Returns:
        ``deletion_agreement``, Spearman between what parts supply and what taking their cells away costs, over all
        parts of all images, in [-1, 1], with its standard error; ``area_agreement``, the same of the area of their
        cells, which is the baseline; ``deletion_drop`` and ``shifted_drop``, means in units of the logit. Nothing
        where there are fewer than two images.
    """
    taken = list(deletions(model, features, spread_over(slots, features, most), parts))
    if len(taken) < 2:
        return {}
    claims, drops, areas = ([getattr(item, name).numpy() for item in taken] for name in ("claims", "drops", "areas"))
    agreement = _agreement(claims, drops)
    rng = np.random.default_rng(0)
    again = [
        _agreement([claims[i] for i in drawn], [drops[i] for i in drawn])
        for drawn in rng.integers(
            len(taken), size=(200, len(taken))
        )  # images, because parts of one are not independent
    ]
    return {
        "deletion_images": float(len(taken)),
        "deletion_agreement": agreement,
        "deletion_agreement_error": float(np.std(again)),
        "area_agreement": _agreement(claims, areas),
        "deletion_drop": float(np.concatenate(drops).mean()),
        "shifted_drop": float(torch.cat([item.shifted for item in taken]).mean()),
    }


def _agreement(first: list["np.ndarray"], second: list["np.ndarray"]) -> float:
    return ranked_alike(np.concatenate(first), np.concatenate(second))


def deletions(model: SplitModel, features: Features, slots: Int[Tensor, " map"], parts: HeadParts) -> Iterator[Taken]:
    """Yield what taking each part's cells away costs, image by image."""
    for slot in slots.tolist():
        yield _taken(model, features, slot, parts)


@torch.no_grad()
def _taken(model: SplitModel, features: Features, slot: int, parts: HeadParts) -> Taken:
    row = int(features.kept[slot])
    target = int(features.predicted[row])
    units = parts.units_of(target)
    own = owners(features.maps[slot], parts.detectors(units))
    masks = torch.stack([own == place for place in range(len(units))])
    has_cells = masks.any(1)
    masks = masks[has_cells].reshape(-1, *features.grid)
    view = features.views[slot].float().div(255)
    elsewhere = masks.roll((features.grid[0] // 2, features.grid[1] // 2), (1, 2))
    pictures = torch.cat([view[None], without_cells(view, masks), without_cells(view, elsewhere)])
    logits = model.logits(pictures.to(model.device))[:, target].cpu().double()
    drops, shifted = (logits[0] - logits[1:]).split(len(masks))
    claims = parts.summands(target)[has_cells] @ features.pooled[row].double()
    areas = masks.flatten(1).double().mean(1)
    return Taken(units=units[has_cells], claims=claims, drops=drops, shifted=shifted, areas=areas)
