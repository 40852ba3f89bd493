"""Pictures that visitors dropped: each visitor has their own, and all together a bounded place."""

import io
import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from likethat._pictures import open_picture
from likethat.errors import UnreadableImageError
from likethat.report.text import shorten
from likethat.serve.limits import Limits
from likethat.sources import Images
from likethat.sources.base import Sample

_KEY_BYTES = 16  # of a visitor's and of a picture's name: nobody guesses one among 2 ** 128
_KEY = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Dropped:
    """A picture that a visitor dropped.

    Attributes:
        key: in addresses.
        name: what the visitor's file is called.
        data: the file.
        kept: its key in a bank, where it is one of a bank's pictures; "" for what a visitor dropped.
        bank: that bank's name, or "".
    """

    key: str
    name: str
    data: bytes
    kept: str = ""
    bank: str = ""


class Dropbox:
    """Keeps dropped pictures as they came, by visitor.

    Args:
        limits: how many of one visitor, and how many bytes of all; the oldest go first.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._kept: OrderedDict[tuple[str, str], Dropped] = OrderedDict()
        self._lock = threading.Lock()

    @staticmethod
    def visitor(known: str) -> str:
        """Return who a visitor is: as their cookie says, or somebody new."""
        return known if _KEY.fullmatch(known) else secrets.token_hex(_KEY_BYTES)

    def put(self, visitor: str, name: str, data: bytes) -> Dropped:
        """Keep a picture, and let go of the oldest where there is no place."""
        one = Dropped(key=secrets.token_hex(_KEY_BYTES), name=_file_name(name), data=data)
        with self._lock:
            self._kept[visitor, one.key] = one
            own = [place for place in self._kept if place[0] == visitor]
            for place in own[: -self._limits.pictures]:
                del self._kept[place]
            while len(self._kept) > 1 and sum(len(each.data) for each in self._kept.values()) > self._limits.kept:
                self._kept.popitem(last=False)
        return one

    def get(self, visitor: str, key: str) -> Dropped | None:
        """Return a visitor's own picture; None where it is gone, or somebody else's."""
        with self._lock:
            if (visitor, key) in self._kept:
                self._kept.move_to_end((visitor, key))
            return self._kept.get((visitor, key))

    def forget(self, visitor: str, key: str) -> None:
        """Let go of a picture that turned out to be none."""
        with self._lock:
            self._kept.pop((visitor, key), None)

    def own(self, visitor: str) -> tuple[Dropped, ...]:
        """Return all pictures of a visitor, the latest first."""
        with self._lock:
            return tuple(one for place, one in reversed(self._kept.items()) if place[0] == visitor)


def decoded(data: bytes, name: str, reading: Any, *, most: int) -> Sample:
    """Decode a picture as the bank's own were, and no larger than a server takes on.

    Raises:
        UnreadableImageError: it does not decode, or has more pixels.
    """
    if not data:
        raise UnreadableImageError(f"{name} is empty (0 bytes).")
    with open_picture(io.BytesIO(data), name=name) as image:
        if image.width * image.height > most:
            raise UnreadableImageError(
                f"{name} must have at most {most:,} pixels here, got {image.width:,} x {image.height:,}. "
                "Make it smaller."
            )
    known = reading if isinstance(reading, Mapping) else {}
    said = {option: known[option] for option in ("background", "white") if option in known}
    return Images([data], names=[name], **said)[0]


def _file_name(text: str) -> str:
    """Return a file's name as a page may show it: without folders, controls and signs that turn text round.

    Example:
        >>> _file_name("C%3A%5Cphotos%5Cowl.jpg"), _file_name("")
        ('owl.jpg', 'picture')
    """
    name = unquote(text, errors="replace").replace("\\", "/").rsplit("/", 1)[-1].strip()
    return shorten(name, 120) or "picture"
