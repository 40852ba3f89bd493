"""What an interrupted pass leaves in a checkpoint: shards of its rows and held maps."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from likethat._checkpoint import Checkpoint
from likethat._documents import Damaged, typed
from likethat.features.rows import COLUMNS, Keeper, Rows
from likethat.sources.base import Skipped

_START = "shard-"

_WHOLE = ("indices", "labels", "predicted", "digests", "sketches")
"""Columns of whole numbers."""
_HELD = ("held", "maps", "views")
_DIMENSIONS = {
    **dict.fromkeys((*_WHOLE, "held"), 1),
    "means": 2,
    "pooled": 2,
    "facts": 2,
    "sketches": 2,
    "maps": 3,
    "views": 4,
}
"""Of each tensor: images, then channels, cells, or channels, height and width."""


def write_shard(
    checkpoint: Checkpoint,
    rows: Rows,
    keeper: Keeper,
    *,
    number: int,
    start: int,
    stop: int,
    grid: tuple[int, int],
    skipped: list[Skipped],
) -> None:
    """Leave the vectors of some images and their held maps as a numbered shard; `stop` is where the next begins."""
    indices, maps, views = keeper.held(rows.indices)
    tensors = rows.tensors() | {"held": indices, "maps": maps, "views": views}
    about = {
        "names": rows.names,
        "label_names": rows.label_names,
        "start": start,
        "stop": stop,
        "grid": list(grid),
        "skipped": [[item.name, item.reason] for item in skipped],
    }
    checkpoint.write_state(f"{_START}{number:06d}", tensors, about)


def read_shards(checkpoint: Checkpoint) -> Iterator[tuple[Rows, dict[str, Tensor], dict[str, Any]]]:
    """Yield the shards left so far, up to the first that is missing or damaged: rows, held maps and views, notes."""
    number, stop = 0, 0
    while state := checkpoint.read_state(f"{_START}{number:06d}"):
        tensors, about = state
        if about["start"] != stop:
            break  # of an earlier pass, behind a shard that was damaged and written again
        stop = about["stop"]
        for name, n in _DIMENSIONS.items():
            if tensors[name].ndim != n:
                raise Damaged(f"shard {number} holds {name} of {tensors[name].ndim} dimensions, not {n}")
        columns: dict[str, Any] = {name: tensors.pop(name) for name in COLUMNS}
        label_names = typed(about["label_names"], list[str | None])
        rows = Rows(names=typed(about["names"], list[str]), label_names=label_names, **columns)
        if {len(label_names), *map(len, columns.values())} != {len(rows.names)}:
            raise Damaged(f"shard {number} holds columns of different length")
        if len({len(tensors[name]) for name in _HELD}) > 1:
            raise Damaged(f"shard {number} holds maps of other images than it says")
        if not all(bool(tensors[name].isfinite().all()) for name in _HELD):
            raise Damaged(f"shard {number} holds maps with NaN or infinity")
        if any(columns[name].is_floating_point() for name in _WHOLE):
            raise Damaged(f"shard {number} holds numbers that are not whole, where they count")
        yield rows, tensors, about
        number += 1
