"""The pictures of a page, each embedded once however often it is shown."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from likethat.explanations.images import ImageStore
from likethat.report.pixels import data_uri, encode, shrink

PIXELATED_UP_TO = 48  # pixels a side: below it smoothing would show blur where the network saw pixels


@dataclass(frozen=True, kw_only=True)
class Sprite:
    """A picture on the sheet.

    Attributes:
        name: its id on the page.
        address: data URI, or where the picture is served.
        width: of the picture before it was made smaller, in pixels: boxes refer to it.
        height: likewise.
    """

    name: str
    address: str
    width: int
    height: int

    @property
    def is_pixelated(self) -> bool:
        """Whether to enlarge without smoothing."""
        return max(self.width, self.height) <= PIXELATED_UP_TO


class PictureSheet:
    """Collects pictures by store and key.

    Args:
        limit: longer side of an embedded picture, in pixels.
        own: that of the pictures that are explained.
        link: where a store's picture of a key is served; None embeds it.
    """

    def __init__(self, limit: int, *, own: int = 640, link: Callable[[ImageStore, str], str] | None = None) -> None:
        self.limit, self.own = limit, own
        self.link = link
        self._sprites: dict[tuple[int, str], Sprite] = {}

    @property
    def sprites(self) -> tuple[Sprite, ...]:
        """All pictures that were asked for."""
        return tuple(self._sprites.values())

    def add(self, images: Mapping[str, NDArray[np.uint8]], key: str) -> Sprite:
        """Return the sprite of a store's picture, embedding it if it is new."""
        place = (id(images), key)
        if place not in self._sprites:
            address, (height, width) = self._placed(images, key)
            name = f"p{len(self._sprites)}"
            self._sprites[place] = Sprite(name=name, address=address, width=width, height=height)
        return self._sprites[place]

    def add_own(self, picture: NDArray[np.uint8]) -> Sprite:
        """Return the sprite of a picture that is explained: a new one each time."""
        name, (height, width) = f"p{len(self._sprites)}", picture.shape[:2]
        address = data_uri(*encode(shrink(picture, self.own)))
        self._sprites[-1, name] = Sprite(name=name, address=address, width=width, height=height)
        return self._sprites[-1, name]

    def _placed(self, images: Mapping[str, NDArray[np.uint8]], key: str) -> tuple[str, tuple[int, int]]:
        """Return a picture's address, and its height and width."""
        if self.link is not None and isinstance(images, ImageStore):
            return self.link(images, key), images.size(key)
        picture = images[key]
        return data_uri(*self._encoded(images, key, picture)), (picture.shape[0], picture.shape[1])

    def _encoded(
        self, images: Mapping[str, NDArray[np.uint8]], key: str, picture: NDArray[np.uint8]
    ) -> tuple[str, bytes]:
        if isinstance(images, ImageStore) and max(picture.shape[:2]) <= self.limit:
            return images.encode(key)  # a JPEG from disk is not compressed twice
        smaller = shrink(picture, self.limit)
        return encode(smaller, is_whole=smaller is picture)
