"""Single files that say themselves who wrote them, by a seal: a digest of all else in the file.

A page, a figure or a document may have to be written again and again under one name, and a file of the user's may
stand under that name. What carries our seal is ours and as we left it; what was changed since is the user's.
"""

import hashlib
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_NAME = b"likethat"
_NO_DIGEST = b"0" * 64  # as long as a SHA-256 in hexadecimal


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """Where a kind of file takes a seal.

    Attributes:
        seal: of a digest; always of one length.
        after: bytes of the file that come behind it.
    """

    seal: Callable[[bytes], bytes]
    after: int = 0


def _comment(digest: bytes) -> bytes:
    return b"<!-- %s %s -->\n" % (_NAME, digest)


def _line(digest: bytes) -> bytes:
    return b"%% %s %s\n" % (_NAME, digest)


def _member(digest: bytes) -> bytes:
    return b', "%s": "%s"' % (_NAME, digest)


def _chunk(digest: bytes) -> bytes:
    text = b"tEXt" + _NAME + b"\0" + digest
    return struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))


_PAGE = _Kind(seal=_comment)
_KINDS = {
    ".html": _PAGE,
    ".htm": _PAGE,
    ".svg": _PAGE,
    ".pdf": _Kind(seal=_line),  # a comment behind the end, where readers look for nothing
    ".json": _Kind(seal=_member, after=1),  # the last member of an object that has others
    ".png": _Kind(seal=_chunk, after=12),  # a text before the chunk that ends it
}


def sealed(data: bytes, suffix: str) -> bytes:
    """Return what a file shall hold with a seal in it; as it is where its kind has no place for one.

    A table (``.csv``) has none: other programs would take it for a row.

    Args:
        data: whole and well formed.
        suffix: of the file's name, with its point.

    Example:
        >>> sealed(b'{"a": 1}', ".json")[:20]
        b'{"a": 1, "likethat":'
    """
    kind = _KINDS.get(suffix.lower())
    if kind is None:
        return data
    end = len(data) - kind.after
    return data[:end] + kind.seal(hashlib.sha256(data).hexdigest().encode()) + data[end:]


def is_sealed(path: Path, suffix: str) -> bool:
    """Return whether a file carries the seal that files of such a name get, and nothing in it was changed since."""
    kind = _KINDS.get(suffix.lower())
    if kind is None:
        return False
    length = len(kind.seal(_NO_DIGEST))
    try:
        with path.open("rb") as file:
            start = file.seek(0, 2) - length - kind.after
            if start < 0 or file.seek(start) != start or _NAME not in file.read(length):
                return False  # without reading all of what may be of any size
            file.seek(0)
            data = file.read()
    except OSError:
        return False
    return data == sealed(data[:start] + data[start + length :], suffix)
