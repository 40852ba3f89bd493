"""A marked part of a picture: what it adds to a logit, exactly, and what of the bank's pictures looks like it."""

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
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

_UNITS, _ALIKE = 8, 12  # shown of a region
_LOOKED = 64  # pictures of the bank: each costs a pass of the network, the first time that it is wanted
_AT_ONCE = 8  # pictures a pass: one by one takes half as long again and more; of more, the last one comes late


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
        n_left: pictures that there was no time for.
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
    n_left: int
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

    def known(self, keys: Sequence[str]) -> bool:
        """Return whether the maps of all these pictures are kept."""
        with self._lock:
            return all(key in self._kept for key in keys)

    def of(self, keys: Sequence[str]) -> list[Float[Tensor, "channel row column"]]:
        """Return the maps of pictures; those that are not kept are made in one pass."""
        with self._lock:
            found = {key: self._kept[key] for key in keys if key in self._kept}
            for key in found:
                self._kept.move_to_end(key)
        found |= self._made([key for key in keys if key not in found])
        with self._lock:
            for key in found.keys() - self._kept.keys():  # another thread may have looked meanwhile
                self._kept[key] = found[key]
                self._size += found[key].nbytes
            while self._size > self._most and len(self._kept) > 1:
                self._size -= self._kept.popitem(last=False)[1].nbytes
        return [found[key] for key in keys]

    @in_own_session
    @torch.no_grad()
    def _made(self, keys: Sequence[str]) -> dict[str, Tensor]:
        model = self._bank.model
        found: dict[str, Tensor] = {}
        views = {key: model.preprocess.view(as_sample(self._bank.images[key]).image) for key in keys}
        for size in {view.shape for view in views.values()}:  # one, unless the network takes any
            alike = [key for key in keys if views[key].shape == size]
            maps = model.features(torch.stack([views[key] for key in alike])).cpu()
            found |= {key: one.clone() for key, one in zip(alike, maps, strict=True)}  # else all stay with the last
        return found


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
    seconds: float | None = None,
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
        seconds: after which no more pictures are begun with whose maps are not kept: the next call goes further; None
            for no limit.

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
    size = (window[2] - window[0], window[3] - window[1])
    alike = [_alike(bank, key, vector, size, one) for key, one in _looked(maps, keys, seconds)]
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
        alike=tuple(sorted(alike, key=lambda one: -one.similarity)[:_ALIKE]),
        n_looked=len(alike),
        n_left=len(keys) - len(alike),
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


def _looked(maps: Maps, keys: Sequence[str], seconds: float | None) -> Iterator[tuple[str, Tensor]]:
    """Yield pictures with their maps, as many as there is time for: those that are kept, and some more always."""
    began, is_late = time.monotonic(), False
    for start in range(0, len(keys), _AT_ONCE):
        some = keys[start : start + _AT_ONCE]
        is_new = not maps.known(some)
        if is_new and is_late:
            return
        yield from zip(some, maps.of(some), strict=True)
        is_late = is_new and seconds is not None and time.monotonic() - began > seconds


def _alike(
    bank: "Bank", key: str, vector: Float[Tensor, " channel"], size: tuple[int, int], feature_map: Tensor
) -> LooksLike:
    similarity, where = likest_window(feature_map, vector, window=size)
    box = _box(where, (feature_map.shape[1], feature_map.shape[2]), bank.images.size(key))
    own = (item for item in bank.prototypes if item.kind == "positive" and item.image == key)
    return LooksLike(prototype=min(own, key=lambda item: item.rank), box=box, similarity=similarity)


def _box(window: tuple[int, int, int, int], grid: tuple[int, int], size: tuple[int, int]) -> Box:
    first = cell_box((window[0], window[1]), grid=grid, size=size)
    last = cell_box((window[2] - 1, window[3] - 1), grid=grid, size=size)
    return first[0], first[1], last[2], last[3]
