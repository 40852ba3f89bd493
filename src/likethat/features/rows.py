"""Per-image vectors, chunk by chunk, and which images' maps are held."""

import hashlib
import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

COLUMNS = ("indices", "labels", "predicted", "means", "pooled", "facts", "digests", "sketches")
"""What of `Rows` is a tensor."""
FACTS = ("lowest", "highest", "mean", "contrast", "detail", "colour")
"""Of an image as it was seen, behind the three of its size: `detail` is the root mean square of what its sketch does
not show, `colour` the mean difference of the highest and the lowest channel."""
SKETCH = 16  # cells a side: copies of small photographs are told by as many, and with 8 a shift is one of half a cell


@dataclass(kw_only=True, eq=False)
class Rows:
    """Vectors of consecutive images: the columns of `Features`, before they are joined."""

    names: list[str]
    indices: Tensor
    labels: Tensor  # in the source's own numbering
    predicted: Tensor
    means: Tensor
    pooled: Tensor
    label_names: list[str | None]
    facts: Tensor  # (image, 9): channels, height, width as it came; as it was seen, see `FACTS`
    digests: Tensor  # (image,) of the pixels as they were seen
    sketches: Tensor  # (image, SKETCH * SKETCH), 8 bit: small and grey; of width 0 where nobody compares pictures

    @classmethod
    def join(cls, parts: Sequence["Rows"]) -> "Rows":
        """Put parts one behind the other."""
        return cls(
            names=[name for part in parts for name in part.names],
            indices=torch.cat([part.indices for part in parts]),
            labels=torch.cat([part.labels for part in parts]),
            predicted=torch.cat([part.predicted for part in parts]),
            means=torch.cat([part.means for part in parts]),
            pooled=torch.cat([part.pooled for part in parts]),
            label_names=[name for part in parts for name in part.label_names],
            facts=torch.cat([part.facts for part in parts]),
            digests=torch.cat([part.digests for part in parts]),
            sketches=torch.cat([part.sketches for part in parts]),
        )

    def light(self) -> "Rows":
        """Return the same without its vectors, which are kept in another place (`Vectors`)."""
        nothing = self.means[:, :0].clone()
        return replace(self, means=nothing, pooled=nothing)

    def tensors(self) -> dict[str, Tensor]:
        """Return the columns that are tensors, by name."""
        return {name: getattr(self, name) for name in COLUMNS}


@dataclass(kw_only=True, eq=False)
class Keeper:
    """Holds the maps of the images of lowest priority, a hash of the seed and the image's number.

    So the draw depends neither on the order of arrival nor on how often the pass was interrupted.

    Attributes:
        capacity: how many maps fit.
        seed: of the draw.
        maps: (slot, channel, cell) and views: (slot, channel, height, width), 8 bit.
        slots: the slot of each held image, by its number in the source.
    """

    capacity: int
    seed: int
    maps: Tensor
    views: Tensor
    chosen: frozenset[int] | None = None
    slots: dict[int, int] = field(default_factory=dict)
    _heap: list[tuple[int, int]] = field(default_factory=list)

    @classmethod
    def for_shapes(
        cls, map_shape: tuple[int, int], view_shape: tuple[int, ...], *, total: int | None, seed: int, budget: int
    ) -> "Keeper":
        """Make room for as many maps as `budget` bytes allow, or for `total`."""
        bytes_each = 4 * map_shape[0] * map_shape[1] + int(np.prod(view_shape))
        capacity = max(1, budget // bytes_each)
        room = min(capacity, 1024 if total is None else total)
        chosen = _lowest_priorities(total, capacity, seed) if total is not None and total > capacity else None
        return cls(
            capacity=capacity,
            seed=seed,
            maps=torch.empty(room, *map_shape, dtype=torch.float32),
            views=torch.empty(room, *view_shape, dtype=torch.uint8),
            chosen=chosen,
        )

    def wants(self, indices: Tensor) -> bool:
        """Return whether the draw may hold any of these images."""
        return self.chosen is None or not self.chosen.isdisjoint(indices.tolist())

    def put(self, indices: Tensor, maps: Tensor, views: Tensor) -> None:
        """Offer images; those that belong to the draw are held, and may push others out."""
        offered = indices.tolist()
        rows_of_slots: dict[int, int] = {}  # a slot given twice within one chunk belongs to the later image
        for row, index in enumerate(offered):
            if self.chosen is None or index in self.chosen:
                slot = self._slot_for(index)
                if slot is not None:
                    self.slots[index] = slot
                    rows_of_slots[slot] = row
        slots, rows = list(rows_of_slots), list(rows_of_slots.values())
        if rows and rows == list(range(len(offered))) and slots == list(range(slots[0], slots[0] + len(slots))):
            self.maps[slots[0] : slots[-1] + 1] = maps  # the usual case, in one piece
            self.views[slots[0] : slots[-1] + 1] = views
        elif rows:
            self.maps[slots] = maps[rows]
            self.views[slots] = views[rows]

    def _slot_for(self, index: int) -> int | None:
        taken = len(self.slots)
        if taken < self.capacity:
            if taken == len(self.maps):
                self._grow()
            return taken
        # A stream longer than the budget: the highest priority leaves.
        if not self._heap:
            self._heap = [(-priority(self.seed, held), held) for held in self.slots]
            heapq.heapify(self._heap)
        mine = (-priority(self.seed, index), index)
        if mine < self._heap[0]:
            return None
        _, leaves = heapq.heapreplace(self._heap, mine)
        return self.slots.pop(leaves)

    def _grow(self) -> None:
        room = min(self.capacity, 2 * len(self.maps))
        maps, views = self.maps, self.views
        self.maps = torch.empty(room, *maps.shape[1:], dtype=torch.float32)
        self.views = torch.empty(room, *views.shape[1:], dtype=torch.uint8)
        self.maps[: len(maps)], self.views[: len(views)] = maps, views

    def held(self, indices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return which of `indices` are held, their maps and their views."""
        held = [index for index in indices.tolist() if index in self.slots]
        places = torch.tensor([self.slots[index] for index in held], dtype=torch.long)
        return torch.tensor(held, dtype=torch.long), self.maps[places], self.views[places]

    def in_order_of(self, indices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the rows of `indices` whose maps are held, ascending, their maps and their views."""
        slots = [(row, self.slots[index]) for row, index in enumerate(indices.tolist()) if index in self.slots]
        rows = torch.tensor([row for row, _ in slots], dtype=torch.long)
        places = torch.tensor([slot for _, slot in slots], dtype=torch.long)
        if torch.equal(places, torch.arange(len(places))):
            return rows, self.maps[: len(places)], self.views[: len(places)]
        return rows, self.maps[places], self.views[places]


def as_bytes(views: Tensor) -> Tensor:
    """Return views in [0, 1] as 8 bits, on the CPU."""
    return views.mul(255).round_().clamp_(0, 255).to(torch.uint8).cpu()


def digests_of(pixels: Tensor) -> Tensor:
    """Return a number an image that is the same for the same pixels."""
    found = [hashlib.blake2b(image.tobytes(), digest_size=8).digest() for image in pixels.numpy()]
    return torch.tensor([int.from_bytes(digest, "big", signed=True) for digest in found], dtype=torch.long)


def priority(seed: int, index: int) -> int:
    """Return a 63-bit hash of a seed and an image's number."""
    digest = hashlib.blake2b(f"{seed}:{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def _lowest_priorities(total: int, room: int, seed: int) -> frozenset[int]:
    priorities = np.array([priority(seed, index) for index in range(total)])
    return frozenset(np.argpartition(priorities, room - 1)[:room].tolist())
