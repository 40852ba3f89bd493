"""What a source of given images is: numbered items, each an image in [0, 1] with a name."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

__all__ = ["ImageSource", "Sample", "Skipped"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """One image of a source.

    Attributes:
        image: float32 in [0, 1], (channel, height, width), at its own size.
        name: where it came from, e.g. the path below the folder or ``"image 17"``.
        label: its class index, where the source knows one.
    """

    image: Float[Tensor, "channel height width"]
    name: str
    label: int | None = None


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """An item that was left out, and why (a corrupt file, a feature that is NaN).

    Attributes:
        name: the item's name in its source.
        reason: one sentence.
    """

    name: str
    reason: str


@runtime_checkable
class ImageSource(Protocol):
    """Numbered images. ``source[i]`` raises `UnreadableImageError` where item *i* does not decode."""

    def __len__(self) -> int:
        """Return the number of items, unreadable ones included."""
        ...

    def __getitem__(self, index: int, /) -> Sample:
        """Return item `index`."""
        ...
