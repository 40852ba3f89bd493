"""What a coordinate system is: an exact split of every class's head vector."""

from typing import Protocol

from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["Coordinates"]


class Coordinates(Protocol):
    """Splits each class's head vector into summands, one a unit (a channel, or a part of a class).

    The law: ``summands(target).sum(0) == head.weight[target]``, so contributions and bias add up to the logit.
    """

    @property
    def n_units(self) -> int:
        """How many units there are, over all classes."""
        ...

    @property
    def unit_names(self) -> tuple[str, ...]:
        """What to call each unit in a report."""
        ...

    def units_of(self, target: int) -> Int[Tensor, " unit"]:
        """Return the units that take part in the logit of `target`."""
        ...

    def summands(self, target: int) -> Float[Tensor, "unit channel"]:
        """Return the summands of the head vector of `target`, in the order of `units_of`."""
        ...

    def detectors(self, units: Int[Tensor, " unit"]) -> Float[Tensor, "unit channel"]:
        """Return the vector whose inner product with a cell is each unit's activation there."""
        ...

    def purity(self, vectors: Float[Tensor, "unit channel"], units: Int[Tensor, " unit"]) -> Float[Tensor, " unit"]:
        """Return how purely each cell's vector belongs to its unit, in [-1, 1]."""
        ...
