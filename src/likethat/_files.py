"""Writing files whole or not at all."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from likethat.errors import InputError, StorageError

__all__ = ["new_folder", "write_whole"]


def write_whole(path: str | Path, data: bytes) -> Path:
    """Write a file beside its place and move it there; make parent folders.

    Raises:
        StorageError: the disk did not take it; nothing is left behind, an earlier file stays as it was.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name[:40]}.", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o666 & ~_umask())
        Path(temporary).replace(path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise storage_error(path, error) from error
    return path


@contextlib.contextmanager
def new_folder(path: str | Path, *, marker: str) -> Iterator[Path]:
    """Yield a folder to fill; it takes the place of `path` when the block ends well, and vanishes otherwise.

    Args:
        path: where the folder shall stand. An earlier folder there is replaced only if it holds the file `marker`.
        marker: a file that tells our own folders from others.

    Raises:
        InputError: something else stands there.
        StorageError: the disk did not take it; what stood there before still does.
    """
    path = Path(path)
    if path.exists() and not (path.is_dir() and ((path / marker).exists() or not any(path.iterdir()))):
        raise InputError(f"`path` must be a new or empty folder, or one saved before, got {path}, which is in use.")
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name[:40]}.", dir=path.parent))
        temporary.chmod(0o777 & ~_umask())
        yield temporary
        _swap(temporary, path)
    except OSError as error:
        raise storage_error(path, error) from error
    finally:
        if temporary is not None and temporary.exists():
            shutil.rmtree(temporary, ignore_errors=True)


def _swap(new: Path, path: Path) -> None:
    if not path.exists():
        new.replace(path)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{path.name[:40]}.old.", dir=path.parent)) / "old"
    path.replace(old)
    new.replace(path)
    shutil.rmtree(old.parent, ignore_errors=True)


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
