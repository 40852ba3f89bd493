"""Writing files whole or not at all, and removing only what was written here."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from likethat._documents import Damaged, read_json, typed
from likethat._options import check_path
from likethat._seals import is_sealed, sealed
from likethat.errors import InputError, LikethatError, StorageError

if sys.platform != "win32":
    import fcntl

_LIST = ".likethat.json"
"""Lies in every folder that likethat writes, and lists the files that are its own."""

_OLD = "old"
"""Within the hidden folder of a swap: what stood at the place before."""

_SCRATCH = re.compile(r"(new|old)-[a-z0-9_]{8}")
_RANDOM = re.compile(r"[a-z0-9_]{8}")  # how Python's temporary names end; an editor's .manifest.json.swp does not


def write_whole(path: str | Path, data: bytes, *, overwrite: bool = False) -> Path:
    """Write a file beside its place and move it there, with our seal where its kind has one; make parent folders.

    A link is kept, and the file it leads to written. What killed writers of the same file left beside it goes.

    Args:
        path: where the file shall stand.
        data: what it shall hold.
        overwrite: whether another file than one that likethat wrote, and nobody changed, may be replaced.

    Raises:
        InputError: something stands there that is no file (a folder, a device, a pipe), or may not be replaced.
        StorageError: the disk did not take it; nothing is left behind, an earlier file stays as it was.
    """
    path = check_path(path)
    data = sealed(data, path.suffix)
    place = _file_place(path, overwrite=overwrite, data=data)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        _sweep_files(place)
    except OSError as error:
        raise storage_error(path, error) from error
    _write_beside(place, data)
    return path


def _write_beside(path: Path, data: bytes) -> None:
    """Write a file beside its place and move it there; a link there is replaced, not followed."""
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(prefix=_begun(path.name), dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            is_locked = _lock_open(handle)  # tells a sweep that its writer lives
            file.write(data)
            file.flush()
            os.fsync(handle)
            Path(temporary).chmod(0o666 & ~_umask())
            if is_locked:
                Path(temporary).replace(path)
        if not is_locked:
            Path(temporary).replace(path)  # Windows moves no open file
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise storage_error(path, error) from error


def _file_place(path: Path, *, overwrite: bool, data: bytes | None = None, name: str = "path") -> Path:
    """Return where a file shall stand, links followed.

    What stands there may be written anew where nothing is lost: it is ours, empty, or holds the same as it shall.

    Raises:
        InputError: something stands there that is no file or may not be replaced, or links that lead to each other.
    """
    place = _led_to(path, name=name)
    if not os.path.lexists(place):  # not Path.exists: takes names of any length
        return place
    if not place.is_file():
        kind = "a folder" if place.is_dir() else "no plain file"
        raise InputError(f"`{name}` must be a file, got {path}, which is {kind}. Choose another name.")
    if not (overwrite or is_sealed(place, path.suffix) or _holds(place, b"") or (data and _holds(place, data))):
        raise InputError(
            f"`{name}` must be a new file, or one that likethat knows as its own, got {path}, which has no seal of "
            f"likethat's or was changed since. Choose another name, or add {_overwriting(name)}."
        )
    return place


def _holds(place: Path, data: bytes) -> bool:
    """Return whether a file holds these bytes and no others; one that nobody may read does not."""
    try:
        return place.stat().st_size == len(data) and place.read_bytes() == data
    except OSError:
        return False


def _overwriting(name: str) -> str:
    """Return how a user says that something may be replaced, where an argument or a flag has this name."""
    return "--overwrite" if name.startswith("-") else "overwrite=True"


def _led_to(path: Path, *, name: str) -> Path:
    """Return where a path leads when links are followed; one that does not exist leads to itself."""
    try:
        is_link = os.path.islink(path)  # noqa: PTH114 - of any length
        return path.resolve() if is_link or not path.name or path.name == ".." else path
    except (OSError, RuntimeError) as error:  # RuntimeError: Python up to 3.12
        raise InputError(f"`{name}` must lead somewhere, got {path}, whose links lead nowhere ({error}).") from error


def _sweep_files(path: Path) -> None:
    """Remove the files that killed writers of a file left beside it: with our name, locked by nobody."""
    start = _begun(path.name)
    for one in list(path.parent.iterdir()):
        if not one.name.startswith(start) or not _RANDOM.fullmatch(one.name[len(start) :]):
            continue
        lock = _lock(one) if one.is_file() and not one.is_symlink() else None
        if lock is not None:
            one.unlink(missing_ok=True)
            os.close(lock)


def try_file(path: str | Path, *, overwrite: bool = False, name: str = "path") -> None:
    """Try before long work whether `write_whole` can write a file after it; nothing is left there.

    Args:
        path: of the file.
        overwrite: whether another file than one that likethat wrote, and nobody changed, may be replaced.
        name: of the user's argument, for the errors.

    Raises:
        InputError: something stands there that is no file, or may not be replaced.
        StorageError: the place cannot be written.
    """
    place = _file_place(check_path(path, name=name), overwrite=overwrite, name=name)
    with _trying(place, place.parent):
        if not place.exists():
            os.close(os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY))  # the name itself may be too long
            place.unlink()
        with tempfile.NamedTemporaryFile(prefix=_begun(place.name), dir=place.parent) as file:
            file.write(b"likethat")


def try_folder(path: str | Path, *, overwrite: bool = False, name: str = "path") -> None:
    """Try before long work whether `new_folder` can write a folder after it; nothing is left there.

    Args:
        path: of the folder.
        overwrite: whether what likethat wrote there may be replaced.
        name: of the user's argument, for the errors.

    Raises:
        InputError: something stands there that likethat did not write, that may not be replaced, or that cannot be.
        StorageError: the place cannot be written.
    """
    place = _free_place(check_path(path, name=name), overwrite=overwrite, name=name)
    with _trying(place, place), _scratch(place, "new") as folder:
        _write_list(folder, (), made_folder=True)


@contextlib.contextmanager
def _trying(place: Path, folder: Path) -> Iterator[None]:
    """Make a folder and those above it for a trial; those that were not there go again."""
    made: list[Path] = []
    try:
        made += [one for one in (folder, *folder.parents) if not one.exists()]  # deepest first
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        if isinstance(error, LikethatError):
            raise
        raise storage_error(place, error) from error
    finally:
        for one in made:
            with contextlib.suppress(OSError):
                one.rmdir()


def _free_place(path: Path, *, overwrite: bool, name: str) -> Path:
    """Return where a folder shall stand, where only what likethat wrote may be replaced, and only with `overwrite`."""
    place = _place(path, name=name)
    _check_ours(place, name=name)
    if not os.path.lexists(place):
        return place
    if place.is_mount():
        raise InputError(
            f"`{name}` must be a folder that can be replaced, got {path}, which is a mount point. Give a folder in "
            f"it, such as {path / 'new'}."
        )
    if not overwrite and any(place.iterdir()):
        raise InputError(
            f"`{name}` must be a new or empty folder, got {path}, which likethat wrote before. Choose another place, "
            f"or add {_overwriting(name)}."
        )
    return place


@contextlib.contextmanager
def new_folder(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a folder to fill; it takes the place of `path` when the block ends well, and vanishes otherwise.

    What was written is listed in the folder itself, and only a folder that holds nothing else is ever replaced.

    Args:
        path: where the folder shall stand. A link is kept, and the folder it leads to written.
        overwrite: whether what likethat wrote there may be replaced.

    Raises:
        InputError: something stands there that likethat did not write, or that may not be replaced.
        StorageError: the disk did not take it; what stood there before still does.
    """
    path = _free_place(check_path(path), overwrite=overwrite, name="path")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        with _scratch(path, "new") as temporary:
            yield temporary
            _check_ours(path, name="path")  # the block may have taken hours
            _write_list(temporary, (one for one in _files_in(temporary) if one != _LIST))
            _swap(temporary, path)
    except OSError as error:
        if isinstance(error, LikethatError):
            raise
        raise storage_error(path, error) from error


