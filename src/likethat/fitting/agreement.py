"""Whether places cost what they claim: contributions that hold for one image alone say what the logit is made of."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.stats import spearmanr
from torch import Tensor

from likethat.explanations import Bank
from likethat.explanations.explain import Seen, shown_rows, terms_of
from likethat.features import Features

_MOST, _FEWEST, _ONE_IN = 32, 8, 40
"""Images that are judged by deletion: one in 40 of those of the fit, so that it adds a fifth to its forward passes."""
_BOXED, _ELSEWHERE = 4, 8
"""Cells an image: those that four rows box, and twice as many elsewhere, which say least each."""


def spread_over(slots: Int[Tensor, " map"], features: Features, most: int | None = None) -> Int[Tensor, " some"]:
    """Return some of the held maps, from the first to the last: folders come by class.

    Args:
        slots: to choose from.
        features: of one pass.
        most: how many; one in 40 of `features` when left out, from 8 to 32.
    """
    n = min(min(_MOST, max(_FEWEST, len(features) // _ONE_IN)) if most is None else most, len(slots))
    return slots[torch.linspace(0, len(slots) - 1, n, dtype=torch.float64).round().long()]


def without_cells(
    view: Float[Tensor, "colour height width"], masks: Bool[Tensor, "mask row column"]
) -> Float[Tensor, "mask colour height width"]:
    """Return the picture with the cells of each mask filled with its mean colour."""
    fine = torch.nn.functional.interpolate(masks[:, None].float(), size=view.shape[1:], mode="nearest") > 0
    return torch.where(fine, view.mean((1, 2), keepdim=True), view)


@dataclass(frozen=True, kw_only=True, eq=False)
class Filled:
    """One image: what cells claim of the predicted class's logit, and by how much it falls without each of them.

    Attributes:
        claims: (cell,) in units of the logit.
        falls: (cell,) likewise, the cell filled with the picture's mean colour.
        n_boxed: how many of them, the first, the rows of an explanation box; the others were drawn from the rest.
    """

    claims: Float[Tensor, " cell"]
    falls: Float[Tensor, " cell"]
    n_boxed: int

    @property
    def rank(self) -> float:
        """Spearman between claims and falls, in [-1, 1]; 0 where one side never differs."""
        return ranked_alike(self.claims.numpy(), self.falls.numpy())


def ranked_alike(first: "np.ndarray", second: "np.ndarray") -> float:
    """Return Spearman's rank correlation; 0 where one side never differs."""
    return float(spearmanr(first, second).statistic) if np.ptp(first) and np.ptp(second) else 0.0


def agreement(bank: Bank, features: Features, slots: Int[Tensor, " map"]) -> dict[str, float]:
    """Fill the cells that explanations of held-out images box, one by one, and as many again twice elsewhere.

    Args:
        bank: with its model.
        features: of one pass.
        slots: held maps of images that were not fitted to.

    Returns:
        Figures by name, which `Provenance.agreement` puts in a sentence; the number of images alone, 0, where there are
        fewer than two or a single cell.
    """
    if len(slots) < 2 or features.maps.shape[2] < 2:
        return {"agreement_images": 0.0}
    found = fill_boxes(bank, features, spread_over(slots, features))
    ranks = np.array([one.rank for one in found])
    measures = {
        "agreement_images": float(len(found)),
        "agreement_rank": float(ranks.mean()),
        "agreement_rank_error": float(ranks.std(ddof=1)) / len(ranks) ** 0.5,
    }
    for name in ("claims", "falls"):
        measures[f"boxed_{name}"] = float(torch.cat([getattr(one, name)[: one.n_boxed] for one in found]).mean())
        measures[f"elsewhere_{name}"] = float(torch.cat([getattr(one, name)[one.n_boxed :] for one in found]).mean())
    return measures


def fill_boxes(bank: Bank, features: Features, slots: Int[Tensor, " map"]) -> list[Filled]:
    """Return, image by image, what cells claim and what filling each of them costs."""
    rng = torch.Generator().manual_seed(bank.provenance.seed)
    return [_filled(bank, features, slot, rng) for slot in slots.tolist()]


@torch.no_grad()
def _filled(bank: Bank, features: Features, slot: int, rng: torch.Generator) -> Filled:
    model, row = bank.model, int(features.kept[slot])
    target, pooled = int(features.predicted[row]), features.pooled[row]
    seen = Seen(
        view=features.views[slot].float().div(255),
        feature_map=features.maps[slot].reshape(-1, *features.grid),
        mean=features.means[row],
        pooled=pooled,
        logits=model.head.weight.cpu() @ pooled + model.head.bias.cpu(),
        constant=torch.zeros_like(pooled),
    )
    terms = terms_of(bank, seen, model, target, None)
    heat = terms.head @ features.maps[slot].double() / features.maps.shape[2]
    rows = shown_rows(bank, terms, seen, _BOXED)
    boxed = list(dict.fromkeys(row.cell[0] * features.grid[1] + row.cell[1] for row in rows))
    others = [cell for cell in torch.randperm(len(heat), generator=rng).tolist() if cell not in boxed][:_ELSEWHERE]
    cells = torch.tensor([*boxed, *others])
    masks = torch.nn.functional.one_hot(cells, len(heat)).bool().reshape(-1, *features.grid)
    pictures = torch.cat([seen.view[None], without_cells(seen.view, masks)])
    logits = model.logits(pictures.to(model.device))[:, target].cpu().double()
    return Filled(claims=heat[cells], falls=logits[0] - logits[1:], n_boxed=len(boxed))
