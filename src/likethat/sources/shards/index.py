"""What is known of a shard's images before one is decoded: where they lie, and their labels."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from likethat.sources.base import Skipped

LARGEST_IMAGE = 2**28
"""Bytes of one encoded picture: beyond what Pillow opens safely in any format, and a shard may say any number."""
_LONGEST = 300  # signs of a name that are kept: a path of usual systems; a tar's header may hold one of megabytes


class UnreadShardError(ValueError):
    """A shard that cannot be used; its words say why."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Index:
    """The images of one shard, in order. Compact: a data set has millions of them.

    Attributes:
        names: (image,) UTF-8 bytes, as the shard calls them.
        starts: (image,) where each begins: a byte of a tar, a row of a table.
        sizes: (image,) bytes of each; 0 where the shard does not say.
        labels: (image,) class index in the shard's own numbering, -1 for none.
        label_names: what classes are called, by image, where labels are words; empty for none.
        class_names: what the shard calls its classes, in order; empty where it does not say.
        left_out: what lies in it and is not read, and why.
    """

    names: NDArray[np.bytes_]
    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]
    labels: NDArray[np.int64]
    label_names: dict[int, str] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    left_out: tuple[Skipped, ...] = ()

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.starts)


def index_of(
    names: Sequence[str],
    starts: Sequence[int],
    sizes: Sequence[int],
    labels: Sequence[tuple[int | None, str | None]],
    **more: Any,
) -> Index:
    """Put lists of what was found into an index; labels are (number, word)."""
    short = [name[:_LONGEST].encode("utf-8", errors="replace") for name in names]
    words = {place: word for place, (_, word) in enumerate(labels) if word is not None}
    return Index(
        names=np.array(short, dtype=np.bytes_),
        starts=np.array(starts, dtype=np.int64),
        sizes=np.array(sizes, dtype=np.int64),
        labels=np.array([-1 if number is None else number for number, _ in labels], dtype=np.int64),
        label_names=words,
        **more,
    )
