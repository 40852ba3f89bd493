"""`Shards`: images of many large files as one source, each found again by its shard and its place in it."""

import os
import shutil
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BufferedReader, RawIOBase
from itertools import accumulate
from tempfile import gettempdir
from threading import Lock, local
from typing import IO, Any
from weakref import finalize

from likethat._calls import public
from likethat._checks import check_index
from likethat._options import check_text
from likethat._session import in_own_session
from likethat.errors import InputError, LikethatError, UnreadableImageError
from likethat.sources._decode import printable, to_image
from likethat.sources._pixels import Background, as_pixels
from likethat.sources.base import Sample, Skipped
from likethat.sources.shards.index import Index, UnreadShardError
from likethat.sources.shards.parquet import ParquetReader, index_parquet
from likethat.sources.shards.places import copied, expand, facts, is_far, open_shard
from likethat.sources.shards.tars import TarReader, index_tar
from likethat.sources.signature import digest_of_all

_COPIES = 8 * 10**9  # bytes of shards far away that are kept: some of the usual gigabyte; half of what is free at most
_TRIES = 2  # a connection that was closed meanwhile is opened again once


@dataclass(frozen=True, kw_only=True, eq=False)
class _Shard:
    """A shard that can be read: where it lies, what is in it, and what tells that it has changed."""

    place: str
    name: str
    index: Index
    facts: tuple[Any, ...]


