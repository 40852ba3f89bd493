"""Where shards lie: braces written out, files opened here or through fsspec, what tells that one has changed."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from stat import S_ISREG
from tempfile import TemporaryDirectory
from typing import IO, Any

from likethat._checks import require
from likethat._options import check_path, shown
from likethat.errors import InputError, MissingExtraError

ENDINGS = (".tar", ".parquet")
_MOST = 100_000  # shards of one pattern: larger numbers are slips of the keyboard, and would take the memory
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d{1,9})\.\.(\d{1,9})")
_TELLING = ("size", "ETag", "LastModified", "mtime", "created", "md5Hash", "checksum")
"""What stores far away say of a file that is another one after a change; each says some of them."""


def name_shards(given: Any) -> bool:
    """Whether something names shards: paths or addresses that end as such, or a pattern of them.

    Example:
        >>> name_shards("train-{0000..0009}.tar"), name_shards(["a.parquet", "b.parquet"]), name_shards("photos")
        (True, True, False)
    """
    if isinstance(given, list | tuple):
        return bool(given) and all(isinstance(one, str | os.PathLike) and name_shards(one) for one in given)
    if not isinstance(given, str | os.PathLike):
        return False
    text = os.fspath(given)
    return isinstance(text, str) and (is_far(text) or _BRACES.sub("", text).lower().endswith(ENDINGS))


def is_far(place: str) -> bool:
    """Whether it is an address, not a path."""
    return "://" in place


def expand(given: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> tuple[str, ...]:
    """Return the shards that paths, addresses and patterns name, in their order.

    ``{0000..0009}`` counts, with as many digits; ``{train,val}`` lists; ``*`` looks into a folder.

    Raises:
        InputError: nothing, a command, or more shards than anybody has.

    Example:
        >>> expand("s-{08..10}.tar")
        ('s-08.tar', 's-09.tar', 's-10.tar')
    """
    listed = given if isinstance(given, list | tuple) else [given]
    places = [place for one in listed for place in _expanded(_checked(one))]
    if not places:
        raise InputError(f"`shards` must name .tar or .parquet files, got {shown(given)}, which matches none.")
    return tuple(places)


def _checked(given: Any) -> str:
    text = given if isinstance(given, str) and is_far(given) else os.fspath(check_path(given, name="shards"))
    if text.startswith("pipe:"):
        raise InputError(
            f"`shards` must be paths or addresses, got the command {text!r}, which is not run. Give the address: "
            "'https://...' or 's3://...'."
        )
    return text


def _expanded(text: str) -> list[str]:
    waiting, done = [text], []
    while waiting:
        one = waiting.pop()
        found = _BRACES.search(one)
        if found is None:
            done.append(one)
            continue
        waiting += [one[: found.start()] + word + one[found.end() :] for word in reversed(_words(found[1], text))]
        if len(waiting) + len(done) > _MOST:
            raise InputError(f"`shards` must be at most {_MOST:,} files, got more from {text!r}.")
    return [place for one in done for place in _looked_up(one)]


def _words(inner: str, text: str) -> list[str]:
    """Return what stands for one pair of braces."""
    counted = _RANGE.fullmatch(inner)
    if counted is None:
        return inner.split(",")
    first, last = int(counted[1]), int(counted[2])
    if not 0 <= last - first < _MOST:
        raise InputError(f"`shards` must count upwards over at most {_MOST:,} files, got {text!r}.")
    return [str(number).zfill(len(counted[1])) for number in range(first, last + 1)]


def _looked_up(place: str) -> list[str]:
    """Return what a path with ``*`` matches; the path itself where it has none, or names a file that is there."""
    if is_far(place) or "*" not in place or Path(place).exists():
        return [place]
    path = Path(place).expanduser()
    depth = next(number for number, part in enumerate(path.parts) if "*" in part)
    return sorted(map(str, Path(*path.parts[:depth]).glob(str(Path(*path.parts[depth:])))))


def open_shard(place: str) -> IO[bytes]:
    """Open a shard to read and to seek in.

    Raises:
        OSError: it is not there, or is no regular file; what fsspec raises of one far away is of any kind.
        MissingExtraError: what reads addresses of its kind is not installed.
    """
    if is_far(place):
        store, path = _store(place)
        opened: IO[bytes] = store.open(path, "rb")
        return opened
    file = Path(place).expanduser()
    if not S_ISREG(file.stat().st_mode):
        raise OSError("it is no regular file")  # a pipe would be waited for without end
    return file.open("rb")


def copied(place: str, *, most: int) -> IO[bytes] | None:
    """Fetch a shard that lies far away into a file without a name, which is gone with whoever holds it.

    Args:
        place: the address.
        most: bytes that there is room for.

    Returns:
        The file; None for a shard that lies here, that a cache of fsspec keeps, or that is larger or of no known size.
    """
    if not is_far(place) or "cache::" in place:
        return None
    store, path = _store(place)
    size = store.info(path).get("size")
    if not isinstance(size, int) or size > most:
        return None
    with TemporaryDirectory(prefix="likethat-", ignore_cleanup_errors=True) as folder:
        store.get_file(path, f"{folder}/shard")
        return Path(folder, "shard").open("rb")


def facts(place: str) -> tuple[Any, ...]:
    """Return what is another after a shard was changed: size and time, or what a store far away says in their place."""
    if not is_far(place):
        found = Path(place).expanduser().stat()
        return found.st_size, found.st_mtime_ns
    store, path = _store(place)
    store.invalidate_cache()
    told = store.info(path)
    return tuple(str(told.get(name)) for name in _TELLING)


def _store(place: str) -> tuple[Any, str]:
    """Return the file system of an address, and the path in it."""
    kind = place.split("://", maxsplit=1)[0]
    core = require("fsspec.core", purpose=f"Reading {kind}://")
    try:
        store, path = core.url_to_fs(place)
    except ImportError as error:
        raise MissingExtraError(f"Reading {kind}:// needs more than is installed: {error}.") from error
    except ValueError as error:
        raise InputError(f"`shards` must be paths or addresses that fsspec knows, got {place} ({error}).") from error
    return store, path
