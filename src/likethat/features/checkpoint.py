"""A folder that an interrupted fit goes on from: shards of the pass, and states of a solver."""

import json
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from likethat._documents import Damaged, read_json, typed
from likethat._files import OwnFolder
from likethat._tensors import left_bytes, read_left
from likethat.errors import InputError, LikethatError, StorageError
from likethat.features.rows import COLUMNS, Keeper, Rows
from likethat.sources.base import Skipped

__all__ = ["Checkpoint"]

_MANIFEST = "checkpoint.json"

_EVERY = 5.0  # seconds: what a killed fit may lose of its pass, and little enough to write
_SHARE = 0.1  # of the time may go into writing: a slow disk makes the shards rarer


class Checkpoint:
    """Leaves work on disk piece by piece, and hands it back to the same work only.

    Args:
        folder: made where it does not exist.
        key: what makes two fits the same: model, options, seed, length of the source. Plain JSON values.
        resume: go on from what lies there; otherwise what likethat left there is removed.
        every: seconds until the first shard, and between two; more where writing one takes more than a tenth of that.

    Raises:
        InputError: `resume` and the folder holds the work of other options, or no checkpoint; or files lie there that
            likethat did not write.
        StorageError: the folder cannot be written.
    """

    def __init__(
        self, folder: str | Path, *, key: Mapping[str, Any], resume: bool = False, every: float = _EVERY
    ) -> None:
        self.folder = Path(folder)
        self.every = every
        self._own = OwnFolder(folder)
        self.unwritten: Callable[[], None] | None = None  # writes what only memory holds so far
        self._key = json.loads(json.dumps(dict(key)))
        self._last = time.monotonic()
        self._took = 0.0  # seconds that the last writing took
        self._failed = False
        if resume:
            self._check_same_work()
        else:
            self._start_anew()

    def _check_same_work(self) -> None:
        path = self.folder / _MANIFEST
        try:
            found = typed(read_json(path, nan=True), dict[str, Any])
        except Damaged as error:
            raise InputError(
                f"`checkpoint` must be the folder of an interrupted fit to resume, got {self.folder}, where no "
                "readable checkpoint.json lies. Fit without resuming."
            ) from error
        other = [name for name in {*found, *self._key} if found.get(name) != self._key.get(name)]
        if other:
            name = sorted(other)[0]
            raise InputError(
                f"the checkpoint in {self.folder} was left by another fit: its {name} is {found.get(name)!r}, this "
                f"one's is {self._key.get(name)!r}. Use the same options, or fit without resuming."
            )

    def _start_anew(self) -> None:
        self._own.claim(name="checkpoint")
        self._own.write(_MANIFEST, json.dumps(self._key).encode())

    def is_due(self) -> bool:
        """Return whether it is time for another shard."""
        return time.monotonic() - self._last >= max(self.every, self._took / _SHARE)

    def write_shard(
        self, rows: Rows, keeper: Keeper, *, stop: int, grid: tuple[int, int], skipped: list[Skipped]
    ) -> None:
        """Leave the vectors of some images and their held maps; `stop` is where the next pass begins."""
        indices, maps, views = keeper.held(rows.indices)
        tensors = rows.tensors() | {"held": indices, "maps": maps, "views": views}
        about = {
            "names": rows.names,
            "label_names": rows.label_names,
            "stop": stop,
            "grid": list(grid),
            "skipped": [[item.name, item.reason] for item in skipped],
        }
        number = len(self._shards())
        self.write_state(f"shard-{number:06d}", tensors, about)

    def _shards(self) -> list[Path]:
        return sorted(self.folder.glob("shard-*.safetensors"))

    def read_shards(self) -> list[tuple[Rows, dict[str, Tensor], dict[str, Any]]]:
        """Return the shards left so far: their rows, held maps and views, and what was noted beside them."""
        shards = []
        for path in self._shards():
            state = self.read_state(path.stem)
            if state is None:
                break  # cut short: the pass goes on from the shard before it
            tensors, about = state
            if "label_names" not in about:
                break  # of an earlier likethat, which did not note them
            columns: dict[str, Any] = {name: tensors.pop(name) for name in COLUMNS}
            label_names = typed(about["label_names"], list[str | None])
            rows = Rows(names=typed(about["names"], list[str]), label_names=label_names, **columns)
            if {len(label_names), *map(len, columns.values())} != {len(rows.names)}:
                raise Damaged(f"{path.name} holds columns of different length")
            shards.append((rows, tensors, about))
        return shards

    def write_state(self, name: str, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
        """Leave tensors under a name, whole or not at all; a full disk is said once and the work goes on."""
        if self._failed:
            return
        started = time.monotonic()
        try:
            self._own.write(f"{name}.safetensors", left_bytes(tensors, about))
        except StorageError as error:
            self._failed = True
            warnings.warn(f"No further checkpoints of this fit will be written: {error}", stacklevel=2)
        self._last = time.monotonic()
        self._took = self._last - started

    def read_state(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return what `write_state` left under a name; None where there is nothing whole."""
        path = self.folder / f"{name}.safetensors"
        try:
            return read_left(path)
        except Damaged:
            return None

    def __enter__(self) -> "Checkpoint":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Leave what was found when the work is interrupted; done, it stays until its result is saved."""
        if kind is not None and self.unwritten and not issubclass(kind, LikethatError):
            self.unwritten()
        self.unwritten = None  # it holds all that the pass found

    def remove(self) -> None:
        """Remove what was left, as its result is saved; what another fit has begun there meanwhile stays."""
        try:
            is_ours = read_json(self.folder / _MANIFEST, nan=True) == self._key
        except Damaged:
            return
        if is_ours:
            self._own.remove()