class _Copy:
    """A file that threads share, each reading at a place of its own."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.lock = file, Lock()
        self.size = file.seek(0, os.SEEK_END)
        finalize(self, file.close)  # gives the disk back when its source goes

    def reader(self) -> "_Reader":
        """Return what reads it from its beginning."""
        return _Reader(self)


class _Reader(RawIOBase):
    """One thread's place in a copy; closing it leaves the copy as it is."""

    def __init__(self, copy: _Copy) -> None:
        self._copy, self._at = copy, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move, as files do."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._copy.size}[whence]
        self._at = start + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read where this thread is."""
        with self._copy.lock:
            self._copy.file.seek(self._at)
            data = self._copy.file.read(len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Open:
    """The shard that a thread has open."""

    number: int
    stream: IO[bytes]
    read: Callable[[int], bytes]

    def __del__(self) -> None:
        """Close the file when its thread ends, or its source goes."""
        self.stream.close()


@public
@in_own_session
class Shards:
    """Images in tar files as WebDataset writes them, or in Parquet files as Hugging Face does.

    Only headers, names and labels are read at the beginning; a picture is read where it lies when it is asked for.
    Nothing is extracted to the disk and nothing is unpickled. A shard that is missing, damaged or holds no image is
    listed and passed over; so is what lies behind damage in one.

    In a tar, members that share their path up to the first dot of its last part are one sample: its image is the first
    that has a picture's ending, its label stands in ``.cls`` (a number or a word) or in ``.json`` (such as
    ``{"label": 3, "label_name": "wren"}``). A Parquet file has a column of images, bytes or {bytes, path}, and may
    have one of labels, called ``label`` or as is usual; class names are those of Hugging Face's notes.

    Item *i* lies in one shard, and `spans` says which items each holds: whoever reads a span opens no other shard.

    Args:
        shards: a path, an address (``https://...``, ``s3://...``: fsspec reads them, with aiohttp or s3fs installed),
            or several; ``{0000..0009}`` counts, ``{train,val}`` lists, ``*`` looks into a folder. A shard far away is
            fetched once, for as long as 8 GB hold them all (a file without a name in ``TMPDIR``); the others are read
            for their headers first and fetched again, which ``simplecache::https://...`` spares them.
        image: ending of the members, or name of the column, that are images, such as ``"input.png"``.
        label: ending of the members, or name of the column, that are labels.
        class_names: what the labels' numbers stand for, in order, where the shards do not say.
        background: what transparent pictures are laid on; see `Images`.
        white: the value that is white in pictures of more than 8 bits; see `Images`.

    Attributes:
        class_names: the classes; empty where nobody names them.
        left_out: shards that cannot be used, and what in the others is not read.
        spans: which items each shard holds, by its name.

    Raises:
        InputError: no shard can be used, or they disagree on their classes.
        MissingExtraError: what reads them is not installed.

    Example:
        >>> import io, tarfile, tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> path = Path(tempfile.mkdtemp(), "birds-0.tar")
        >>> picture = io.BytesIO()
        >>> Image.new("RGB", (4, 4)).save(picture, "png")
        >>> with tarfile.open(path, "w") as tar:
        ...     for name, data in (("a.png", picture.getvalue()), ("a.cls", b"7")):
        ...         member = tarfile.TarInfo(name)
        ...         member.size = len(data)
        ...         tar.addfile(member, io.BytesIO(data))
        >>> birds = Shards(path.parent / "birds-{0..1}.tar")
        >>> birds[0].name, birds[0].label, birds.left_out[0].name
        ('birds-0.tar/a.png', 7, 'birds-1.tar')
    """

    def __init__(
        self,
        shards: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        *,
        image: str | None = None,
        label: str | None = None,
        class_names: Sequence[str] | None = None,
        background: Background = "auto",
        white: float | None = None,
    ) -> None:
        self._pixels = as_pixels(background, white)
        self._image = None if image is None else check_text(image, name="image")
        self._label = None if label is None else check_text(label, name="label")
        self.left_out: list[Skipped] = []
        self._copies: dict[str, _Copy] = {}
        found = [self._indexed(place) for place in expand(shards)]
        self._shards = [shard for shard in found if shard is not None]
        if not self._shards:
            first = self.left_out[0]
            raise InputError(
                f"`shards` must hold images, got {len(found)} that cannot be used. First: {first.name} {first.reason}."
            )
        self._starts = [0, *accumulate(len(shard.index) for shard in self._shards)]
        self.class_names = _classes(self._shards) if class_names is None else _checked_names(class_names)
        self._here = local()

    def _indexed(self, place: str) -> _Shard | None:
        """Read what is known of one shard before its images; None, and a line in `left_out`, where that cannot be."""
        name = printable(place.rstrip("/").rpartition("/")[2])
        said = {"image": self._image, "label": self._label}
        try:
            told = facts(place)
            with self._copied(place) or open_shard(place) as stream:
                is_parquet = _is_parquet(place)
                index = index_parquet(stream, **said) if is_parquet else index_tar(stream, name=name, **said)
        except LikethatError:
            raise
        except Exception as error:
            if not (is_far(place) or isinstance(error, OSError | UnreadShardError)):
                raise  # stores far away raise what their libraries please
            self.left_out.append(Skipped(name=name, reason=_why(error)))
            return None
        self.left_out += index.left_out
        return _Shard(place=place, name=name, index=index, facts=told)

    def _copied(self, place: str) -> IO[bytes] | None:
        """Return the copy of a shard far away, fetched where there is room for it."""
        if place not in self._copies:
            free = shutil.disk_usage(gettempdir()).free // 2
            room = min(free, _COPIES - sum(copy.size for copy in self._copies.values()))
            file = copied(place, most=room)
            if file is None:
                return None
            self._copies[place] = _Copy(file)
        return BufferedReader(self._copies[place].reader())

    @property
    def reading(self) -> dict[str, Any]:
        """What was said of the pixels (``background``, ``white``), as the arguments that say it again."""
        return self._pixels.as_options()

    @property
    def spans(self) -> Mapping[str, range]:
        """Which items each shard holds, in order."""
        return {
            shard.place: range(start, start + len(shard.index))
            for shard, start in zip(self._shards, self._starts, strict=False)
        }

    @property
    def signature(self) -> dict[str, Any]:
        """Which images these are, without reading one: their number and names, the shards' sizes and times, labels."""
        indices = [shard.index for shard in self._shards]
        return {
            "number": len(self),
            "names": digest_of_all(
                part for shard in self._shards for part in (shard.name, shard.index.names.tobytes())
            ),
            "sizes and times": digest_of_all(shard.facts for shard in self._shards),
            "classes": digest_of_all(
                [self.class_names, *(part for one in indices for part in (one.labels.tobytes(), one.label_names))]
            ),
        }

    def __len__(self) -> int:
        """Return the number of images, unreadable ones included."""
        return self._starts[-1]

    def name(self, index: int) -> str:
        """Return the shard of image `index` and its name there."""
        shard, place = self._place(index)
        return f"{shard.name}/{shard.index.names[place].decode('utf-8', errors='replace')}"

    def label(self, index: int) -> int | None:
        """Return the class index of image `index`, where its shard gives a number."""
        shard, place = self._place(index)
        number = int(shard.index.labels[place])
        return number if number >= 0 else None

    def __getitem__(self, index: int) -> Sample:
        """Decode image `index`; raises `UnreadableImageError` where it does not decode."""
        shard, place = self._place(check_index(index, len(self)))
        name = self.name(index)
        image = to_image(self._bytes(shard, place, name), name=name, pixels=self._pixels)
        return Sample(image=image, name=name, label=self.label(index), label_name=shard.index.label_names.get(place))

    def _place(self, index: int) -> tuple[_Shard, int]:
        number = bisect_right(self._starts, index) - 1
        return self._shards[number], index - self._starts[number]

    def _bytes(self, shard: _Shard, place: int, name: str) -> bytes:
        """Read an image's bytes, from the shard that this thread has open or by opening it.

        Raises:
            UnreadableImageError: they cannot be had.
            InputError: the shard is another than it was.
        """
        why = ""
        for number in range(_TRIES):
            try:
                return self._opened(shard, whole=number > 0).read(place)
            except UnreadableImageError as error:
                raise UnreadableImageError(f"{name} cannot be read: {error}") from error
            except LikethatError:
                raise
            except Exception as error:
                if not (is_far(shard.place) or isinstance(error, OSError | UnreadShardError)):
                    raise
                why = _why(error)
                self._close()
        raise UnreadableImageError(f"{name} cannot be read: its shard {why}.")

    def _opened(self, shard: _Shard, *, whole: bool) -> _Open:
        """Open a shard where this thread has another one open; `whole`: fetch it, its server may send no pieces."""
        held: _Open | None = getattr(self._here, "held", None)
        number = id(shard)
        if held is not None and held.number == number:
            return held
        self._close()
        is_copied = shard.place in self._copies
        if not is_copied and facts(shard.place) != shard.facts:
            raise InputError(
                f"`images` must stay as they are until the work is done, got {shard.place}, which was changed "
                "meanwhile. Begin anew."
            )
        stream = (self._copied(shard.place) if whole or is_copied else None) or open_shard(shard.place)
        is_parquet = _is_parquet(shard.place)
        read = ParquetReader(stream, self._image) if is_parquet else TarReader(stream, shard.index)
        self._here.held = _Open(number=number, stream=stream, read=read)
        return self._here.held

    def _close(self) -> None:
        self._here.__dict__.pop("held", None)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is open: another process opens, and fetches, its own."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_here", "_copies")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take up what was left, with nothing open."""
        self.__dict__.update(state, _here=local(), _copies={})

    def __repr__(self) -> str:
        return f"Shards({len(self._shards):,} files: {len(self):,} images, {len(self.class_names)} classes)"


def _is_parquet(place: str) -> bool:
    return place.partition("?")[0].lower().endswith(".parquet")


def _why(error: Exception) -> str:
    """Return what is wrong with a shard, to stand behind its name."""
    if isinstance(error, FileNotFoundError):
        return "does not exist"
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(said) if isinstance(error, UnreadShardError) else f"cannot be opened ({said})"


def _checked_names(names: Any) -> tuple[str, ...]:
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise InputError(f"`class_names` must be a list of texts, got {type(names).__name__}.")
    return tuple(names)


def _classes(shards: Sequence[_Shard]) -> tuple[str, ...]:
    """Return the classes that the shards name.

    Raises:
        InputError: one number stands for another class in another shard.
    """
    told = {shard.index.class_names: shard.name for shard in shards}
    if len(told) > 1:
        (_, first), (_, other) = list(told.items())[:2]
        raise InputError(
            f"`shards` must name the same classes, got others in {first} than in {other}. Give them one by one, or say "
            "class_names=[...]."
        )
    return next(iter(told))
