"""A folder that interrupted work goes on from: pieces with checksums, handed back to the same work only."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from likethat._calls import warn
from likethat._documents import Damaged, digest_of, read_bytes, read_json, typed
from likethat._files import OwnFolder
from likethat._tensors import left_bytes, read_left
from likethat.errors import InputError, LikethatError, StorageError

EVERY = 5.0
"""Seconds between two pieces: what killed work may lose, and little enough to write."""

_MANIFEST = "checkpoint.json"
_RESULT = "result"
_SHARE = 0.09  # of the time may go into writing, all pieces together; with the folder's making and going a tenth


class Checkpoint:
    """Leaves work on disk piece by piece, and hands it back to the same work only.

    Args:
        folder: made where it does not exist.
        key: what makes two pieces of work the same: options, seed, which data. Plain JSON values.
        work: what it is called in sentences, "fit" or "training".
        resume: go on from what lies there; otherwise what likethat left there is removed.
        every: seconds within which the first piece is left, and between two; more where writing takes more than a
            tenth of the time.

    Raises:
        InputError: `resume` and the folder holds other work, or no checkpoint that can be read; or files lie there that
            likethat did not write.
        StorageError: the folder cannot be written.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        key: Mapping[str, Any],
        work: str = "fit",
        resume: bool = False,
        every: float = EVERY,
    ) -> None:
        self.folder = Path(folder).absolute()  # its result may be saved from elsewhere
        self.every = every
        self.unwritten: Callable[[], None] | None = None  # writes what only memory holds so far
        self._own = OwnFolder(self.folder)
        self._key: dict[str, Any] = json.loads(json.dumps(dict(key)))
        self._work = work
        self._begun = self._last = self._asked = time.monotonic()
        self._took = self._spent = 0.0  # seconds that the last writing took, and all of them
        self._has_failed = False
        if resume:
            self._check_same_work()
        else:
            self._own.claim(name="checkpoint", marker=_MANIFEST)
            self._own.write(_MANIFEST, json.dumps({"key": self._key, "sha256": digest_of(self._key)}).encode())

    def _check_same_work(self) -> None:
        try:
            found = self._found_key()
        except Damaged as error:
            raise InputError(
                f"`checkpoint` must be the folder of an interrupted {self._work} to resume, got {self.folder}, where "
                f"no readable {_MANIFEST} lies (it {error}). Begin anew, without resuming."
            ) from error
        said = _difference(found, self._key)
        if said:
            raise InputError(
                f"the checkpoint in {self.folder} was left by another {self._work}: {said}. Use the same data and "
                "options, or begin anew, without resuming."
            )

    def _found_key(self) -> dict[str, Any]:
        found = typed(read_json(self.folder / _MANIFEST, nan=True), dict[str, Any])
        if "key" not in found:
            raise Damaged("is of an earlier likethat")
        key = typed(found["key"], dict[str, Any])
        if found.get("sha256") != digest_of(key):
            raise Damaged("does not fit its checksum")
        return key

    def is_due(self) -> bool:
        """Return whether it is time for another piece: after one more step, as long as the last, it would come late.

        The first is due in half of the time: steps to come may be longer than those that were seen.
        """
        now = time.monotonic()
        step, self._asked = now - self._asked, now
        wait = self.every if self._spent else self.every / 2
        is_cheap = self._spent + self._took <= _SHARE * (now - self._begun)
        return now - self._last + step > wait and is_cheap

    def write_state(self, name: str, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
        """Leave tensors under a name, whole or not at all; a full disk is said once and the work goes on."""
        if self._has_failed:
            return
        started = time.monotonic()
        try:
            self._own.write(f"{name}.safetensors", left_bytes(tensors, about))
        except StorageError as error:
            self._has_failed = True
            warn(f"No further checkpoints of this {self._work} will be written: {error}")
        self._last = self._asked = time.monotonic()
        self._took = self._last - started
        self._spent += self._took

    def read_state(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return what `write_state` left under a name; None where nothing lies, or, which is said, nothing whole."""
        path = self.folder / f"{name}.safetensors"
        if not path.exists():
            return None
        try:
            return read_left(path)
        except Damaged as error:
            warn(f"In the checkpoint {self.folder}, {path.name} is damaged (it {error}): what it held is done again.")
            return None

    def __enter__(self) -> "Checkpoint":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Leave what was found when the work is interrupted; done, it stays until its result is saved."""
        if kind is not None and self.unwritten and not issubclass(kind, LikethatError):
            self.unwritten()
        self.unwritten = None  # it holds all that the pass found

    def note_result(self, file: Path) -> None:
        """Note the file that tells the result from all others, just before it is put in its place (see `has_ended`)."""
        if self.folder.is_dir():  # another result of the same work may have been saved, and this removed with it
            self.write_state(_RESULT, {}, {"sha256": hashlib.sha256(file.read_bytes()).hexdigest()})

    def remove(self) -> None:
        """Remove what was left, as its result is saved; what other work has begun there meanwhile stays."""
        try:
            is_ours = self._found_key() == self._key
        except Damaged:
            return
        if is_ours:
            self._own.remove()


def has_ended(folder: Path, file: Path) -> bool:
    """Return whether a file is the result of the work that a checkpoint is of: killed, it was not removed any more."""
    try:
        _, noted = read_left(folder / f"{_RESULT}.safetensors")
        return noted.get("sha256") == hashlib.sha256(read_bytes(file)).hexdigest()
    except Damaged:
        return False


def _difference(found: Mapping[str, Any], mine: Mapping[str, Any]) -> str:
    """Say the first thing in which two keys differ; nothing where they are the same."""
    for name in [*mine, *(found.keys() - mine.keys())]:
        then, now = found.get(name), mine.get(name)
        if then == now:
            continue
        if isinstance(then, dict) and isinstance(now, dict):
            return f"its {name} differ in their {_first_other(then, now)}"
        return f"its {name} is {then!r}, this one's is {now!r}"
    return ""


def _first_other(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    name = next(one for one in [*now, *then] if then.get(one) != now.get(one))
    if isinstance(then.get(name), int) and isinstance(now.get(name), int):
        return f"{name} ({then[name]:,} then, {now[name]:,} now)"
    return name
