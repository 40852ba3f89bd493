"""A marked part of a picture: what it adds to a logit, exactly, and what of the bank's pictures looks like it."""

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from likethat._session import in_own_session
from likethat.explanations.explain import ImageLike, Terms, as_sample, classes_of, look_at, terms_of
from likethat.explanations.records import Box, Prototype
from likethat.functional import cell_box
from likethat.functional.windows import likest_window, marked_cells

if TYPE_CHECKING:
    from likethat.explanations.bank import Bank

__all__ = ["LooksLike", "Maps", "Region", "UnitThere", "explain_region"]

_UNITS, _ALIKE = 8, 12  # shown of a region
_LOOKED = 64  # pictures of the bank: each costs a pass of the network, the first time that it is wanted


@dataclass(frozen=True, kw_only=True)
class UnitThere:
    """A unit in a region.

    Attributes:
        unit: its number.
        name: what to call it.
        contribution: what it supplies to the logit from the region, signed.
        everywhere: what it supplies from the whole picture's map.
    """

    unit: int
    name: str
    contribution: float
    everywhere: float


@dataclass(frozen=True, kw_only=True)
class LooksLike:
    """A place in a picture of the bank.

    Attributes:
        prototype: the strongest one whose picture it is: it says what picture that is.
        box: the place, in pixels of that picture.
        similarity: cosine of the mean vectors of both places, in [-1, 1].
    """

    prototype: Prototype
    box: Box
    similarity: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Region:
    """What a part of a picture says.

    Attributes:
        mark: left, top, right and bottom as shares of the picture, as it was marked.
        box: the cells that this is, in pixels of the picture as the network saw it.
        n_cells: how many they are.
        n_all: cells of the whole map.
        contribution: what they add to the logit (or to the difference of two), exactly: all units' share in them.
        everywhere: what all cells add.
        logit: of the target, or the difference.
        units: those that supply most there, either way, the largest first.
        rest: what the other units supply there.
        alike: places of the bank's pictures, the most alike first.
        n_looked: pictures that were looked at: those of the prototypes of the units that are most active there.
        n_pictures: pictures of the bank.
    """

    mark: tuple[float, float, float, float]
    box: Box
    n_cells: int
    n_all: int
    contribution: float
    everywhere: float
    logit: float
    units: tuple[UnitThere, ...]
    rest: float
    alike: tuple[LooksLike, ...]
    n_looked: int
    n_pictures: int


class Maps:
    """Feature maps of a bank's pictures, made when they are asked for; the last ones are kept.

    Args:
        bank: whose pictures, and whose model.
        most: bytes of maps that are kept.
    """

    def __init__(self, bank: "Bank", most: int) -> None:
        self._bank, self._most, self._size = bank, most, 0
        self._kept: OrderedDict[str, Tensor] = OrderedDict()
        self._lock = threading.Lock()

    def __getitem__(self, key: str) -> Float[Tensor, "channel row column"]:
        """Return the map of a picture."""
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
                return found
        found = self._look(key)
        with self._lock:
            if key not in self._kept:  # another thread may have looked meanwhile
                self._kept[key] = found
                self._size += found.nbytes
            while self._size > self._most and len(self._kept) > 1:
                self._size -= self._kept.popitem(last=False)[1].nbytes
        return found

    @in_own_session
    @torch.no_grad()
    def _look(self, key: str) -> Tensor:
        model = self._bank.model
        view = model.preprocess.view(as_sample(self._bank.images[key]).image)
        return model.features(view[None])[0].cpu()


@in_own_session
def explain_region(
    bank: "Bank",
    image: ImageLike,
    mark: tuple[float, float, float, float],
    maps: Maps,
    *,
    target: int | None = None,
    against: int | None = None,
    without: str = "",
) -> Region:
    """Say what a part of a picture adds to a logit, and what of the bank's pictures looks like it.

    Args:
        bank: with its model.
        image: as in `Bank.explain`.
        mark: left, top, right and bottom of the part, as shares of the picture in [0, 1].
        maps: of the bank's pictures.
        target: class that is explained; None for the predicted one.
        against: the other class, where it is the difference of two logits; None for none.
        without: a picture of the bank that is not looked at: the marked one.

    Raises:
        BankError: the bank has no model.
        NotLinearError: the model's head cannot be taken apart.
        InputError: `mark` is no part of the picture.
    """
    _, seen = look_at(bank, image)
    grid = (seen.feature_map.shape[1], seen.feature_map.shape[2])
    window, cells = marked_cells(mark, grid=grid)
    chosen, other = classes_of(bank, seen, target, against)
    terms = terms_of(bank, seen, bank.model, chosen, other)
    inside = terms.heat_maps()[:, cells.flatten()].sum(1)
    shown, logit = _units(terms, inside), float(seen.logits[chosen])
    vector = seen.feature_map[:, cells].double().mean(1)
    keys = [key for key in _pictures(bank, vector) if key != without]
    return Region(
        mark=mark,
        box=_box(window, grid, (seen.view.shape[1], seen.view.shape[2])),
        n_cells=int(cells.sum()),
        n_all=cells.numel(),
        contribution=float(inside.sum()),
        everywhere=float(terms.located.sum()),
        logit=logit if other is None else logit - float(seen.logits[other]),
        units=shown,
        rest=float(inside.sum()) - sum(one.contribution for one in shown),
        alike=_alike(bank, vector, (window[2] - window[0], window[3] - window[1]), maps, keys),
        n_looked=len(keys),
        n_pictures=len({item.image for item in bank.prototypes}),
    )


def _units(terms: Terms, inside: Float[Tensor, " unit"]) -> tuple[UnitThere, ...]:
    order = inside.abs().sort(descending=True, stable=True).indices[:_UNITS]
    return tuple(
        UnitThere(
            unit=int(terms.units[place]),
            name=terms.unit(int(place)).name,
            contribution=float(inside[place]),
            everywhere=float(terms.located[terms.units[place]]),
        )
        for place in order
    )


def _pictures(bank: "Bank", vector: Float[Tensor, " channel"]) -> tuple[str, ...]:
    """Return the pictures to look through: prototypes of the units that are most active there, those first."""
    detectors = bank.coordinates.detectors(torch.arange(bank.coordinates.n_units))
    order = (detectors.double() @ vector).sort(descending=True, stable=True).indices
    found: dict[str, None] = {}
    for unit in order.tolist():
        found.update(dict.fromkeys(item.image for item in bank.prototypes_of(unit)))
        if len(found) >= _LOOKED:
            break
    return tuple(found)[:_LOOKED]


def _alike(
    bank: "Bank", vector: Float[Tensor, " channel"], window: tuple[int, int], maps: Maps, keys: Iterable[str]
) -> tuple[LooksLike, ...]:
    positive = (item for item in bank.prototypes if item.kind == "positive")
    strongest = {item.image: item for item in sorted(positive, key=lambda item: -item.rank)}
    found = []
    for key in keys:
        feature_map = maps[key]
        similarity, where = likest_window(feature_map, vector, window=window)
        box = _box(where, (feature_map.shape[1], feature_map.shape[2]), bank.images.size(key))
        found.append(LooksLike(prototype=strongest[key], box=box, similarity=similarity))
    return tuple(sorted(found, key=lambda one: -one.similarity)[:_ALIKE])


def _box(window: tuple[int, int, int, int], grid: tuple[int, int], size: tuple[int, int]) -> Box:
    first = cell_box((window[0], window[1]), grid=grid, size=size)
    last = cell_box((window[2] - 1, window[3] - 1), grid=grid, size=size)
    return first[0], first[1], last[2], last[3]
