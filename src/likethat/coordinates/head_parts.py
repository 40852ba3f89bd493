"""The coordinates of part prototypes: every class's head vector as a sum of its parts."""

from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from likethat.errors import InputError

__all__ = ["HeadParts"]

TWINS_FROM = 0.95
"""Cosine of two parts' looks from which they count as nearly the same."""


class HeadParts:
    """Parts of every class, whose vectors add up to the class's head vector.

    A unit is a part of one class. What rounding leaves of the sum is spread evenly, in float64, so the law of
    `Coordinates` holds whatever the parts are.

    Args:
        vectors: (unit, channel) one summand of its class's head vector a row.
        owners: (unit,) the class of each unit, ascending; every class owns at least one.
        head_weight: (class, channel), the network's own.
        looks: (unit, channel) the mean feature vector of each part, of any length: what it is found by.
        readers: (unit, channel) what finds a part in a cell; the vectors when left out.
        unit_names: one name a unit.
        surroundings: (unit,) which units are what surrounds the object, as marked, or hold little evidence; none when
            left out.
        measures: (unit,) figures by name, such as ``"residual"``.
        curves: (class, count) figures by name over the numbers of parts tried (``n_parts="auto"``).

    Source:
        Tan, Zhou, Chen (2024), post-hoc part prototypes: v = sum of the parts, exactly.

    Example:
        >>> head = torch.tensor([[1.0, 2.0]])
        >>> parts = HeadParts(torch.tensor([[1.0, 0.0], [0.0, 1.5]]), torch.tensor([0, 0]), head)
        >>> parts.summands(0).sum(0)
        tensor([1., 2.], dtype=torch.float64)
    """

    def __init__(
        self,
        vectors: Float[Tensor, "unit channel"],
        owners: Int[Tensor, " unit"],
        head_weight: Float[Tensor, "cls channel"],
        *,
        looks: Float[Tensor, "unit channel"] | None = None,
        readers: Float[Tensor, "unit channel"] | None = None,
        unit_names: Sequence[str] | None = None,
        surroundings: Bool[Tensor, " unit"] | None = None,
        measures: Mapping[str, Float[Tensor, " unit"]] | None = None,
        curves: Mapping[str, Float[Tensor, "cls count"]] | None = None,
    ) -> None:
        self.vectors = vectors.detach().float().cpu()
        self.owners = owners.detach().long().cpu()
        self._head_weight = head_weight.detach().float().cpu()
        self._check()
        self.looks = self.vectors if looks is None else looks.detach().float().cpu()
        self._readers = self.vectors if readers is None else readers.detach().float().cpu()
        n_units = len(self.vectors)
        self._names = tuple(unit_names) if unit_names is not None else self._numbered()
        self.surroundings = torch.zeros(n_units, dtype=torch.bool) if surroundings is None else surroundings.cpu()
        self.measures = {name: values.detach().float().cpu() for name, values in (measures or {}).items()}
        self.curves = {name: values.detach().float().cpu() for name, values in (curves or {}).items()}
        for name, values, shape in (
            ("looks", self.looks, self.vectors.shape),
            ("readers", self._readers, self.vectors.shape),
            ("surroundings", self.surroundings, (n_units,)),
            *((f"measures[{name!r}]", values, (n_units,)) for name, values in self.measures.items()),
        ):
            if values.shape != shape:
                raise InputError(f"`{name}` must be one row a unit, {tuple(shape)}, got {tuple(values.shape)}.")
        if len(self._names) != n_units:
            raise InputError(f"`unit_names` must be one name a unit, {n_units}, got {len(self._names)}.")

    def _check(self) -> None:
        n_classes, n_channels = self._head_weight.shape
        if self.vectors.ndim != 2 or self.vectors.shape[1] != n_channels:
            raise InputError(
                f"`vectors` must be (unit, channel) = (unit, {n_channels}) for this head, got "
                f"{tuple(self.vectors.shape)}."
            )
        if self.owners.shape != self.vectors.shape[:1] or bool((self.owners.diff() < 0).any()):
            raise InputError(
                f"`owners` must be the class of each of {len(self.vectors)} units, ascending, got shape "
                f"{tuple(self.owners.shape)}."
            )
        if sorted(set(self.owners.tolist())) != list(range(n_classes)):
            raise InputError(f"`owners` must name each of {n_classes} classes at least once, and no other.")

    @property
    def n_units(self) -> int:
        """The number of parts of all classes."""
        return len(self.vectors)

    @property
    def unit_names(self) -> tuple[str, ...]:
        """Such as ``"robin, part 2"`` or ``"robin, beak"``."""
        return self._names

    def _numbered(self) -> tuple[str, ...]:
        ranks = [unit - int((self.owners < owner).sum()) for unit, owner in enumerate(self.owners.tolist())]
        return tuple(f"class {owner}, part {rank + 1}" for owner, rank in zip(self.owners.tolist(), ranks, strict=True))

    def units_of(self, target: int) -> Int[Tensor, " unit"]:
        """Return the parts of a class."""
        return (self.owners == target).nonzero()[:, 0]

    def summands(self, target: int) -> Float[Tensor, "unit channel"]:
        """Return the class's parts in float64; they add up to its head vector."""
        parts = self.vectors[self.units_of(target)].double()
        left = self._head_weight[target].double() - parts.sum(0)
        return parts + left / len(parts)

    def readers(self, units: Int[Tensor, " unit"]) -> Float[Tensor, "unit channel"]:
        """Return what finds the parts in a cell."""
        return self._readers[units]

    def purity(self, vectors: Float[Tensor, "unit channel"], units: Int[Tensor, " unit"]) -> Float[Tensor, " unit"]:
        """Return the cosine between each cell's vector and its part's look; 0 for a vector of zeros."""
        return torch.nn.functional.cosine_similarity(vectors.float(), self.looks[units], dim=1, eps=1e-12)

    def owner(self, unit: int) -> int:
        """Return the class that a part belongs to."""
        return int(self.owners[unit])

    @cached_property
    def _unit_looks(self) -> Float[Tensor, "unit channel"]:
        return torch.nn.functional.normalize(self.looks, dim=1)

    def twins(self, unit: int, *, from_cosine: float = TWINS_FROM) -> tuple[int, ...]:
        """Return the parts of other classes that are nearly the same vector, most alike first."""
        cosines = self._unit_looks @ self._unit_looks[unit]
        cosines[self.owners == self.owners[unit]] = -torch.inf
        order = cosines.sort(descending=True, stable=True).indices
        return tuple(int(other) for other in order if float(cosines[other]) >= from_cosine)
