"""A pass in workers: they read the images and run the network; the chunks are those of a pass in one process.

What workers read is regrouped into chunks here, as an image that does not decode moves all chunks behind it, and
rounding may depend on which images go through the network together.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch

from likethat._workers import Crew, Held, packed, unpacked
from likethat.features.looking import Chunk, Forward, Seen, look
from likethat.models import SplitModel
from likethat.sources import ImageSource
from likethat.sources.base import Skipped
from likethat.sources.reading import View, read_span


@dataclass(kw_only=True, eq=False)
class There:
    """What every worker has.

    Attributes:
        model: what is explained.
        source: what the workers read; None where the images are sent to them.
        view: prepares each image.
    """

    model: SplitModel
    source: ImageSource | None
    view: View | None

    @cached_property
    def forward(self) -> Forward:
        """The network on chunks of one size, one a worker."""
        return Forward(self.model)


def read_there(crew: Crew, *, start: int, stop: int, size: int, behind: list[Skipped], on_gpu: bool) -> Iterator[Chunk]:
    """Have the workers read a source; yield the chunks that a pass in one process makes, their views with the workers.

    Args:
        crew: that has the source.
        start: the first item.
        stop: the item behind the last.
        size: images in a chunk, and items read at a time.
        behind: receives what could not be read behind the last chunk.
        on_gpu: the images are made by a network.
    """
    chunk, unread = Chunk(), list[tuple[int, Skipped]]()
    spans = ((first, min(first + size, stop)) for first in range(start, stop, size))
    for (batch, missed), held in crew.map(_read, spans, on_gpu=on_gpu):
        unread += missed
        first, n = 0, 0 if batch is None else len(batch.indices)
        while first < n:
            last = min(n, first + size - len(chunk.indices))
            chunk.extend(batch, slice(first, last))
            chunk.pieces.append((held, first, last))
            first = last
            if len(chunk.indices) == size:
                unread = _assign(unread, chunk)
                yield chunk
                chunk = Chunk()
    if chunk.indices:
        unread = _assign(unread, chunk)
        yield chunk
    behind += [item for _, item in unread]


def _assign(unread: list[tuple[int, Skipped]], chunk: Chunk) -> list[tuple[int, Skipped]]:
    """Give a chunk what could not be read before its last image; return the others."""
    chunk.unread = [item for index, item in unread if index < chunk.indices[-1]]
    return unread[len(chunk.unread) :]


def looked_at_there(crew: Crew, chunks: Iterable[Chunk]) -> Iterator[Seen]:
    """Run the network on chunks in the workers; maps and views are fetched where they are asked for."""
    for seen, held in crew.map(_look, chunks, on_gpu=True):
        yield replace(seen, held=_fetched(held))


def _fetched(held: Held) -> Any:
    return lambda: tuple(map(unpacked, held.get()))


def _read(there: There, span: tuple[int, int]) -> tuple[Any, Any]:
    """Return what is known of some items, and their views; runs in a worker."""
    assert there.source is not None
    batch, unread = read_span(there.source, there.view, *span)
    if batch is None:
        return (None, unread), None
    return (replace(batch, images=torch.empty(0, dtype=torch.float32)), unread), packed(batch.images)


def _look(there: There, chunk: Chunk) -> tuple[Seen, Any]:
    """Return what is told of a chunk, and its maps and views; runs in a worker."""
    seen = look(there.forward, chunk)
    maps, pixels = seen.held()
    return replace(seen, held=_nothing), (packed(maps), packed(pixels))


def _nothing() -> Any:
    raise RuntimeError("maps lie with the worker")
