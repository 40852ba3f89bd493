"""A folder of pictures, nested or not."""

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from PIL import Image

from likethat._calls import public
from likethat._options import check_path, check_text, shown
from likethat._pictures import TooManyPixels, formats, open_picture
from likethat._session import in_own_session
from likethat._unread import why_content_unread, why_unread
from likethat.errors import InputError, UnreadableImageError
from likethat.sources._decode import decode, printable
from likethat.sources._pixels import Background, as_pixels
from likethat.sources.base import Sample, Skipped
from likethat.sources.signature import digest_of_all, file_facts

_SNIFFED = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "AVIF", "JPEG2000")
_STARTS = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"RIFF", b"\x00\x00\x00")
_NEVER_PICTURES = {".csv", ".db", ".html", ".ini", ".json", ".jsonl", ".log", ".mat", ".md", ".npy", ".npz", ".parquet"}
_NEVER_PICTURES |= {".pdf", ".pkl", ".pt", ".py", ".tsv", ".txt", ".xml", ".yaml", ".yml", ".zip"}


_OF_SYSTEMS = {"__MACOSX", "@eaDir", "Thumbs.db", "lost+found", "$RECYCLE.BIN", "System Volume Information"}


@public
@in_own_session
class ImageFolder:
    """All pictures below a folder, in the order of their paths; nothing is decoded before it is asked for.

    A file belongs if its ending is one that Pillow reads, or, with another ending or none, if it begins as a picture
    does. Pictures in other formats (HEIC, DICOM, SVG, raw files) are listed with what would read them; all other
    files, and hidden files and folders, are passed over. A picture that does not decode stays an item: a fit skips it
    and lists it.

    The order is that of the code points, name by name along the path, the same on every system. Links to folders are
    not followed, so there are no loops; links to files that lie outside the folder are left out, so that a folder from
    elsewhere shows nothing but what it holds.

    Args:
        path: the folder, or one picture.
        pattern: glob below the folder, such as ``"*/val/*.jpg"``; all pictures when None.
        labels: ``"folders"``: where every picture lies in a subfolder, the first subfolder's name is its class, as in
            torchvision's ImageFolder; an empty subfolder is a class without pictures. None for no labels. A pattern
            picks pictures and leaves the classes as they are.
        background: what transparent pictures are laid on, such as ``"black"``; None keeps a fourth channel. See
            `Images`.
        white: the value that is white in pictures of more than 8 bits, such as 4095; see `Images`.

    Attributes:
        root: the folder.
        class_names: the classes in order of their names; empty where there are none.
        left_out: pictures in formats that are not read here, links that lead out of the folder, and subfolders that
            cannot be opened.

    Raises:
        InputError: no such folder, or no picture in it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        pattern: str | None = None,
        labels: Literal["folders"] | None = "folders",
        background: Background = "auto",
        white: float | None = None,
    ) -> None:
        self._pixels = as_pixels(background, white)
        if labels is not None and (not isinstance(labels, str) or labels != "folders"):
            raise InputError(f"`labels` must be 'folders' or None, got {shown(labels)}.")
        if pattern is not None:
            check_text(pattern, name="pattern")
        self.path = _existing(path)
        self.left_out: list[Skipped] = []
        self._subfolders: set[str] = set()  # directly below the folder: classes, where they hold no other files alone
        self._of_others: set[str] = set()
        self._unread: set[str] = set()
        self.class_names: tuple[str, ...] = ()
        if not self.path.is_dir():
            self.root = self.path.parent
            self._names: tuple[str, ...] = (self.path.name,)
        else:
            self.root = self.path
            wanted = None if pattern is None else _matching(self.root, pattern)
            everything = sorted(self._found(wanted), key=lambda name: name.split("/"))
            self._names = tuple(name for name in everything if wanted is None or name in wanted)
            self._check_any(pattern)
            if labels == "folders" and all("/" in name for name in self._names):
                with_pictures = {name.split("/", 1)[0] for name in everything if "/" in name}
                self.class_names = tuple(sorted(with_pictures | self._unread | (self._subfolders - self._of_others)))
        self._label_of = {name: index for index, name in enumerate(self.class_names)}
        self.class_names = tuple(map(printable, self.class_names))

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """The pictures' paths, in order."""
        return tuple(self.root / name for name in self._names)

    def _found(self, wanted: set[str] | None) -> Iterator[str]:
        """Yield the paths of all pictures below the folder, with slashes; note what is left out."""
        allowed, endings = os.path.realpath(self.root), picture_endings()
        waiting = [""]
        while waiting:
            prefix = waiting.pop()
            for entry in self._entries(prefix):
                name = prefix + entry.name
                if entry.name.startswith(".") or entry.name in _OF_SYSTEMS:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(f"{name}/")
                    self._subfolders |= set() if prefix else {entry.name}
                    continue
                kind = _kind(entry, endings, allowed)
                if kind == "picture":
                    yield name
                    continue
                reason = "is a link that leads out of the folder" if kind == "outside" else _why_unread(entry, kind)
                if "/" in name:
                    (self._of_others if reason is None else self._unread).add(name.split("/", 1)[0])
                if reason is not None and (wanted is None or name in wanted):
                    self.left_out.append(Skipped(name=printable(name), reason=reason))

    def _entries(self, below: str) -> list[os.DirEntry[str]]:
        """List one folder, in order."""
        try:
            with os.scandir(self.root / below) as found:
                return sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            if not below:
                raise InputError(
                    f"`path` must be a folder that can be read, got {self.path} ({error.strerror})."
                ) from error
            name = printable(below.rstrip("/"))
            self.left_out.append(Skipped(name=name, reason=f"cannot be opened ({error.strerror})"))
            return []

    def _check_any(self, pattern: str | None) -> None:
        if self._names:
            return
        among = f" matching {pattern!r}" if pattern else ""
        first = self.left_out[0] if self.left_out else None
        links = f" {len(self.left_out)} were left out; {first.name} {first.reason}." if first else ""
        raise InputError(
            f"`path` must hold images, got {self.path}, which has none{among}.{links} Endings looked for: .jpg, .png, "
            ".tif and all others that Pillow reads; links to folders are not followed."
        )

    @property
    def reading(self) -> dict[str, Any]:
        """What was said of the pixels (``background``, ``white``), as the arguments that say it again."""
        return self._pixels.as_options()

    @property
    def signature(self) -> dict[str, Any]:
        """Which pictures these are, without reading one: their number and names, sizes and times, and their classes."""
        return {
            "number": len(self),
            "names": digest_of_all(self._names),
            "sizes and times": digest_of_all(map(file_facts, self.files)),
            "classes": digest_of_all(self.class_names),
        }

    def __len__(self) -> int:
        """Return the number of pictures, unreadable ones included."""
        return len(self._names)

    def name(self, index: int) -> str:
        """Return the path of picture `index` below the folder."""
        return printable(self._names[index])

    def label(self, index: int) -> int | None:
        """Return the class index of picture `index`, where there are classes."""
        return self._label_of[PurePosixPath(self._names[index]).parts[0]] if self._label_of else None

    def __getitem__(self, index: int) -> Sample:
        """Decode picture `index`; raises `UnreadableImageError` where it does not decode."""
        name = self.name(index)
        image = decode(self.root / self._names[index], name=name, pixels=self._pixels)
        return Sample(image=image, name=name, label=self.label(index))

    def __repr__(self) -> str:
        return f"ImageFolder({str(self.path)!r}: {len(self):,} images, {len(self.class_names)} classes)"