def _place(path: Path, *, name: str) -> Path:
    """Return where a folder shall stand, links followed.

    Raises:
        InputError: links that lead to each other, or the folder that the program works in, which would vanish under it.
    """
    place = _led_to(path, name=name)
    is_here = os.path.lexists(place) and Path.cwd().is_relative_to(place.resolve())
    if is_here and (not any(place.iterdir()) or _listed(place).files):  # else what lies there is named
        raise InputError(
            f"`{name}` must be another folder than the current one or those above it, got {path}. Give a new name, "
            f"such as {Path(path, 'new')}."
        )
    return place


def _swap(new: Path, path: Path) -> None:
    if not path.exists():
        new.replace(path)
        return
    with _scratch(path, "old") as holder:
        path.replace(holder / _OLD)
        new.replace(path)  # where it fails, what was there is there again


@contextlib.contextmanager
def _scratch(path: Path, kind: str) -> Iterator[Path]:
    """Yield a new hidden folder beside a place, which goes at the end unless it was moved there.

    It is locked while this process lives, and only then gets the list that proves that likethat made it.
    """
    folder, lock = _hidden_folder(path, kind)
    try:
        if lock is not None:
            _write_list(folder, (), made_folder=True)
        yield folder
    finally:
        if folder.exists():
            _clear(folder, path)
        if lock is not None:
            os.close(lock)


