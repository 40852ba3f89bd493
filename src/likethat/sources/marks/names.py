"""Finding the picture that a mark file means, by a name that another system wrote."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from PIL import Image

_UPLOAD = re.compile(r"[0-9a-f]{8}-(?=.)")  # Label Studio puts this before the name of what is uploaded
_DRIVE = re.compile(r"[A-Za-z]:(?=/)")
_NOT_IN_PILLOW = {".heic", ".heif", ".dng", ".svg"}  # endings of pictures that it registers only with a plugin


def slashed(name: str) -> str:
    """Return a path with slashes and composed Unicode, whatever system wrote it."""
    return unicodedata.normalize("NFC", name.replace("\\", "/").strip())


@dataclass(frozen=True, kw_only=True)
class Naming:
    """What a name means.

    Attributes:
        found: places of the pictures that fit best; one where it is clear.
        near: places of pictures of the same file name in other folders, where none fits.
    """

    found: tuple[int, ...]
    near: tuple[int, ...] = ()


class Names:
    """Finds pictures by number, name, or the end of a path.

    Names are compared with slashes, in composed Unicode, the case of the ending passed over. One may be the end of the
    other: ``robin.jpg`` and ``/photos/birds/robin.jpg`` are ``birds/robin.jpg``, ``fish/robin.jpg`` is not. Then the
    ending is left out, for masks have another; at last ``%20`` is read as a space.

    Args:
        names: of the pictures.
        indices: their numbers in their source.

    Example:
        >>> names = Names(["birds/robin.JPG", "fish/carp.jpg"])
        >>> names.find("robin.jpg").found, names.find("birds/carp.jpg").near
        ((0,), (1,))
    """

    def __init__(self, names: Sequence[str], indices: Sequence[int] | None = None) -> None:
        self._places = {index: place for place, index in enumerate(indices or range(len(names)))}
        self._exact: dict[str, list[int]] = {}
        self._parts = [[_parts(name), _parts(unquote(name))] for name in names]
        self._by_file: dict[str, list[int]] = {}
        for place, (name, forms) in enumerate(zip(names, self._parts, strict=True)):
            self._exact.setdefault(name, []).append(place)
            for key in {end for parts in forms for end in (parts[-1], _stem(parts[-1]))}:
                self._by_file.setdefault(key, []).append(place)

    def find(self, image: str | int) -> Naming:
        """Return the pictures that a name or a number means."""
        if isinstance(image, int):
            return Naming(found=(self._places[image],) if image in self._places else ())
        if image in self._exact:
            return Naming(found=tuple(self._exact[image]))
        near: tuple[int, ...] = ()
        for wanted, form in ((image, 0), (unquote(_after_query(image)), 1)):
            for with_ending in (True, False):
                naming = self._by_end(_parts(wanted), form, with_ending)
                if naming.found:
                    return naming
                near = near or naming.near
        last = _parts(image)[-1]
        if _UPLOAD.match(last):  # its folder is the tool's own
            naming = self.find(_UPLOAD.sub("", last, count=1))
            return naming if naming.found else Naming(found=(), near=near)
        return Naming(found=(), near=near)

    def _by_end(self, parts: tuple[str, ...], form: int, with_ending: bool) -> Naming:
        """Return the pictures of which one path is the end of the other, those that share most of it."""
        wanted = parts if with_ending else (*parts[:-1], _stem(parts[-1]))
        shared: dict[int, int] = {}
        near = self._by_file.get(wanted[-1], [])
        for place in near:
            own = self._parts[place][form]
            own = own if with_ending else (*own[:-1], _stem(own[-1]))
            n = min(len(own), len(wanted))
            if own[-n:] == wanted[-n:]:
                shared[place] = n
        most = max(shared.values(), default=0)
        found = tuple(place for place, n in shared.items() if n == most)
        return Naming(found=found, near=() if found else tuple(near))


def _parts(name: str) -> tuple[str, ...]:
    """Return the names along a path, without what does not name: drives, dots, and the case of the ending."""
    path = _DRIVE.sub("", slashed(name), count=1)
    parts = [part for part in path.split("/") if part not in ("", ".", "..")] or [""]
    stem = _stem(parts[-1])
    return (*parts[:-1], stem + parts[-1][len(stem) :].lower())


def _stem(file: str) -> str:
    """Return a file's name without the ending of a picture; other dots belong to it."""
    stem, dot, ending = file.rpartition(".")
    return stem if stem and f"{dot}{ending}".lower() in _endings() else file


def _endings() -> set[str]:
    return Image.registered_extensions().keys() | _NOT_IN_PILLOW


def _after_query(name: str) -> str:
    """Return the path that a local Label Studio serves as ``/data/local-files/?d=path``."""
    return name.rpartition("?d=")[2]
