"""Whether the images of a source that cannot say which they are (a data set, a stream) are those of an earlier pass."""

from collections.abc import Collection, Iterable, Iterator, Sequence

from likethat.errors import InputError
from likethat.features.rows import Rows, as_bytes, digests_of
from likethat.sources import Batch

_LOOKED_AT = 64  # images: read in a second or two, and another order or a drawing of chance shows in any few of them

_Told = tuple[int, str, int, str | None]
"""Of an image: digest of its pixels, name, label (-1 for none), what the label is called."""


def looked_at(done: Sequence[Rows]) -> list[int]:
    """Return which images of those that are done are read again, spread over them, first and last among them."""
    indices = [index for rows in done for index in rows.indices.tolist()]
    places = {round(place * (len(indices) - 1) / (_LOOKED_AT - 1)) for place in range(_LOOKED_AT)} if indices else set()
    return [indices[place] for place in sorted(places)]


def check_same(batches: Iterable[Batch], done: Sequence[Rows], again: Collection[int]) -> Iterator[Batch]:
    """Yield what is new of batches; compare what is read again with what was seen of it before.

    Args:
        batches: in ascending order, those of `again` before all others.
        done: what was seen before.
        again: the images to compare.

    Raises:
        InputError: an image has other pixels, another name or another label than before, or cannot be read any more.
    """
    awaited = {index: told for rows in done for index, told in _told_of(rows, again)}
    for batch in batches:
        n_again = sum(index in awaited for index in batch.indices)
        for index, now in _told_now(batch, n_again):
            if awaited.pop(index) != now:
                raise _changed(now[1])
        if awaited and n_again < len(batch.indices):
            break
        if n_again < len(batch.indices):
            yield _behind(batch, n_again)
    if awaited:
        raise _changed(min(awaited.items())[1][1])


def _told_of(rows: Rows, again: Collection[int]) -> Iterator[tuple[int, _Told]]:
    columns = zip(rows.digests.tolist(), rows.names, rows.labels.tolist(), rows.label_names, strict=True)
    yield from (found for found in zip(rows.indices.tolist(), columns, strict=True) if found[0] in again)


def _told_now(batch: Batch, n: int) -> Iterator[tuple[int, _Told]]:
    labels = [-1 if label is None else label for label in batch.labels[:n]]
    columns = zip(digests_of(as_bytes(batch.images[:n])).tolist(), batch.names, labels, batch.label_names, strict=False)
    yield from zip(batch.indices, columns, strict=False)


def _changed(name: str) -> InputError:
    return InputError(
        f"`images` must be those that the checkpoint was begun with, got others: {name} is not what it was. Give the "
        "same images, in the same order and without random changes, or begin anew, without resuming."
    )


def _behind(batch: Batch, n: int) -> Batch:
    """Return a batch without its first `n` images."""
    if not n:
        return batch
    return Batch(
        images=batch.images[n:],
        indices=batch.indices[n:],
        names=batch.names[n:],
        labels=batch.labels[n:],
        label_names=batch.label_names[n:],
        shapes=batch.shapes[n:],
    )
