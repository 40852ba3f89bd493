"""The coordinates of part prototypes: every class's head vector as a sum of its parts."""

from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from likethat.errors import InputError

WEAK = "surroundings / weak"
"""What a found part is called whose cells hold little of the evidence."""

NEAR_DUPLICATE_FROM = 0.95
"""Cosine of two parts' centroids from which they count as nearly the same."""


class HeadParts:
    """Parts of every class, whose vectors add up to the class's head vector.

    A unit is a part of one class. What rounding leaves of the sum is spread evenly, in float64, so the law of
    `Coordinates` holds whatever the parts are.

    Args:
        vectors: (unit, channel) one summand of its class's head vector a row.
        class_of: (unit,) the class of each unit, ascending; every class owns at least one.
        head_weight: (class, channel), the network's own.
        centroids: (unit, channel) the mean feature vector of each part, of any length: what it is found by.
        detectors: (unit, channel) what finds a part in a cell; the vectors when left out.
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
        class_of: Int[Tensor, " unit"],
        head_weight: Float[Tensor, "cls channel"],
        *,
        centroids: Float[Tensor, "unit channel"] | None = None,
        detectors: Float[Tensor, "unit channel"] | None = None,
        unit_names: Sequence[str] | None = None,
        surroundings: Bool[Tensor, " unit"] | None = None,
        measures: Mapping[str, Float[Tensor, " unit"]] | None = None,
        curves: Mapping[str, Float[Tensor, "cls count"]] | None = None,
    ) -> None:
        self.vectors = vectors.detach().float().cpu()
        self.class_of = class_of.detach().long().cpu()
        self._head_weight = head_weight.detach().float().cpu()
        self._check()
        self.centroids = self.vectors if centroids is None else centroids.detach().float().cpu()
        self._detectors = self.vectors if detectors is None else detectors.detach().float().cpu()
        n_units = len(self.vectors)
        self._names = tuple(unit_names) if unit_names is not None else self._numbered()
        self.surroundings = torch.zeros(n_units, dtype=torch.bool) if surroundings is None else surroundings.cpu()
        self.measures = {name: values.detach().float().cpu() for name, values in (measures or {}).items()}
        self.curves = {name: values.detach().float().cpu() for name, values in (curves or {}).items()}
        for name, values, shape in (
            ("centroids", self.centroids, self.vectors.shape),
            ("detectors", self._detectors, self.vectors.shape),
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
        if self.class_of.shape != self.vectors.shape[:1] or bool((self.class_of.diff() < 0).any()):
            raise InputError(
                f"`class_of` must be the class of each of {len(self.vectors)} units, ascending, got shape "
                f"{tuple(self.class_of.shape)}."
            )
        if sorted(set(self.class_of.tolist())) != list(range(n_classes)):
            raise InputError(f"`class_of` must name each of {n_classes} classes at least once, and no other.")

    @property
    def n_units(self) -> int:
        """The number of parts of all classes."""
        return len(self.vectors)

    @property
    def unit_names(self) -> tuple[str, ...]:
        """Such as ``"robin, part 2"`` or ``"robin, beak"``."""
        return self._names

    def _numbered(self) -> tuple[str, ...]:
        ranks = [unit - int((self.class_of < owner).sum()) for unit, owner in enumerate(self.class_of.tolist())]
        return tuple(
            f"class {owner}, part {rank + 1}" for owner, rank in zip(self.class_of.tolist(), ranks, strict=True)
        )

    def units_of(self, target: int) -> Int[Tensor, " unit"]:
        """Return the parts of a class."""
        return (self.class_of == target).nonzero()[:, 0]

    def summands(self, target: int) -> Float[Tensor, "unit channel"]:
        """Return the class's parts in float64; they add up to its head vector."""
        parts = self.vectors[self.units_of(target)].double()
        left = self._head_weight[target].double() - parts.sum(0)
        return parts + left / len(parts)

    def supplied(
        self, target: int, vectors: Float[Tensor, "*batch channel"], place: int | None = None
    ) -> Float[Tensor, "*batch unit"]:
        """Return what each part of a class, or one, supplies, in float64."""
        summands = self.summands(target)
        return vectors.double() @ (summands if place is None else summands[place : place + 1]).T

    def detectors(self, units: Int[Tensor, " unit"]) -> Float[Tensor, "unit channel"]:
        """Return what finds the parts in a cell."""
        return self._detectors[units]

    def purity(self, vectors: Float[Tensor, "unit channel"], units: Int[Tensor, " unit"]) -> Float[Tensor, " unit"]:
        """Return the cosine between each cell's vector and its part's centroid; 0 for a vector of zeros."""
        return torch.nn.functional.cosine_similarity(vectors.float(), self.centroids[units], dim=1, eps=1e-12)

    @cached_property
    def _unit_centroids(self) -> Float[Tensor, "unit channel"]:
        return torch.nn.functional.normalize(self.centroids, dim=1)

    def near_duplicates(self, unit: int, *, from_cosine: float = NEAR_DUPLICATE_FROM) -> tuple[int, ...]:
        """Return the parts of other classes that are nearly the same vector, most alike first."""
        cosines = self._unit_centroids @ self._unit_centroids[unit]
        cosines[self.class_of == self.class_of[unit]] = -torch.inf
        order = cosines.sort(descending=True, stable=True).indices
        return tuple(int(other) for other in order if float(cosines[other]) >= from_cosine)
