"""Two banks beside each other: their units as readers of pooled features, over the same pictures and classes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from likethat._class_names import match_classes
from likethat._double import double
from likethat.coordinates import Rotation, SharedCells
from likethat.errors import InputError
from likethat.explanations import Bank
from likethat.features import Features

_BLOCK = 2048  # pictures: of two models of 2,048 channels 67 MB in float64


@dataclass(frozen=True, kw_only=True, eq=False)
class Side:
    """One bank over the pictures, its classes in the order of the first bank's.

    Attributes:
        bank: itself.
        features: of its model.
        rows: (picture,) of the features.
        readers: (unit, channel) whose inner product with pooled features is a unit's response.
        weights: (class, unit) what one of a response supplies to each logit.
        head: (class, channel); head = weights @ readers.
        bias: (class,).
        group: (unit,) the class that a unit belongs to; 0 where units serve all classes.
        columns: of its model's features in those of both.
    """

    bank: Bank
    features: Features
    rows: Int[Tensor, " picture"]
    readers: Float[Tensor, "unit channel"]
    weights: Float[Tensor, "cls unit"]
    head: Float[Tensor, "cls channel"]
    bias: Float[Tensor, " cls"]
    group: Int[Tensor, " unit"]
    columns: slice

    @property
    def own(self) -> Float[Tensor, "cls channel"]:
        """The head less its mean over classes: what tells classes apart."""
        return self.head - self.head.mean(0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Both:
    """Two sides over the same pictures, and the halves that are foretold from each other.

    Attributes:
        a: the first.
        b: the second.
        is_second: (picture,) which half each picture is in.
    """

    a: Side
    b: Side
    is_second: Bool[Tensor, " picture"]

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.is_second)

    def blocks(
        self, among: Int[Tensor, " some"] | None = None
    ) -> Iterator[tuple[Int[Tensor, " part"], Float[Tensor, "part column"]]]:
        """Yield numbers of pictures and their features in both models, side by side, in float64."""
        for part in (torch.arange(len(self)) if among is None else among).split(_BLOCK):
            sides = [double(side.features.pooled[side.rows[part]]) for side in (self.a, self.b)]
            yield part, torch.cat(sides, 1)


def check_weights(bank: Bank, *, name: str) -> None:
    """Refuse a bank whose units share the cells of each picture instead of the head, before any picture is read.

    Raises:
        InputError: it is one.
    """
    if isinstance(bank.coordinates, SharedCells):
        raise InputError(
            f"`{name}` must be a bank whose units have a weight in the head: channels, or parts of classes; got one of "
            f"{bank.provenance.method} whose units are found anew in each picture. Fit EPIC, or "
            "PartPrototypes(algorithm='ownership')."
        )


def side_of(bank: Bank, features: Features, rows: Int[Tensor, " picture"], *, order: Sequence[int], first: int) -> Side:
    """Return a bank as a side.

    Args:
        bank: itself.
        features: of its model.
        rows: of the features.
        order: the bank's class at the place of each class of the first bank.
        first: column of its model's first channel in the features of both.
    """
    coordinates = bank.coordinates
    assert not isinstance(coordinates, SharedCells)  # refused by `check_weights`
    weight, bias = double(bank.head.weight).cpu()[order], double(bank.head.bias).cpu()[order]
    if isinstance(coordinates, Rotation):
        readers, weights = coordinates.matrix().double(), coordinates.mixed_head[order]
        group = torch.zeros(len(readers), dtype=torch.long)
    else:
        readers = torch.zeros(coordinates.n_units, weight.shape[1], dtype=torch.float64)
        weights = torch.zeros(len(order), coordinates.n_units, dtype=torch.float64)
        group = torch.zeros(coordinates.n_units, dtype=torch.long)
        for place, target in enumerate(order):
            units = coordinates.units_of(target)
            readers[units], weights[place, units], group[units] = coordinates.summands(target), 1.0, place
    return Side(
        bank=bank, features=features, rows=rows, readers=readers, weights=weights, head=weight, bias=bias, group=group,
        columns=slice(first, first + weight.shape[1]),
    )  # fmt: skip


def class_order(first: Sequence[str], second: Sequence[str]) -> list[int]:
    """Return the second's class at the place of each of the first's, by name.

    Raises:
        InputError: they do not have the same classes.

    Example:
        >>> class_order(["cat", "dog"], ["Dog", "cat"])
        [1, 0]
    """
    if list(first) == list(second):
        return list(range(len(first)))
    match = match_classes(list(dict.fromkeys(second)), list(first))
    partners = {place: index for index, name in enumerate(second) if (place := match.partners.get(name)) is not None}
    if len(partners) == len(first) == len(second) and not match.assumed:
        return [partners[place] for place in range(len(first))]
    missing = [name for place, name in enumerate(first) if place not in partners]
    extra = [name for name in second if name not in match.partners]
    differ = "; ".join(
        f"{what} {', '.join(repr(name[:40]) for name in names[:3])}{', …' if len(names) > 3 else ''}"
        for what, names in (("the first alone has", missing), ("the second alone has", extra))
        if names
    )
    raise InputError(
        f"`bank_b` must have the classes of `bank_a`, by name, got {len(second):,} classes beside {len(first):,}"
        f"{f' ({differ})' if differ else ''}. Give both models their class names: split(network, class_names=[...])."
    )
