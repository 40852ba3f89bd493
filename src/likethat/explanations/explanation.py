"""Why a model gave an image its logit: rows of contributions that add up to it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from likethat._calls import public
from likethat._session import in_own_session
from likethat.errors import ModelError
from likethat.explanations.images import ImageStore
from likethat.explanations.records import Contribution, Provenance
from likethat.explanations.result import Result, fields_of
from likethat.explanations.saved import write_result
from likethat.functional.links import Outputs

EXACT = 1e-4
"""What a sum may be off by, relative to its largest term: float32 leaves 1e-7 to 1e-6, a changed network far more."""


@public
@in_own_session
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)  # Result prints one line
class Explanation(Result):
    """A logit (or the difference of two) taken apart exactly.

    The law that `gap` measures: located contributions of all units + remainder + bias = logit. None is made, shown or
    saved that breaks it.

    Attributes:
        image: the picture as the network saw it, float32 (channel, height, width) in [0, 1].
        source: where the picture came from, for the report.
        target: the class explained.
        against: the other class, where this explains ``logit[target] - logit[against]``; else None.
        predicted: the class of the highest logit; `given` says which classes the model gives.
        class_names: of the model.
        logit: of the target (or the difference).
        probability: the model's own of the target, in [0, 1]: of a softmax, or of its own sigmoid.
        bias: of the head for the target (or the difference).
        remainder: what of the logit is not localised; the sum of `remainder_terms`.
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
        scale: the largest logit that the difference was taken of, which its rounding is relative to; 0 for a logit.
        outputs: ``"softmax"`` where one class of several is right, ``"sigmoid"`` where each is a label of its own.
        probabilities: (class,) the model's own, in [0, 1].

    Raises:
        ModelError: the terms do not add up to the logit.
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
    images: ImageStore
    provenance: Provenance
    warnings: tuple[str, ...] = ()
    surroundings: float | None = None
    scale: float = 0.0
    outputs: Outputs = "softmax"
    probabilities: Float[NDArray[np.float64], " cls"] = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        self.check()

    def _line(self) -> str:
        against = "" if self.against is None else f" and not {self.class_names[self.against]!r}"
        shown = ", ".join(f"{row.name} {row.total:+.2f}" for row in self.rows)
        return f"<Explanation of {self.target_name!r}{against} for {self.source}: logit {self.logit:.2f}; {shown}>"

    @property
    def target_name(self) -> str:
        """The target's class name."""
        return self.class_names[self.target]

    @property
    def given(self) -> tuple[int, ...]:
        """The classes that the model gives: one, or of independent labels those above one half, strongest first."""
        if self.outputs == "softmax":
            return (self.predicted,)
        order = np.argsort(-self.probabilities, kind="stable")
        return tuple(int(index) for index in order if self.probabilities[index] > 0.5)

    @property
    def is_yes_or_no(self) -> bool:
        """Whether the model has one logit: the class, or not."""
        return self.outputs == "sigmoid" and len(self.class_names) == 1

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
        """Return ``contributions + remainder + bias - logit``, relative to the largest of these terms.

        The terms are the logit (of a difference: both logits), the bias, the remainder, and each unit's contribution.
        """
        return (self._sum() - self.logit) / self._largest()

    def check(self) -> None:
        """Raise `ModelError` unless the terms add up to the logit, and what is shown is those terms.

        Both to `EXACT`, relative to the largest term.
        """
        if not abs(self.gap()) <= EXACT:  # NaN is no number to show either
            raise ModelError(
                f"the terms of this explanation must add up to the network's own logit for {self.target_name!r}, "
                f"{self.logit:.6g}, got {self._sum():.6g}. Has the network changed since it was split? Split it again, "
                "and fit the bank anew."
            )
        apart = [self.remainder - sum(self.remainder_terms.values())]
        apart += [row.contribution - float(self.contributions[row.unit]) for row in self.rows]
        apart += [row.unlocated - float(self.unlocated[row.unit]) for row in self.rows]
        if not max(map(abs, apart)) <= EXACT * self._largest():
            raise ModelError(
                "the rows of this explanation must show its contributions, and its remainder the terms by name, got "
                "other numbers. Explain the image again."
            )

    def _sum(self) -> float:
        return float(self.contributions.sum(dtype=np.float64)) + self.remainder + self.bias

    def _largest(self) -> float:
        largest = float(np.abs(self.contributions).max(initial=0.0))
        return max(abs(self.logit), self.scale, abs(self.bias), abs(self.remainder), largest, 1e-12)

    def _write(self, path: Path, *, overwrite: bool) -> Path:
        return write_result(self, path, overwrite=overwrite)

    def _facts(self) -> dict[str, Any]:
        facts = {name: value for name, value in vars(self).items() if name != "images"}
        facts["rows"] = [{**vars(row), "total": row.total} for row in self.rows]
        against = None if self.against is None else self.class_names[self.against]
        names = {"target_name": self.target_name, "against_name": against}
        return facts | names | {"rest": self.rest, "coverage": self.coverage, "gap": self.gap()}

    def _columns(self) -> dict[str, Any]:
        names = ("unit", "name", "contribution", "unlocated", "total", "activation", "purity", "box", "true_part")
        return fields_of(self.rows, names)
