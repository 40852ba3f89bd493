"""Tar files as WebDataset writes them: members that share a name up to its first dot are one sample.

Headers are read once, seeking over what lies between them; a picture is read when it is asked for, from its byte on.
Nothing is extracted, so a member's path is a name and leads nowhere; what would have to be unpickled is not read.
"""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import PurePosixPath
from typing import IO

from likethat._documents import Damaged, parse_json
from likethat.errors import UnreadableImageError
from likethat.sources._dataset_labels import as_label
from likethat.sources.base import Skipped
from likethat.sources.datasets import LABEL_KEYS, NAME_KEYS
from likethat.sources.folder import picture_endings
from likethat.sources.shards.index import LARGEST_IMAGE, Index, UnreadShardError, index_of

_BLOCK = 512  # bytes: a tar consists of such
_PICKLED = {"pickle", "pkl", "pyd", "pth", "pt"}  # what WebDataset's decoders would unpickle
_LARGEST_LABEL = 2**20  # bytes of a .cls or .json: ImageNet's have some hundred, and all are read at the beginning
_Label = tuple[int | None, str | None]
_NONE: _Label = (None, None)


def index_tar(stream: IO[bytes], *, name: str, image: str | None = None, label: str | None = None) -> Index:
    """Find the images of a tar and their labels.

    Args:
        stream: the file, which can be sought in.
        name: of the shard, in notes.
        image: ending of the members that are images, such as ``"jpg"`` or ``"input.png"``; the first that is a
            picture's when None.
        label: ending of the members that hold labels; ``cls``, else ``json``, when None.

    Raises:
        UnreadShardError: it is no tar, a compressed one, or holds no image.
    """
    work = _Indexing(name=name, image=image, label=label)
    try:
        with tarfile.open(fileobj=stream, mode="r:", errors="replace") as tar:
            for _, members in groupby(work.members(tar), key=_key):
                work.take(tar, list(members))
            work.check_end(stream, tar.offset)
    except (tarfile.TarError, ValueError, OverflowError, EOFError) as error:
        if not work.starts:
            raise UnreadShardError(_why_no_tar(stream, error)) from error
        work.note(f"is damaged behind {work.names[-1]} ({error}); what lies behind is left out")
    if not work.starts:
        raise UnreadShardError("holds no image" + "".join(f"; {item.reason}" for item in work.left_out()[:1]))
    return index_of(work.names, work.starts, work.sizes, work.labels, left_out=tuple(work.left_out()))


def _why_no_tar(stream: IO[bytes], error: Exception) -> str:
    stream.seek(0)
    start = stream.read(6)
    if start.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")):
        return "is compressed, so no image can be found again in it; uncompress it"
    return "is empty (0 bytes)" if not start else f"is no tar ({error})"


def _key(member: tarfile.TarInfo) -> str:
    """Return the name of a member's sample: its path up to the first dot of its last part."""
    folder, slash, last = member.name.rpartition("/")
    return folder + slash + last.partition(".")[0]


def _ending(member: tarfile.TarInfo) -> str:
    return member.name.rpartition("/")[2].partition(".")[2].lower()