def _existing(path: str | os.PathLike[str]) -> Path:
    if isinstance(path, str) and not path:
        raise InputError("`path` must be a folder of images, got an empty string. The current folder is '.'.")
    try:
        found = check_path(path).expanduser()
        exists = found.exists()
    except (OSError, RuntimeError) as error:
        raise InputError(f"`path` must be a folder of images, got {path}, which cannot be opened ({error}).") from error
    if not exists:
        raise InputError(f"`path` must be a folder of images, got {found}, which does not exist.")
    return found


def picture_endings() -> frozenset[str]:
    """Return the endings of files that Pillow reads here, each with its dot."""
    readable = {*formats(), "MPO"}  # Pillow's JPEG reader opens MPO
    return frozenset(ending.lower() for ending, kind in Image.registered_extensions().items() if kind in readable)


def _matching(root: Path, pattern: str) -> set[str]:
    try:
        return {path.relative_to(root).as_posix() for path in root.glob(pattern)}
    except (NotImplementedError, ValueError, IndexError) as error:
        raise InputError(
            f"`pattern` must be a glob below the folder, such as '*/val/*.jpg', got {pattern!r} ({error})."
        ) from error


def _kind(entry: os.DirEntry[str], endings: frozenset[str], allowed: str) -> Literal["picture", "outside", "other"]:
    """Say what a file is, without opening any that lies outside the folder."""
    ending = _ending(entry.name)
    if entry.is_symlink():
        if not _lies_in(entry.path, allowed):
            return "outside" if ending in endings else "other"
        if ending in endings and not Path(entry.path).exists():
            return "picture"  # a link to nothing: it is listed as unreadable
    if not entry.is_file():  # a pipe, a device, a link to a folder
        return "other"
    if ending in endings:
        return "picture"
    return "picture" if ending not in _NEVER_PICTURES and _begins_as_picture(Path(entry.path)) else "other"


def _why_unread(entry: os.DirEntry[str], kind: str) -> str | None:
    """Say what a file is that holds pictures in a format that is not read here; None for all others."""
    if kind != "other" or entry.is_symlink() or not entry.is_file():
        return None
    known = why_unread(entry.name)
    if known is None and _ending(entry.name) not in _NEVER_PICTURES:
        known = why_content_unread(entry.path)
    return known


def _ending(name: str) -> str:
    stem, dot, ending = name.rpartition(".")
    return f"{dot}{ending}".lower() if stem else ""


def _begins_as_picture(file: Path) -> bool:
    """Return whether a file whose ending says nothing begins as the common formats do."""
    try:
        with file.open("rb") as stream:
            if not stream.read(8).startswith(_STARTS):
                return False
            stream.seek(0)
            with open_picture(stream, name=file.name, only=_SNIFFED):
                return True
    except TooManyPixels:
        return True  # said when it is read
    except (OSError, UnreadableImageError):
        return False


def _lies_in(path: str, allowed: str) -> bool:
    target = os.path.realpath(path)  # unlike Path.resolve, takes loops of links
    return target.startswith(allowed.rstrip(os.sep) + os.sep)
