"""The pictures of a bank: in memory after a fit, read from its folder when opened."""

import hashlib
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from likethat._documents import Damaged, read_bytes, read_whole
from likethat._pictures import open_picture
from likethat.errors import BankFormatError, InputError, UnreadableImageError

Picture = NDArray[np.uint8]  # (height, width, 3) or (height, width)
_KEY = re.compile(r"[A-Za-z0-9_-]{1,100}\Z")
_FORMATS = ("PNG", "JPEG")  # that we write; no other decoder is started on a bank from elsewhere
_LOSSLESS_UP_TO = 160  # pixels a side: small pictures stay exact, photographs become JPEG


class ImageStore(Mapping[str, Picture]):
    """Pictures by key, as uint8 arrays (height, width, 3), or (height, width) when grey.

    Small pictures stay exact; larger ones are held as JPEG, in memory as on disk, so that a bank of thousands of
    channels fits in memory and looks the same before and after it was saved.

    Args:
        pictures: pictures held in memory.
        folder: where further pictures lie as ``KEY.png`` or ``KEY.jpg``; read when asked for.
        checksums: the sha256 that each of these files had when it was written, by its name; empty where nobody knows.
    """

    def __init__(
        self,
        pictures: Mapping[str, Picture] | None = None,
        *,
        folder: Path | None = None,
        checksums: Mapping[str, str] | None = None,
    ) -> None:
        self._small: dict[str, Picture] = {}
        self._large: dict[str, bytes] = {}
        for key, picture in (pictures or {}).items():
            self.add(key, picture)
        self.folder = folder
        self._checksums = dict(checksums or {})
        self._files = _listed(folder) if folder is not None else {}

    def add(self, key: str, picture: Picture) -> None:
        """Hold another picture in memory."""
        if max(picture.shape[:2]) <= _LOSSLESS_UP_TO:
            self._small[check_key(key)] = picture
        else:
            self._large[check_key(key)] = _encoded(picture, "JPEG", quality=92)

    def take(self, other: "ImageStore", keys: Iterable[str]) -> None:
        """Hold some of another store's pictures, as they are encoded there."""
        for key in keys:
            if key in other._small:
                self._small[key] = other._small[key]
            else:
                ending, data = other.encode(key)
                if ending == "jpg":
                    self._large[key] = data
                else:
                    self._small[key] = other[key]

    def __getitem__(self, key: str) -> Picture:
        """Return the picture of `key`; `KeyError` where there is none."""
        if key in self._small:
            return self._small[key]
        with self._opened(key) as image:
            return np.asarray(image if image.mode == "L" else image.convert("RGB"))

    def __contains__(self, key: object) -> bool:
        """Whether there is such a picture; none is decoded for it."""
        return key in self._small or key in self._large or key in self._files

    def size(self, key: str) -> tuple[int, int]:
        """Return a picture's height and width; those on disk are not decoded for it."""
        if key in self._small:
            return self._small[key].shape[0], self._small[key].shape[1]
        with self._opened(key) as image:
            return image.height, image.width

    @contextmanager
    def _opened(self, key: str) -> Iterator[Image.Image]:
        ending, data = self.encode(key)
        try:
            with open_picture(io.BytesIO(data), name=f"{key}.{ending}", only=_FORMATS) as image:
                yield image
        except UnreadableImageError as error:
            raise BankFormatError(
                f"the picture {key}.{ending} of this bank does not decode: {error} Fit the bank again, or restore the "
                "file."
            ) from error

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys."""
        yield from dict.fromkeys([*self._small, *self._large, *self._files])

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self._small.keys() | self._large.keys() | self._files.keys())

    def encode(self, key: str) -> tuple[str, bytes]:
        """Return the file ending (``"png"`` or ``"jpg"``) and the encoded bytes of a picture."""
        if key in self._small:
            return "png", _encoded(self._small[key], "PNG", optimize=True)
        if key in self._large:
            return "jpg", self._large[key]
        path = self._files[key]
        try:
            if self._checksums:
                data = read_whole(path, sha256=self._checksums.get(path.name))
            else:
                data = read_bytes(path, follow=False)
        except Damaged as error:
            raise BankFormatError(f"the picture {path.name} of this bank {error}. Restore the file.") from error
        return path.suffix[1:], data

    def check(self) -> None:
        """Raise `BankFormatError` where a picture of the folder is not the one that was written."""
        for key in self._files if self._checksums else ():
            self.encode(key)

    def write(self, folder: Path) -> dict[str, str]:
        """Write every picture into `folder`; return the sha256 of each file."""
        folder.mkdir(parents=True, exist_ok=True)
        checksums = {}
        for key in self:
            ending, data = self.encode(key)
            name = f"{check_key(key)}.{ending}"
            (folder / name).write_bytes(data)
            checksums[name] = hashlib.sha256(data).hexdigest()
        return checksums


def check_key(key: str) -> str:
    """Return `key` if it is safe as a file name, else raise `InputError`."""
    if not _KEY.match(key):
        raise InputError(f"a picture's key must be letters, digits, '-' or '_', got {key!r}.")
    return key


def _encoded(picture: Picture, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format=kind, **options)
    return buffer.getvalue()


def _listed(folder: Path) -> dict[str, Path]:
    files = sorted(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else []
    return {
        path.stem: path
        for path in files
        if path.suffix in {".png", ".jpg"} and not path.is_symlink() and _KEY.match(path.stem)
    }
