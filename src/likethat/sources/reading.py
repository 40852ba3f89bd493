"""Streaming a source: in order, in batches, with what could not be read listed."""

from collections import deque
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from likethat._checks import check_count
from likethat.errors import InputError, UnreadableImageError
from likethat.sources.arrays import Images
from likethat.sources.base import ImageSource, Sample, Skipped, class_names_of
from likethat.sources.datasets import IterableSource
from likethat.sources.folder import ImageFolder
from likethat.sources.shards.shards import Shards

View = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Consecutive images of a source, those that could not be read left out.

    Attributes:
        images: float32 in [0, 1], (image, channel, height, width).
        indices: their numbers in the source.
        names: their names.
        labels: class indices in the source's own numbering, None where it gives none.
        label_names: what the source calls these classes, None where it does not say.
        shapes: channels, height and width of each image before `view`.
    """

    images: Float[Tensor, "image channel height width"]
    indices: tuple[int, ...]
    names: tuple[str, ...]
    labels: tuple[int | None, ...]
    label_names: tuple[str | None, ...]
    shapes: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Item:
    """A decoded item, or why it does not decode."""

    index: int
    sample: Sample | None
    shape: tuple[int, int, int] = (0, 0, 0)
    skipped: Skipped | None = None


def read(
    source: ImageSource | IterableSource,
    *,
    view: View | None = None,
    batch_size: int = 32,
    workers: int = 0,
    start: int = 0,
    again: Collection[int] = (),
    skipped: list[Skipped] | None = None,
) -> Generator[Batch, None, None]:
    """Read a source in order.

    At most ``2 * workers + 2`` batches are decoded at a time. Closing the generator ends its threads.

    Args:
        source: what to read; see `as_source`.
        view: applied to each image (channel, height, width); must give images of one size.
        batch_size: images in a batch.
        workers: threads that decode; the order does not depend on it. A data set of yours must bear several threads.
        start: the item to begin with; items before it are not decoded.
        again: items before `start` that are, all the same.
        skipped: receives what could not be read, in order; before it, what a folder or a shard left out.

    Raises:
        InputError: images of different sizes, or other bad arguments.
    """
    check_count(batch_size, name="batch_size")
    check_count(workers, name="workers", minimum=0)
    check_count(start, name="start", minimum=0)
    if not isinstance(source, ImageSource | IterableSource) or isinstance(source, str | Tensor):
        raise InputError(f"`source` must be a source of images, got {type(source).__name__}. Give as_source(images).")
    if skipped is not None and start == 0 and isinstance(source, ImageFolder | Shards):
        skipped += source.left_out
    if view is None and isinstance(source, Images) and source.batch(0, 0) is not None:
        return _read_stacked(source, batch_size, start)
    return _read_items(_decoded(source, view, start, again, workers, batch_size), batch_size, skipped, start)


def read_span(
    source: ImageSource, view: View | None, start: int, stop: int
) -> tuple[Batch | None, list[tuple[int, Skipped]]]:
    """Read some items of a source in one batch; None where none can be read. Those that cannot come by their numbers.

    Args:
        source: what to read.
        view: as for `read`.
        start: the first item.
        stop: the item behind the last.
    """
    items = list(_decoded(source, view, start, (), 0, 1, stop=stop))
    unread = [(item.index, item.skipped) for item in items if item.skipped is not None]
    found = [item for item in items if item.skipped is None]
    return (_batch(found) if found else None), unread


def _read_items(
    items: Generator[_Item, None, None], batch_size: int, skipped: list[Skipped] | None, start: int
) -> Generator[Batch, None, None]:
    waiting: list[_Item] = []
    with closing(items):  # not left to the garbage collector: it ends the threads
        for item in items:
            if item.skipped is None:
                waiting.append(item)
            elif skipped is not None and item.index >= start:  # the others were listed before
                skipped.append(item.skipped)
            del item
            if len(waiting) == batch_size:
                batch, waiting = _batch(waiting), []
                yield batch
                del batch
        if waiting:
            yield _batch(waiting)


def _read_stacked(source: Images, batch_size: int, start: int) -> Generator[Batch, None, None]:
    """Read images of one size in whole slices."""
    for first in range(start, len(source), batch_size):
        indices = tuple(range(first, min(first + batch_size, len(source))))
        images = source.batch(first, first + batch_size)
        assert images is not None
        labels = tuple(map(source.label, indices))
        yield Batch(
            images=images,
            indices=indices,
            names=tuple(map(source.name, indices)),
            labels=labels,
            label_names=tuple(_name_in(source.class_names, label) for label in labels),
            shapes=(_shape(images[0]),) * len(images),
        )


def _decoded(
    source: ImageSource | IterableSource,
    view: View | None,
    start: int,
    again: Collection[int],
    workers: int,
    batch_size: int,
    *,
    stop: int | None = None,
) -> Generator[_Item, None, None]:
    names = class_names_of(source)

    def one(index: int, item: Any) -> _Item:
        try:
            found = source.sample(index, item) if isinstance(source, IterableSource) else source[index]
        except UnreadableImageError as error:
            name = name_of(source, index)
            return _Item(index=index, sample=None, skipped=Skipped(name=name, reason=_reason(error, name)))
        return _Item(index=index, sample=_viewed(found, view, names), shape=_shape(found.image))

    items: Iterator[tuple[int, Any]]
    if isinstance(source, IterableSource):
        items = ((index, item) for index, item in source.raw() if index >= start or index in again)
    else:
        items = ((index, None) for index in (*sorted(again), *range(start, len(source) if stop is None else stop)))
    if workers:
        yield from _in_threads(one, items, workers, ahead=workers * 2 * batch_size)
        return
    for index, item in items:
        yield one(index, item)


def _shape(image: Tensor) -> tuple[int, int, int]:
    channels, height, width = image.shape
    return channels, height, width


def _name_in(names: Sequence[str], label: int | None) -> str | None:
    return names[label] if label is not None and 0 <= label < len(names) else None


def _viewed(found: Any, view: View | None, names: Sequence[str]) -> Sample:
    if not isinstance(found, Sample):
        raise InputError(f"`source` must give samples, got {type(found).__name__}. Wrap it: as_source(images).")
    found = replace(found, label_name=found.label_name or _name_in(names, found.label))
    if view is None:
        return found
    try:
        image = view(found.image)
    except InputError as error:
        raise type(error)(f"{error} (The image is {found.name}.)") from error
    if not isinstance(image, Tensor) or image.ndim != 3:
        got = tuple(image.shape) if isinstance(image, Tensor) else type(image).__name__
        raise InputError(f"`view` must give a tensor (channel, height, width), got {got} for {found.name}.")
    return Sample(image=image, name=found.name, label=found.label, label_name=found.label_name)


def _in_threads(
    one: Callable[[int, Any], _Item], items: Iterator[tuple[int, Any]], workers: int, *, ahead: int
) -> Generator[_Item, None, None]:
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


def name_of(source: ImageSource | IterableSource, index: int) -> str:
    """Return what a source calls an image, without decoding it."""
    return source.name(index) if isinstance(source, Images | ImageFolder | Shards) else f"image {index}"


def _reason(error: UnreadableImageError, name: str) -> str:
    return str(error).removeprefix(name).strip().removesuffix(".")


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
        label_names=tuple(sample.label_name for sample in samples),
        shapes=tuple(item.shape for item in items),
    )