def _hidden_folder(path: Path, kind: str) -> tuple[Path, int | None]:
    """Return a new hidden folder beside a place, and its lock; None where folders cannot be locked."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f"{_begun(path.name)}{kind}-", dir=path.parent))
        try:
            folder.chmod(0o777 & ~_umask())
        except FileNotFoundError:
            continue  # another process swept it, empty and not yet locked
        lock = _lock(folder)
        if lock is not None or folder.exists():
            return folder, lock


def _begun(name: str) -> str:
    """Return how the hidden names of what is being written beside a place begin; no two places share it."""
    return f".{name if len(name) <= 40 else hashlib.sha256(os.fsencode(name)).hexdigest()[:40]}.likethat-"


def _lock(path: Path) -> int | None:
    """Lock a file or folder until what is returned is closed, or the process ends; None where it cannot be had."""
    if sys.platform == "win32":
        return None  # a folder cannot be locked there: nothing is marked, and nothing swept
    try:
        kind = os.O_DIRECTORY if path.is_dir() else os.O_NONBLOCK  # nobody waits for a pipe
        lock = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | kind)
    except OSError:
        return None
    if _lock_open(lock):
        return lock
    os.close(lock)
    return None


def _lock_open(handle: int) -> bool:
    """Lock what is open until it is closed, or the process ends; return whether that could be."""
    if sys.platform == "win32":
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _sweep(path: Path) -> None:
    """Remove the hidden folders that killed writers of a place left: with our name and our list, locked by nobody.

    Killed before its list stood, one holds nothing, or a list half written.
    """
    start = _begun(path.name)
    for folder in list(path.parent.iterdir()):
        if not folder.name.startswith(start) or not _SCRATCH.fullmatch(folder.name[len(start) :]):
            continue
        lock = _lock(folder)
        if lock is None:
            continue
        own = _listed(folder)
        if own.files or own.made_folder or all(own.has(one) for one in _files_in(folder)):
            _clear(folder, path)
        os.close(lock)


def _clear(folder: Path, path: Path) -> None:
    """Remove a hidden folder; what it holds of before comes back where nothing stands at the place now."""
    if (folder / _OLD).exists():
        (folder / _OLD).replace(folder / "gone" if path.exists() else path)
    for one in folder.iterdir():
        if one.is_dir() and not one.is_symlink():
            shutil.rmtree(one, ignore_errors=True)  # first: a list that is gone proves nothing to the next sweep
    shutil.rmtree(folder, ignore_errors=True)


class OwnFolder:
    """A folder for unfinished work, of which only files written through this class are ever replaced or removed.

    Args:
        path: the folder; made by `claim` where it does not exist.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._own = _listed(self.path)

    @property
    def has_list(self) -> bool:
        """Whether likethat wrote the folder."""
        return bool(self._own.files)

    def claim(self, *, name: str, marker: str) -> None:
        """Begin anew: remove what likethat left there of the same kind of work, and make the folder.

        Args:
            name: of the user's argument, for the error.
            marker: the file that is written first, by which this kind of work is known.

        Raises:
            InputError: files lie there that likethat did not write, or a result of another kind; none was touched.
            StorageError: the folder cannot be made.
        """
        try:
            if self.path.parent.is_dir():
                _sweep(self.path)
            _check_ours(self.path, name=name)
            self._own = _listed(self.path)
            if self._own.files and marker not in self._own.files:
                raise InputError(
                    f"`{name}` must be a new or empty folder, got {self.path}, which holds something else of "
                    f"likethat's ({min(self._own.files)!r} and more). Nothing was touched; choose another folder."
                )
            self._claim()
        except OSError as error:
            if isinstance(error, LikethatError):
                raise
            raise storage_error(self.path, error) from error

    def _claim(self) -> None:
        if os.path.lexists(self.path):
            self._remove_files()
            self._own = _Own(made_folder=self._own.made_folder)
            self.path.mkdir(exist_ok=True)  # a link to nowhere is an error
            self._write_list()
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with _scratch(self.path, "new") as folder:  # killed, it never leaves a folder that nobody knows the maker of
            self._own = _Own(made_folder=True)
            _write_list(folder, (), made_folder=True)
            folder.replace(self.path)

    def write(self, name: str, data: bytes) -> Path:
        """Write one file of the folder, whole or not at all; it is listed before it is there.

        Raises:
            StorageError: the disk did not take it.
        """
        if name not in self._own.files:
            self._own = _Own(files=self._own.files | {name}, made_folder=self._own.made_folder)
            self._write_list()
        _write_beside(self.path / name, data)
        return self.path / name

    def remove(self) -> None:
        """Remove the files that were written, and the folder where it was made for them and nothing else lies in it.

        The folder goes at once where it can, so that killed in the middle this leaves no half of it.
        """
        if self.path.parent.is_dir():
            _sweep(self.path)
        if self._own.made_folder and self._is_all_ours():
            with contextlib.suppress(OSError), _scratch(self.path, "old") as holder:
                self.path.replace(holder / "gone")
                return
        self._remove_files()
        (self.path / _LIST).unlink(missing_ok=True)
        if self._own.made_folder and self.path.is_dir() and not any(self.path.iterdir()):
            self.path.rmdir()

    def _is_all_ours(self) -> bool:
        is_folder = self.path.is_dir() and not self.path.is_symlink()
        return is_folder and all(self._own.has(one) for one in _files_in(self.path))

    def _remove_files(self) -> None:
        if not os.path.lexists(self.path):
            return
        for path in self.path.iterdir():
            if self._own.has(path.name) and path.is_file() and not path.is_symlink():
                path.unlink(missing_ok=True)

    def _write_list(self) -> None:
        _write_list(self.path, self._own.files, made_folder=self._own.made_folder)