@dataclass(kw_only=True, eq=False)
class _Indexing:
    """What was found of one tar so far."""

    name: str
    image: str | None
    label: str | None
    names: list[str] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    labels: list[_Label] = field(default_factory=list)
    _endings: frozenset[str] = field(default_factory=picture_endings)
    _notes: list[str] = field(default_factory=list)
    _unread: dict[str, tuple[int, str]] = field(default_factory=dict)  # of each reason: how many members, the first

    def members(self, tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
        """Yield the files of a tar, in order; no other kind of member is read."""
        last = -1
        while (member := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined]  # tarfile keeps all, which is what would grow
            if tar.offset <= last:  # a size below 0 would lead back, without end
                raise tarfile.ReadError("a header leads backwards")
            last = tar.offset
            if member.isdir() or PurePosixPath(member.name).name.startswith("."):
                continue
            if not member.isreg() or member.issparse():
                self._leave("links, devices or sparse files, which are not followed", member.name)
            elif _ending(member).rpartition(".")[2] in _PICKLED:
                self._leave("pickled, and never opened", member.name)
            else:
                yield member

    def take(self, tar: tarfile.TarFile, members: list[tarfile.TarInfo]) -> None:
        """Note the image and the label of one sample."""
        image = next((one for one in members if self._is_image(one)), None)
        if image is None:
            self._leave("of no picture that is read here", members[0].name)
        elif image.size > LARGEST_IMAGE:
            self._leave(f"pictures of more than {LARGEST_IMAGE:,} bytes", image.name)
        else:
            self.names.append(image.name)
            self.starts.append(image.offset_data)
            self.sizes.append(image.size)
            self.labels.append(self._label(tar, {_ending(one): one for one in members}))

    def _is_image(self, member: tarfile.TarInfo) -> bool:
        ending = _ending(member)
        if self.image is not None:
            return ending == self.image.lower().removeprefix(".")
        return f".{ending}" in self._endings  # "seg.png" beside "jpg" is a mask

    def _label(self, tar: tarfile.TarFile, members: dict[str, tarfile.TarInfo]) -> _Label:
        wanted = ("cls", "json") if self.label is None else (self.label.lower().removeprefix("."),)
        ending = next((one for one in wanted if one in members), None)
        if ending is None:
            return _NONE
        member = members[ending]
        file = tar.extractfile(member) if member.size <= _LARGEST_LABEL else None
        if file is None:
            self._leave("labels of more than a megabyte", member.name)
            return _NONE
        try:
            return _in_json(file.read()) if ending.endswith("json") else _in_text(file.read().decode())
        except (Damaged, UnicodeDecodeError):
            self._leave("labels that cannot be read", member.name)
            return _NONE

    def check_end(self, stream: IO[bytes], offset: int) -> None:
        """Note where a tar ends in something else than its end: tarfile takes a damaged header for that."""
        stream.seek(offset)
        block = stream.read(_BLOCK)
        if any(block):
            self.note(f"is damaged from byte {offset:,} on; what lies behind is left out")
        elif not block:
            self.note("has no end mark and may have been cut short")

    def note(self, reason: str) -> None:
        """Note something of the whole shard."""
        self._notes.append(reason)

    def _leave(self, what: str, name: str) -> None:
        n, first = self._unread.get(what, (0, name))
        self._unread[what] = (n + 1, first)

    def left_out(self) -> list[Skipped]:
        """Return one line a kind: a shard may hold a member of it beside every image."""
        counted = [f"members are {what}: {n:,}, first {first[:80]}" for what, (n, first) in self._unread.items()]
        return [Skipped(name=self.name, reason=reason) for reason in [*self._notes, *counted]]


def _in_text(text: str) -> _Label:
    word = text.strip()
    return as_label(int(word)) if word.isascii() and word.isdecimal() and len(word) < 19 else as_label(word)


def _in_json(data: bytes) -> _Label:
    """Return the label of a sample's JSON: a number, a word, or an object with one of the usual keys."""
    document = parse_json(data, nan=True)
    if not isinstance(document, dict):
        return as_label(document)
    number, word = as_label(next((document[key] for key in (*LABEL_KEYS, "cls") if key in document), None))
    told = next((document[key] for key in NAME_KEYS if isinstance(document.get(key), str)), None)
    return number, word if number is None or told is None else told.strip() or None


class TarReader:
    """One open tar: its images, by their number."""

    def __init__(self, stream: IO[bytes], index: Index) -> None:
        self._stream, self._index = stream, index

    def __call__(self, place: int) -> bytes:
        """Return an image's bytes.

        Raises:
            UnreadableImageError: the file ends before it does.
        """
        size = int(self._index.sizes[place])
        self._stream.seek(int(self._index.starts[place]))
        data = self._stream.read(size)
        if len(data) < size:
            raise UnreadableImageError(f"it is cut short: {len(data):,} of {size:,} bytes.")
        return data
