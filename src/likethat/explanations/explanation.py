"""Why a model gave an image its logit: rows of contributions that add up to it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from likethat.explanations.records import Contribution, Provenance

if TYPE_CHECKING:
    from likethat.explanations.images import ImageStore

__all__ = ["Explanation"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Explanation:
    """A logit (or the difference of two) taken apart exactly.

    The law that `gap` measures: located contributions of all units + remainder + bias = logit.

    Attributes:
        image: the picture as the network saw it, float32 (channel, height, width) in [0, 1].
        source: where the picture came from, for the report.
        target: the class explained.
        against: the other class, where this explains ``logit[target] - logit[against]``; else None.
        predicted: the class the model gives.
        class_names: of the model.
        logit: of the target (or the difference).
        probability: softmax probability of the target.
        bias: of the head for the target (or the difference).
        remainder: what of the logit has no place in the image; the sum of `remainder_terms`.
        remainder_terms: the remainder by name, e.g. ``{"class token": 3.1}``; empty when additive.
        contributions: (unit,) located contribution of every unit, signed.
        unlocated: (unit,) each unit's share of the remainder.
        rows: the shown units, largest total first.
        spatially_additive: whether the feature map's cells add up to the logit.
        images: the pictures of the prototypes.
        provenance: how the bank was made.
        warnings: sentences a reader should see beside the result.
        surroundings: share of the positive evidence that comes from what surrounds the object, in [0, 1]; None where
            no unit is known to be surroundings.
    """

    image: Float[NDArray[np.float32], "channel height width"]
    source: str
    target: int
    against: int | None
    predicted: int
    class_names: tuple[str, ...]
    logit: float
    probability: float
    bias: float
    remainder: float
    remainder_terms: dict[str, float]
    contributions: Float[NDArray[np.float32], " unit"]
    unlocated: Float[NDArray[np.float32], " unit"]
    rows: tuple[Contribution, ...]
    spatially_additive: bool
    images: "ImageStore"
    provenance: Provenance
    warnings: tuple[str, ...] = ()
    surroundings: float | None = None

    @property
    def target_name(self) -> str:
        """The target's class name."""
        return self.class_names[self.target]

    @property
    def rest(self) -> float:
        """Located contributions of the units that are not shown."""
        return float(self.contributions.sum(dtype=np.float64)) - sum(row.contribution for row in self.rows)

    @property
    def coverage(self) -> float:
        """Share of all positive evidence that the shown rows carry, in [0, 1]; 0 where there is none."""
        totals = self.contributions.astype(np.float64) + self.unlocated
        positive = float(totals[totals > 0].sum())
        shown = sum(max(row.total, 0.0) for row in self.rows)
        return shown / positive if positive > 0 else 0.0

    def gap(self) -> float:
        """Return ``contributions + remainder + bias - logit``, relative to the size of the terms."""
        terms = self.contributions.sum(dtype=np.float64) + self.remainder + self.bias
        scale = max(abs(self.logit), float(np.abs(self.contributions).max(initial=0.0)), 1e-12)
        return float(terms - self.logit) / scale

    def save(self, path: str | Path) -> Path:
        """Write a self-contained HTML report and return its path."""
        from likethat.report import save_explanation

        return save_explanation(self, path)

    def figure(self) -> Any:
        """Return a matplotlib figure for a notebook (needs ``likethat[figures]``)."""
        from likethat.report import explanation_figure

        return explanation_figure(self)