def write_into(folder: str | Path, name: str, data: bytes) -> Path:
    """Write one more file into a folder, whole or not at all; one that likethat wrote lists it with its others.

    Raises:
        StorageError: the disk did not take it.
    """
    own = OwnFolder(folder)
    return own.write(name, data) if own.has_list else write_whole(Path(folder) / name, data)


@dataclass(frozen=True, kw_only=True)
class _Own:
    """What a folder's list says: the files that likethat wrote, and whether it made the folder for them."""

    files: frozenset[str] = frozenset()
    made_folder: bool = False

    def has(self, name: str) -> bool:
        """Whether a file (its path below the folder, with slashes) is ours, or a leftover of writing one of ours."""
        folder, _, last = name.rpartition("/")
        if name == _LIST or name in self.files:
            return True
        begun = (_begun(one.rpartition("/")[2]) for one in (*self.files, _LIST) if one.rpartition("/")[0] == folder)
        return any(last.startswith(start) and _RANDOM.fullmatch(last[len(start) :]) for start in begun)


def _listed(folder: Path) -> _Own:
    """Read a folder's list; where there is none that can be read, nothing in it is ours."""
    try:
        found = read_json(folder / _LIST, follow=False)
        files, made_folder = typed(found["files"], frozenset[str]), found.get("made_folder") is True
        return _Own(files=files, made_folder=made_folder) if found["library"] == "likethat" else _Own()
    except (Damaged, KeyError, TypeError):
        return _Own()


def _write_list(folder: Path, files: Iterable[str], **about: bool) -> None:
    text = json.dumps({"library": "likethat", "files": sorted(files), **about}, ensure_ascii=False, indent=1)
    _write_beside(folder / _LIST, text.encode())


def _files_in(folder: Path) -> Iterator[str]:
    """Yield all that lies below a folder but folders that hold something: paths with slashes, links not followed."""
    for root, folders, files in os.walk(folder):
        below = Path(root).relative_to(folder)
        links = [name for name in folders if (Path(root) / name).is_symlink()]
        yield from ((below / name).as_posix() for name in (*files, *links))
        if not folders and not files and Path(root) != folder:
            yield f"{below.as_posix()}/"


def _check_ours(path: Path, *, name: str) -> None:
    """Raise `InputError` unless the place is free, an empty folder, or holds only what likethat wrote."""
    if not os.path.lexists(path):
        return
    if not path.is_dir():
        raise InputError(f"`{name}` must be a folder, got {path}, which is something else. Choose another place.")
    own = _listed(path)
    foreign = next((one for one in _files_in(path) if not own.has(one) or (path / one).is_symlink()), None)
    if foreign is not None:
        raise InputError(
            f"`{name}` must be a new or empty folder, or one that likethat wrote, got {path}, which is in use: "
            f"{foreign!r} in it is not likethat's. Nothing was touched; choose another folder."
        )


def storage_error(path: Path, error: OSError) -> StorageError:
    """Return the one sentence for a disk that did not take a file."""
    reason = error.strerror or str(error)
    return StorageError(
        f"{path} could not be written ({reason}). Free space or choose another place; nothing in memory is lost."
    )


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
