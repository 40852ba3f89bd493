"""Streaming a source: in order, in batches, with what could not be read listed."""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from likethat._checks import check_count
from likethat.errors import InputError, UnreadableImageError
from likethat.sources.arrays import Images
from likethat.sources.base import ImageSource, Sample, Skipped
from likethat.sources.datasets import IterableSource

__all__ = ["Batch", "read"]

View = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Consecutive images of a source, those that could not be read left out.

    Attributes:
        images: float32 in [0, 1], (image, channel, height, width).
        indices: their numbers in the source.
        names: their names.
        labels: class indices, None where the source gives none.
    """

    images: Float[Tensor, "image channel height width"]
    indices: tuple[int, ...]
    names: tuple[str, ...]
    labels: tuple[int | None, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Item:
    """A decoded item, or why it does not decode."""

    index: int
    sample: Sample | None
    skipped: Skipped | None = None


def read(
    source: ImageSource | IterableSource,
    *,
    view: View | None = None,
    batch_size: int = 32,
    workers: int = 0,
    start: int = 0,
    skipped: list[Skipped] | None = None,
) -> Generator[Batch, None, None]:
    """Read a source in order.

    Args:
        source: what to read.
        view: applied to each image (channel, height, width); must give images of one size.
        batch_size: images in a batch.
        workers: threads that decode; the order does not depend on it.
        start: the item to begin with; items before it are not decoded.
        skipped: receives what could not be read.

    Raises:
        InputError: images of different sizes, or other bad arguments.
    """
    check_count(batch_size, name="batch_size")
    check_count(workers, name="workers", minimum=0)
    check_count(start, name="start", minimum=0)
    if isinstance(source, Images) and source.batch(0, 0) is not None:
        yield from _read_stacked(source, view, batch_size, start)
        return
    waiting: list[_Item] = []
    for item in _decoded(source, view, start, workers, batch_size):
        if item.skipped is not None:
            if skipped is not None:
                skipped.append(item.skipped)
            continue
        waiting.append(item)
        if len(waiting) == batch_size:
            yield _batch(waiting)
            waiting = []
    if waiting:
        yield _batch(waiting)


def _read_stacked(source: Images, view: View | None, batch_size: int, start: int) -> Iterator[Batch]:
    """Read images of one size in whole slices."""
    for first in range(start, len(source), batch_size):
        indices = tuple(range(first, min(first + batch_size, len(source))))
        images = source.batch(first, first + batch_size)
        assert images is not None
        yield Batch(
            images=images if view is None else view(images),
            indices=indices,
            names=tuple(map(source.name, indices)),
            labels=tuple(map(source.label, indices)),
        )


def _decoded(
    source: ImageSource | IterableSource, view: View | None, start: int, workers: int, batch_size: int
) -> Iterator[_Item]:
    def one(index: int, item: Any) -> _Item:
        try:
            found = source.sample(index, item) if isinstance(source, IterableSource) else source[index]
        except UnreadableImageError as error:
            name = _name_of(source, index)
            return _Item(index=index, sample=None, skipped=Skipped(name=name, reason=_reason(error, name)))
        image = found.image if view is None else view(found.image)
        return _Item(index=index, sample=Sample(image=image, name=found.name, label=found.label))

    items: Iterator[tuple[int, Any]]
    if isinstance(source, IterableSource):
        items = islice(source.raw(), start, None)
    else:
        items = ((index, None) for index in range(start, len(source)))
    if workers == 0:
        for index, item in items:
            yield one(index, item)
        return
    yield from _in_threads(one, items, workers, ahead=workers * 2 * batch_size)


def _in_threads(
    one: Callable[[int, Any], _Item], items: Iterator[tuple[int, Any]], workers: int, *, ahead: int
) -> Iterator[_Item]:
    """Decode in threads, at most `ahead` items before they are asked for, and hand them out in order."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="likethat-read")
    pending: deque[Future[_Item]] = deque()
    try:
        for index, item in items:
            pending.append(pool.submit(one, index, item))
            if len(pending) >= ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _name_of(source: ImageSource | IterableSource, index: int) -> str:
    files = getattr(source, "files", None)
    root = getattr(source, "root", None)
    if files is not None and root is not None:
        name: str = files[index].relative_to(root).as_posix()
        return name
    return source.name(index) if isinstance(source, Images) else f"image {index}"


def _reason(error: UnreadableImageError, name: str) -> str:
    return str(error).removeprefix(name).strip()


def _batch(items: list[_Item]) -> Batch:
    samples = [item.sample for item in items if item.sample is not None]
    shapes = {tuple(sample.image.shape): sample.name for sample in samples}
    if len(shapes) > 1:
        (first, name), (second, other) = list(shapes.items())[:2]
        raise InputError(
            f"`images` must have one size once the model has prepared them, got {first} ({name}) and {second} "
            f"({other}). Give the model a size: split(network, preprocess=Preprocess(size=224))."
        )
    return Batch(
        images=torch.stack([sample.image for sample in samples]),
        indices=tuple(item.index for item in items),
        names=tuple(sample.name for sample in samples),
        labels=tuple(sample.label for sample in samples),
    )
