"""A folder of pictures, nested or not."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from PIL import Image

from likethat.errors import InputError
from likethat.sources._decode import decode
from likethat.sources.base import Sample

__all__ = ["ImageFolder"]


class ImageFolder:
    """All pictures below a folder, in the order of their paths; nothing is decoded before it is asked for.

    A file belongs if its ending is one that Pillow reads; others (notes, hidden files) are passed over. A picture that
    does not decode stays an item: a fit skips it and lists it. Links that lead out of the folder are not followed.

    Args:
        path: the folder, or one picture.
        pattern: glob below the folder, such as ``"*/val/*.jpg"``; all pictures when None.
        labels: ``"folders"``: where every picture lies in a subfolder, the first subfolder's name is its class, as in
            torchvision's ImageFolder; None for no labels.

    Raises:
        InputError: no such folder, or no picture in it.
    """

    def __init__(
        self, path: str | Path, *, pattern: str | None = None, labels: Literal["folders"] | None = "folders"
    ) -> None:
        self.path = Path(path).expanduser()
        if not self.path.exists():
            raise InputError(f"`path` must be a folder of images, got {self.path}, which does not exist.")
        if self.path.is_file():
            self.files: tuple[Path, ...] = (self.path,)
            self.root = self.path.parent
        else:
            self.root = self.path
            self.files = tuple(sorted(self._found(pattern), key=lambda file: file.relative_to(self.root).parts))
        if not self.files:
            among = f" matching {pattern!r}" if pattern else ""
            raise InputError(
                f"`path` must hold images, got {self.path}, which has none{among}. Endings looked for: .jpg, .png, "
                ".tif and all others that Pillow reads."
            )
        self.class_names = self._classes() if labels == "folders" and self.path.is_dir() else ()
        self._label_of = {name: index for index, name in enumerate(self.class_names)}

    def _found(self, pattern: str | None) -> Iterator[Path]:
        endings = {ending.lower() for ending in Image.registered_extensions()}
        allowed = self.root.resolve()
        wanted = None if pattern is None else set(self.root.glob(pattern))
        for folder, _, names in os.walk(self.root, followlinks=False):
            for name in names:
                file = Path(folder) / name
                if name.startswith(".") or file.suffix.lower() not in endings:
                    continue
                if file.is_symlink() and not file.resolve().is_relative_to(allowed):
                    continue
                if wanted is None or file in wanted:
                    yield file

    def _classes(self) -> tuple[str, ...]:
        below = [file.relative_to(self.root).parts for file in self.files]
        if any(len(parts) < 2 for parts in below):
            return ()
        return tuple(sorted({parts[0] for parts in below}))

    def __len__(self) -> int:
        """Return the number of pictures, unreadable ones included."""
        return len(self.files)

    def __getitem__(self, index: int) -> Sample:
        """Decode picture `index`; raises `UnreadableImageError` where it does not decode."""
        file = self.files[index]
        below = file.relative_to(self.root)
        label = self._label_of[below.parts[0]] if self._label_of else None
        return Sample(image=decode(file, name=below.as_posix()), name=below.as_posix(), label=label)

    def __repr__(self) -> str:
        return f"ImageFolder({str(self.path)!r}: {len(self):,} images, {len(self.class_names)} classes)"
