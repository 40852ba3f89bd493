"""Coordinates for few images a class: the cells of each image are shared, among parts of many classes or its own."""

from collections.abc import Sequence
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from likethat.coordinates.base import Divided
from likethat.errors import InputError
from likethat.functional.factorisation import encode, non_negative, regions_of, rejoined
from likethat.functional.sharing import centroid_detectors, ownership_shares


class _Looks:
    """Units that are known by their looks, each with an owner: a superclass, or an image.

    Args:
        basis: (unit, channel), non-negative, or (unit, 2 channel) where features are signed: see `non_negative`.
        owners: (unit,) ascending from 0, none left out.
        n_channels: of the head.
        unit_names: one a unit.
    """

    def __init__(
        self,
        basis: Float[Tensor, "unit wide"],
        owners: Int[Tensor, " unit"],
        *,
        n_channels: int,
        unit_names: Sequence[str],
    ) -> None:
        self.basis = basis.detach().float().cpu()
        self.owners = owners.detach().long().cpu()
        if self.basis.ndim != 2 or self.basis.shape[1] not in (n_channels, 2 * n_channels):
            raise InputError(
                f"`basis` must be (unit, channel) = (unit, {n_channels}), or twice as wide, for this head, got "
                f"{tuple(self.basis.shape)}."
            )
        if not len(self.basis) or self.owners.shape != self.basis.shape[:1] or len(unit_names) != len(self.basis):
            raise InputError(
                f"`owners` and `unit_names` must be one a unit, {len(self.basis)} and at least one, got "
                f"{tuple(self.owners.shape)} and {len(unit_names)}."
            )
        steps = self.owners.diff(prepend=self.owners.new_tensor([0]))
        if int(self.owners[0]) or bool((steps < 0).any() | (steps > 1).any()):
            raise InputError("`owners` must ascend from 0 and leave none out, got other numbers.")
        self.n_channels = n_channels
        self._names = tuple(unit_names)

    @property
    def is_signed(self) -> bool:
        """Whether what is below 0 has channels of its own."""
        return self.basis.shape[1] == 2 * self.n_channels

    @property
    def n_owners(self) -> int:
        """How many superclasses, or images, there are."""
        return int(self.owners[-1]) + 1

    @property
    def n_units(self) -> int:
        """The number of units of all owners."""
        return len(self.basis)

    @property
    def unit_names(self) -> tuple[str, ...]:
        """What to call each unit."""
        return self._names

    @cached_property
    def centroids(self) -> Float[Tensor, "unit channel"]:
        """What each unit looks like, of length 1."""
        return rejoined(self.basis, signed=self.is_signed)

    @cached_property
    def _detectors(self) -> Float[Tensor, "unit channel"]:
        looks = self.centroids.split(torch.bincount(self.owners).tolist())
        return torch.cat([centroid_detectors(own) for own in looks]).float()

    def detectors(self, units: Int[Tensor, " unit"]) -> Float[Tensor, "unit channel"]:
        """Return what finds the units in a cell, beside others of their owner."""
        return self._detectors[units]

    def purity(self, vectors: Float[Tensor, "unit channel"], units: Int[Tensor, " unit"]) -> Float[Tensor, " unit"]:
        """Return the cosine between each cell's vector and its unit's centroid; 0 for a vector of zeros."""
        return cosine_similarity(vectors.float(), self.centroids[units], dim=1, eps=1e-12)

    def _positive(self, cells: Tensor) -> Tensor:
        """Return cells (cell, wide) of a map (channel, cell)."""
        return non_negative(cells.float().T, signed=self.is_signed)


class SuperclassParts(_Looks):
    """Parts of superclasses: classes whose rows of the head are alike share their images, and their parts.

    Args:
        basis: of the parts, see `_Looks`.
        owners: (part,) its superclass.
        class_groups: (class,) the superclass of each class.
        n_channels: of the head.
        unit_names: one a part.
        n_shown: prototypes a row.

    Source:
        Ours (docs/methods.md).

    Example:
        >>> parts = SuperclassParts(torch.eye(2), torch.tensor([0, 0]), torch.tensor([0, 0, 0]), n_channels=2,
        ...     unit_names=["wing", "wheel"])
        >>> parts.divide(torch.tensor([[3.0, 0.0], [1.0, 2.0]]), target=2).shares
        tensor([[0.7500, 0.0000],
                [0.2500, 1.0000]], dtype=torch.float64)
    """

    def __init__(
        self,
        basis: Float[Tensor, "part wide"],
        owners: Int[Tensor, " part"],
        class_groups: Int[Tensor, " cls"],
        *,
        n_channels: int,
        unit_names: Sequence[str],
        n_shown: int = 5,
    ) -> None:
        super().__init__(basis, owners, n_channels=n_channels, unit_names=unit_names)
        self.class_groups = class_groups.detach().long().cpu()
        if not bool(((self.class_groups >= 0) & (self.class_groups < self.n_owners)).all()):
            raise InputError(f"`class_groups` must be from 0 to {self.n_owners - 1}, got others.")
        self.n_shown = n_shown

    def divide(self, cells: Float[Tensor, "channel cell"], target: int) -> Divided:
        """Return each cell's shares of the parts of the target's superclass: by how much of each is in it."""
        return self.divide_among(cells, int(self.class_groups[target]))

    def divide_among(self, cells: Float[Tensor, "channel cell"], group: int) -> Divided:
        """Return each cell's shares of the parts of one superclass."""
        units = (self.owners == group).nonzero()[:, 0]
        shares, presence = _shared(self._positive(cells), self.basis[units])
        return Divided(
            names=tuple(self.unit_names[unit] for unit in units.tolist()),
            units=units,
            n_units=self.n_units,
            shares=shares,
            presence=presence,
            centroids=self.centroids[units],
            alike=tuple((unit,) for unit in units.tolist()),
            n_shown=self.n_shown,
        )


