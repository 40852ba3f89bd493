"""What a source of given images is: numbered items, each an image in [0, 1] with a name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """One image of a source.

    Attributes:
        image: float32 in [0, 1], (channel, height, width), at its own size.
        name: where it came from, e.g. the path below the folder or ``"image 17"``.
        label: its class index in the source's own numbering, where the source knows one.
        label_name: what the source calls its class, where that is more than ``class_names[label]``: a text label.
    """

    image: Float[Tensor, "channel height width"]
    name: str
    label: int | None = None
    label_name: str | None = None


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """An item that was left out, and why (a corrupt file, a feature that is NaN).

    Attributes:
        name: the item's name in its source.
        reason: one sentence.
    """

    name: str
    reason: str


def reading_of(source: object) -> dict[str, Any]:
    """Return what was said of a source's pixels (see `likethat.Images`): how another picture is read as these were."""
    reading = getattr(source, "reading", None)
    return dict(reading) if isinstance(reading, Mapping) else {}


def class_names_of(source: object) -> tuple[str, ...]:
    """Return what a source calls its classes, in the order of their indices; empty where it does not say."""
    names = getattr(source, "class_names", None)
    return tuple(map(str, names)) if isinstance(names, list | tuple) else ()


@runtime_checkable
class ImageSource(Protocol):
    """Numbered images. ``source[i]`` raises `UnreadableImageError` where item *i* does not decode."""

    def __len__(self) -> int:
        """Return the number of items, unreadable ones included."""
        ...

    def __getitem__(self, index: int, /) -> Sample:
        """Return item `index`."""
        ...
