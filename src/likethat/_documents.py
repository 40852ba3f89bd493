"""Reading files that somebody else may have made: bounded, never followed into the unknown, one fact an error."""

import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from likethat.errors import InputError, LikethatError

T = TypeVar("T")

LARGEST = 2 * 2**30
"""Bytes of a document that is read whole; COCO's own marks of 118,000 photos have 0.45 GiB."""


_MOST_DIGITS = 300
"""Of a whole number: with a few more, it is none that a float could hold, and fails wherever one is made of it."""


class Damaged(ValueError):  # noqa: N818 - the public function says whose fault, and what to do
    """What is wrong with a file, as the end of a sentence that begins with its name."""


def read_bytes(path: str | os.PathLike[str], *, limit: int = LARGEST, follow: bool = True) -> bytes:
    """Return what is in a regular file.

    Args:
        path: of the file.
        limit: bytes from which it is refused.
        follow: whether it may be a link.

    Raises:
        Damaged: missing, no file (a pipe would be waited on for ever), a link, or too large.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    try:
        if not follow and Path(path).is_symlink():
            raise Damaged("is a link, and links are not followed")
        with os.fdopen(os.open(path, flags), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise Damaged("is no file")
            if status.st_size > limit:
                raise Damaged(f"has {status.st_size:,} bytes, which is more than the {limit:,} that are read")
            return file.read(limit + 1)
    except FileNotFoundError as error:
        raise Damaged("is missing") from error
    except (OSError, MemoryError) as error:
        raise Damaged(f"cannot be read ({getattr(error, 'strerror', None) or type(error).__name__})") from error


def read_whole(path: str | os.PathLike[str], *, sha256: str | None) -> bytes:
    """Return what is in a regular file that its writer noted the checksum of; links are not followed.

    Raises:
        Damaged: as `read_bytes`; or another checksum than the one noted, or none was.
    """
    data = read_bytes(path, follow=False)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise Damaged("was cut short or changed")
    return data


def digest_of(document: Mapping[str, Any]) -> str:
    """Return the sha256 of a document's canonical JSON, without its own digest."""
    rest = {name: value for name, value in document.items() if name != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def read_json(path: str | os.PathLike[str], *, limit: int = LARGEST, follow: bool = True, nan: bool = False) -> Any:
    """Return the JSON document in a file; see `parse_json`."""
    return parse_json(read_bytes(path, limit=limit, follow=follow), nan=nan)


def parse_json(text: str | bytes, *, nan: bool = False) -> Any:
    """Return a JSON document, in UTF-8, UTF-16 or UTF-32, with a byte-order mark or without.

    Args:
        text: the document.
        nan: whether ``NaN`` and ``Infinity``, which JSON has not, are taken.

    Raises:
        Damaged: no JSON, nested deeper than Python reads, a key twice, or a constant that JSON has not.

    Example:
        >>> parse_json('{"a": [1, 2.5]}')
        {'a': [1, 2.5]}
    """
    constant: Callable[[str], float] = float if nan else _no_constant
    try:
        document = text.removeprefix("\ufeff") if isinstance(text, str) else text
        return json.loads(document, parse_constant=constant, parse_int=_whole, object_pairs_hook=_once)
    except RecursionError as error:
        raise Damaged("is nested too deep to be read") from error
    except MemoryError as error:
        raise Damaged("is too large to be read") from error
    except Damaged:
        raise
    except ValueError as error:  # JSONDecodeError, UnicodeDecodeError, numbers of more than 4,300 digits
        raise Damaged(f"is no JSON ({str(error).splitlines()[0]})") from error


def _no_constant(name: str) -> float:
    raise Damaged(f"holds {name}, which is no number")


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise Damaged(f"holds a number of {len(digits):,} digits")
    return int(digits)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        raise Damaged(f"has the key {next(name for name in names if names.count(name) > 1)!r} twice in one place")
    return result


def typed(document: Any, kind: type[T]) -> T:
    """Return plain values as a dataclass or another annotated type; no value is bent into another type.

    Raises:
        Damaged: a value is missing or of another type; its place is named.

    Example:
        >>> typed({"a": 1}, dict[str, int])
        {'a': 1}
    """
    try:
        return msgspec.convert(document, kind)
    except (msgspec.ValidationError, RecursionError, OverflowError) as error:
        raise Damaged(f"does not fit: {str(error)[0].lower()}{str(error)[1:]}") from error


@contextmanager
def going_on_from(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Say in one sentence that what lies in a checkpoint does not fit the work that goes on from it.

    Raises:
        InputError: anything went wrong in the block.
    """
    try:
        yield
    except LikethatError:
        raise
    except (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(
            f"`checkpoint` must be the folder of interrupted work that fits, got {os.fspath(folder)}, which is damaged "
            f"({type(error).__name__}: {reason_of(error)}). Begin anew, without resuming."
        ) from error


def reason_of(error: Exception) -> str:
    """Return the first line of what an error says, or what it is called."""
    return (str(error).splitlines() or [""])[0][:200] or type(error).__name__
