"""What a coordinate system is: an exact split of every class's head vector, or of the cells of each image."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor


class Units(Protocol):
    """What channels, parts and regions have in common: names, and what finds each in a cell."""

    @property
    def n_units(self) -> int:
        """How many units there are, over all classes."""
        ...

    @property
    def unit_names(self) -> tuple[str, ...]:
        """What to call each unit in a report."""
        ...

    def detectors(self, units: Int[Tensor, " unit"]) -> Float[Tensor, "unit channel"]:
        """Return the vector whose inner product with a cell is each unit's activation there."""
        ...

    def purity(self, vectors: Float[Tensor, "unit channel"], units: Int[Tensor, " unit"]) -> Float[Tensor, " unit"]:
        """Return how purely each cell's vector belongs to its unit, in [-1, 1]."""
        ...


class Coordinates(Units, Protocol):
    """Splits each class's head vector into summands, one a unit (a channel, or a part of a class).

    The law: ``summands(target).sum(0) == head.weight[target]``, so contributions and bias add up to the logit.
    """

    def units_of(self, target: int) -> Int[Tensor, " unit"]:
        """Return the units that take part in the logit of `target`."""
        ...

    def summands(self, target: int) -> Float[Tensor, "unit channel"]:
        """Return the summands of the head vector of `target`, in the order of `units_of`."""
        ...

    def supplied(
        self, target: int, vectors: Float[Tensor, "*batch channel"], place: int | None = None
    ) -> Float[Tensor, "*batch unit"]:
        """Return ``vectors @ summands(target).T`` in float64: what each unit, or the one at a place, supplies."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Divided:
    """The cells of one image, shared among the rows of its explanation.

    Attributes:
        names: of the rows.
        units: (row,) which contribution each row is, from 0 to `n_units` - 1.
        n_units: contributions of an explanation.
        shares: (row, cell) of each cell, in [0, 1]; those of a cell add up to 1, in float64.
        presence: (row, cell) how much of each row's look is in a cell, as far as the cell is the row's own; at least 0.
        centroids: (row, channel) what each row looks like.
        alike: a row's units of the bank whose prototypes show the like, most alike first; at most `n_shown` are shown.
        n_shown: prototypes a row.
    """

    names: tuple[str, ...]
    units: Int[Tensor, " row"]
    n_units: int
    shares: Float[Tensor, "row cell"]
    presence: Float[Tensor, "row cell"]
    centroids: Float[Tensor, "row channel"]
    alike: tuple[tuple[int, ...], ...]
    n_shown: int


@runtime_checkable
class SharedCells(Units, Protocol):
    """Shares each image's cells among units: what a cell supplies to a logit is shared, not the class's head vector.

    The law: shares of a cell add up to 1, so what the cells supply, shared out, and the bias add up to the logit.
    """

    def divide(self, cells: Float[Tensor, "channel cell"], target: int) -> Divided:
        """Return how the cells of an image are shared where `target` is explained."""
        ...
