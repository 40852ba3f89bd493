"""The pictures of a bank: in memory after a fit, read from its folder when opened."""

import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from likethat.errors import BankFormatError, InputError

__all__ = ["ImageStore"]

Picture = NDArray[np.uint8]  # (height, width, 3) or (height, width)
_KEY = re.compile(r"[A-Za-z0-9_-]{1,100}\Z")
_LOSSLESS_UP_TO = 160  # pixels a side: small pictures stay exact, photographs become JPEG


class ImageStore(Mapping[str, Picture]):
    """Pictures by key, as uint8 arrays (height, width, 3), or (height, width) when grey.

    Args:
        pictures: pictures held in memory.
        folder: where further pictures lie as ``KEY.png`` or ``KEY.jpg``; read when asked for.
    """

    def __init__(self, pictures: Mapping[str, Picture] | None = None, *, folder: Path | None = None) -> None:
        self._pictures = dict(pictures or {})
        self.folder = folder
        self._files = _listed(folder) if folder is not None else {}

    def __getitem__(self, key: str) -> Picture:
        """Return the picture of `key`; `KeyError` where there is none."""
        if key in self._pictures:
            return self._pictures[key]
        path = self._files[key]
        try:
            with Image.open(path) as image:
                return np.asarray(image)
        except OSError as error:
            raise BankFormatError(
                f"the picture {path.name} of this bank does not decode ({error}). Fit the bank again, or "
                "restore the file."
            ) from error

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys."""
        yield from self._pictures
        yield from (key for key in self._files if key not in self._pictures)

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self._pictures.keys() | self._files.keys())

    def encode(self, key: str) -> tuple[str, bytes]:
        """Return the file ending (``"png"`` or ``"jpg"``) and the encoded bytes of a picture."""
        if key not in self._pictures and key in self._files:
            path = self._files[key]
            return path.suffix[1:], path.read_bytes()
        picture = Image.fromarray(self[key])
        buffer = io.BytesIO()
        if max(picture.size) <= _LOSSLESS_UP_TO:
            picture.save(buffer, format="PNG", optimize=True)
            return "png", buffer.getvalue()
        picture.save(buffer, format="JPEG", quality=92)
        return "jpg", buffer.getvalue()

    def write(self, folder: Path) -> None:
        """Write every picture into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        for key in self:
            ending, data = self.encode(key)
            (folder / f"{check_key(key)}.{ending}").write_bytes(data)


def check_key(key: str) -> str:
    """Return `key` if it is safe as a file name, else raise `InputError`."""
    if not _KEY.match(key):
        raise InputError(f"a picture's key must be letters, digits, '-' or '_', got {key!r}.")
    return key


def _listed(folder: Path) -> dict[str, Path]:
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return {
        path.stem: path
        for path in files
        if path.suffix in {".png", ".jpg"} and not path.is_symlink() and _KEY.match(path.stem)
    }