class PhotoRegions(_Looks):
    """Regions of each image: its own cells in a few parts, with look-alikes among those of other images.

    Units are the regions of the images that a bank was made from; an image that is explained is divided anew.

    Args:
        basis: of the regions, see `_Looks`.
        owners: (region,) its image.
        image_classes: (image,) the class that each is for.
        head_weight: (class, channel), the network's own: which classes are near.
        unit_names: one a region.
        n_regions: of an image, at most.
        n_shown: look-alikes a region.

    Source:
        Ours (docs/methods.md).
    """

    def __init__(
        self,
        basis: Float[Tensor, "region wide"],
        owners: Int[Tensor, " region"],
        image_classes: Int[Tensor, " image"],
        *,
        head_weight: Float[Tensor, "cls channel"],
        unit_names: Sequence[str],
        n_regions: int,
        n_shown: int = 5,
    ) -> None:
        super().__init__(basis, owners, n_channels=head_weight.shape[1], unit_names=unit_names)
        self.image_classes = image_classes.detach().long().cpu()
        self.n_regions, self.n_shown = n_regions, n_shown
        rows = head_weight.detach().float().cpu()
        if self.image_classes.shape != (self.n_owners,) or not bool(
            ((self.image_classes >= 0) & (self.image_classes < len(rows))).all()
        ):
            raise InputError(
                f"`image_classes` must be a class from 0 to {len(rows) - 1} for each of {self.n_owners} images, got "
                f"shape {tuple(self.image_classes.shape)}."
            )
        if n_regions < 1 or n_shown < 1:
            raise InputError(f"`n_regions` and `n_shown` must be at least 1, got {n_regions} and {n_shown}.")
        self._rows = normalize(rows, dim=1)

    def divide(self, cells: Float[Tensor, "channel cell"], target: int) -> Divided:
        """Return each cell's shares of the image's own regions, and regions of other images that look alike."""
        basis = regions_of(self._positive(cells)[None], self.n_regions)[0]
        return self.divide_into(cells, basis, alike=self._alike(basis, target))

    def divide_into(
        self,
        cells: Float[Tensor, "channel cell"],
        basis: Float[Tensor, "region wide"],
        *,
        alike: tuple[tuple[int, ...], ...] = (),
    ) -> Divided:
        """Return each cell's shares of regions that are known."""
        shares, presence = _shared(self._positive(cells), basis)
        n = len(basis)
        return Divided(
            names=tuple(f"region {place + 1}" for place in range(n)),
            units=torch.arange(n),
            n_units=n,
            shares=shares,
            presence=presence,
            centroids=rejoined(basis, signed=self.is_signed),
            alike=alike,
            n_shown=self.n_shown,
        )

    def _alike(self, basis: Tensor, target: int) -> tuple[tuple[int, ...], ...]:
        """Return the most alike regions of images whose classes are near, one an image.

        One image more than is shown: the one that is explained may be among them. Near are twice as many images as
        are shown, so that every region has a choice (benchmarks/results/real.md has other numbers).
        """
        near = (self._rows[self.image_classes] @ self._rows[target]).sort(descending=True, stable=True).indices
        units = torch.isin(self.owners, near[: 2 * self.n_shown + 1]).nonzero()[:, 0]
        cosines = normalize(basis, dim=1) @ normalize(self.basis[units], dim=1).T
        orders = cosines.sort(dim=1, descending=True, stable=True).indices.tolist()
        images, numbers = self.owners[units].tolist(), units.tolist()
        found = []
        for order in orders:
            best: dict[int, int] = {}  # of each image, in the order of likeness
            for place in order:
                best.setdefault(images[place], numbers[place])
            found.append(tuple(best.values())[: self.n_shown + 1])
        return tuple(found)


def _shared(cells: Float[Tensor, "cell wide"], basis: Float[Tensor, "row wide"]) -> tuple[Tensor, Tensor]:
    """Return (row, cell) shares, and how much of each row is in a cell times its share."""
    occurrence = encode(cells, basis).double()
    shares = ownership_shares(occurrence)
    return shares.T, (shares * occurrence).T.float()
