"""Vectors of more images than the memory holds: written to a file as they come, read in blocks.

The file has no name (`tempfile.TemporaryFile`): whatever ends the process, the disk has its room back, and there is
nothing to sweep. What is mapped counts as the process's memory once it was read, until it is let go: `blocks` does.
"""

import mmap
import tempfile
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from likethat.errors import StorageError

_IN_MEMORY = 2**28  # bytes of vectors that are held in memory: joining them takes twice that, and it may not come back
_BLOCK = 2**27  # bytes of vectors in a block: 16,384 images of 2,048 channels
_AROUND = 2**21  # bytes that Linux may map around a row that is read, where its cache holds the file: a huge page


class Vectors:
    """Rows of float32 that grow at their end, in memory while they are few."""

    def __init__(self) -> None:
        self._parts: list[Tensor] = []
        self._file: IO[bytes] | None = None
        self._n_rows, self._n_bytes = 0, 0

    def add(self, rows: Tensor) -> None:
        """Append rows (image, channel).

        Raises:
            StorageError: the disk of temporary files does not take them.
        """
        self._n_rows += len(rows)
        self._n_bytes += rows.numel() * rows.element_size()
        self._parts.append(rows)
        if self._n_bytes > _IN_MEMORY:
            self._write()

    def _write(self) -> None:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="likethat-")  # noqa: SIM115 - it lives as long as we
            for part in self._parts:
                self._file.write(np.ascontiguousarray(part.numpy()).data)
        except OSError as error:
            raise StorageError(
                f"The vectors of {self._n_rows:,} images did not fit into {tempfile.gettempdir()} ({error.strerror}). "
                "Let the environment variable TMPDIR name a folder with more room."
            ) from error
        self._dim = self._parts[-1].shape[1]
        self._parts = []

    def all(self) -> Tensor:
        """Return all rows as one tensor: mapped where they lie on the disk, so not to be written to."""
        if self._file is None:
            return torch.cat(self._parts)
        self._file.flush()
        mapped = mmap.mmap(self._file.fileno(), self._n_bytes)
        tensor = torch.frombuffer(mapped, dtype=torch.float32).reshape(self._n_rows, self._dim)
        tensor.mapped = mapped  # type: ignore[attr-defined]
        return tensor

    def __del__(self) -> None:
        """Close the file; what is mapped stays until nobody holds it."""
        if self._file is not None:
            self._file.close()


def is_on_disk(vectors: Tensor) -> bool:
    """Whether a tensor is a mapping of `Vectors`."""
    return getattr(vectors, "mapped", None) is not None


def blocks(vectors: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Yield the first row and the rows of each block; all at once where they are in memory.

    A block must be done with, or copied, when the next is asked for: its pages are let go.
    """
    if not is_on_disk(vectors):
        yield 0, vectors
        return
    size = max(1, _BLOCK // (4 * vectors.shape[1]))
    for start in range(0, len(vectors), size):
        yield start, vectors[start : start + size]
        _let_go(vectors)


def rows_of(vectors: Tensor, rows: Tensor) -> Tensor:
    """Return a copy of some rows: of what is read for it, and around it, one block at most is in memory."""
    if not is_on_disk(vectors):
        return vectors[rows]
    found = vectors.new_empty(len(rows), vectors.shape[1])
    size = max(1, _BLOCK // max(_AROUND, 4 * vectors.shape[1]))
    for start in range(0, len(rows), size):
        torch.index_select(vectors, 0, rows[start : start + size], out=found[start : start + size])
        _let_go(vectors)
    return found


def _let_go(vectors: Tensor) -> None:
    mapped: Any = getattr(vectors, "mapped", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):  # Windows takes its pages back by itself
        mapped.madvise(mmap.MADV_DONTNEED)
