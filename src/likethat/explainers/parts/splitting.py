"""From the parts of a class to summands of its head vector, and what can be said of each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from likethat.coordinates import HeadParts
from likethat.coordinates.head_parts import WEAK
from likethat.explainers.parts.cells import ClassCells
from likethat.functional.sharing import (
    centroid_detectors,
    closed_form_shares,
    equal_shares,
    least_squares_parts,
    ownership_regression,
)

SHARINGS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "closed-form": closed_form_shares,
    "equal": equal_shares,
}
"""How the residual is shared: the shares for the sizes of the parts' heat maps."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassParts:
    """The parts of one class.

    Attributes:
        target: the class.
        vectors: (part, channel) summands of its head vector.
        centroids: (part, channel) the mean feature vector of each part.
        detectors: (part, channel) what finds it in a cell.
        names: of the parts; empty for numbers.
        surroundings: (part,) which of them are what surrounds the object, as marked, or hold little evidence.
        measures: (part,) figures by name.
        curves: (count,) figures by name over the numbers of parts tried.
    """

    target: int
    vectors: Float[Tensor, "part channel"]
    centroids: Float[Tensor, "part channel"]
    detectors: Float[Tensor, "part channel"]
    names: tuple[str, ...] = ()
    surroundings: Bool[Tensor, " part"]
    measures: Mapping[str, Float[Tensor, " part"]] = field(default_factory=dict)
    curves: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


def split_by_sharing(
    cells: Float[Tensor, "cell channel"],
    centroids: Float[Tensor, "part channel"],
    head_vector: Float[Tensor, " channel"],
    *,
    shares: Callable[[Tensor], Tensor],
) -> Float[Tensor, "part channel"]:
    """Return alpha_i p_i plus a share of the residual each: the paper's way.

    Source:
        Tan, Zhou, Chen (2024), post-hoc part prototypes, steps 2 and 3.

    Differs:
        The shares minimise the relative change of the heat maps (`share_objective`); the paper's constraint is not
        known to us.
    """
    base = least_squares_parts(head_vector.double(), centroids.double())
    residual = head_vector.double() - base.sum(0)
    sizes = (cells.double() @ base.T).square().sum(0)
    return base + shares(sizes)[:, None] * residual


def split_by_ownership(
    cells: Float[Tensor, "cell channel"],
    shares: Float[Tensor, "cell part"],
    head_vector: Float[Tensor, " channel"],
    *,
    ridge: float,
) -> Float[Tensor, "part channel"]:
    """Return the parts whose heat maps are closest to the share of the evidence that each owns."""
    return ownership_regression(cells, shares, head_vector, ridge=ridge)


def whole(target: int, head_vector: Tensor, cells: ClassCells | None) -> ClassParts:
    """Return a class as one part: its head vector, where nothing can be told apart.

    It is read by its centroid like any other part: a head vector may point away from all that the class looks like.
    """
    mean = None if cells is None or not len(cells) else cells.cells.mean(0)
    centroid = head_vector if mean is None or not bool(mean.any()) else mean
    return ClassParts(
        target=target,
        vectors=head_vector[None],
        centroids=centroid[None],
        detectors=centroid_detectors(centroid[None]),
        names=("whole",),
        surroundings=torch.zeros(1, dtype=torch.bool),
    )


def described(
    cells: Float[Tensor, "cell channel"], centroids: Tensor, vectors: Tensor, head_vector: Tensor
) -> dict[str, Float[Tensor, " part"]]:
    """Return how much of each part is residual, and how far that moved its heat map.

    ``residual``: ``|q - a| / (|a| + |q - a|)`` for a part q and what the head vector has along its centroid, a (by
    least squares): 0 where the part is its centroid alone, towards 1 where it is all residual. ``moved``: 1 less the
    correlation of the two heat maps over the class's cells; 0 where the residual does not show, 1 where the maps
    have nothing in common.
    """
    base = least_squares_parts(head_vector.double(), centroids.double())
    change = torch.linalg.vector_norm(vectors.double() - base, dim=1)
    size = torch.linalg.vector_norm(base, dim=1) + change
    first, second = cells.double() @ base.T, cells.double() @ vectors.double().T
    first, second = first - first.mean(0), second - second.mean(0)
    lengths = torch.linalg.vector_norm(first, dim=0) * torch.linalg.vector_norm(second, dim=0)
    correlation = torch.where(lengths > 0, (first * second).sum(0) / lengths.clamp_min(1e-300), 0.0)
    return {"residual": torch.where(size > 0, change / size.clamp_min(1e-300), 0.0), "moved": 1 - correlation}


def ordered(parts: ClassParts, cells: Tensor) -> ClassParts:
    """Return the parts by their mean contribution to the class's own images, largest first; surroundings stand last."""
    order = (cells.double() @ parts.vectors.double().T).mean(0).sort(descending=True, stable=True).indices
    order = order[parts.surroundings[order].int().sort(stable=True).indices]
    return ClassParts(
        target=parts.target,
        vectors=parts.vectors[order],
        centroids=parts.centroids[order],
        detectors=parts.detectors[order],
        names=tuple(parts.names[place] for place in order.tolist()) if parts.names else (),
        surroundings=parts.surroundings[order],
        measures={name: values[order] for name, values in parts.measures.items()},
        curves=parts.curves,
    )


def join(classes: Sequence[ClassParts], head_weight: Tensor, class_names: Sequence[str]) -> HeadParts:
    """Put the parts of all classes together, by class; figures that a part lacks are NaN."""
    classes = sorted(classes, key=lambda item: item.target)
    sizes = [len(item.vectors) for item in classes]
    names = [name for item in classes for name in _names_of(item, class_names[item.target])]
    measures = {
        name: torch.cat(
            [item.measures.get(name, torch.full((size,), torch.nan, dtype=torch.float32)).float()
             for item, size in zip(classes, sizes, strict=True)]
        )
        for name in sorted({name for item in classes for name in item.measures})
    }  # fmt: skip
    return HeadParts(
        torch.cat([item.vectors.float() for item in classes]),
        torch.tensor([item.target for item in classes]).repeat_interleave(torch.tensor(sizes)),
        head_weight,
        centroids=torch.cat([item.centroids.float() for item in classes]),
        detectors=torch.cat([item.detectors.float() for item in classes]),
        unit_names=names,
        surroundings=torch.cat([item.surroundings for item in classes]),
        measures=measures,
        curves=_curves(classes),
    )


def _names_of(item: ClassParts, class_name: str) -> list[str]:
    if item.names:
        return [f"{class_name}, {name}" for name in item.names]
    kinds = [f" ({WEAK})" if weak else "" for weak in item.surroundings.tolist()]
    return [f"{class_name}, part {rank + 1}{kind}" for rank, kind in enumerate(kinds)]


def _curves(classes: Sequence[ClassParts]) -> dict[str, Tensor]:
    names = sorted({name for item in classes for name in item.curves})
    longest = max((len(curve) for item in classes for curve in item.curves.values()), default=0)
    tables = {name: torch.full((len(classes), longest), torch.nan, dtype=torch.float32) for name in names}
    for name in names:
        for row, item in enumerate(classes):
            curve = item.curves.get(name, ())
            tables[name][row, : len(curve)] = torch.tensor(curve, dtype=torch.float32)
    return tables
