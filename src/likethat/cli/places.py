"""Where a command writes, tried before the work: what would be refused after hours is refused at once."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from likethat._files import try_file, try_folder
from likethat._showing import kind_of
from likethat.cli.group import Stopped
from likethat.errors import InputError

_LONGEST = 255  # bytes of a name on most disks


def checkpoint_of(out: Path) -> Path:
    """Return the folder beside a result that holds its unfinished work."""
    name = f"{out.name}.checkpoint"
    if len(os.fsencode(name)) > _LONGEST:
        name = f"{hashlib.sha256(os.fsencode(out.name)).hexdigest()[:40]}.checkpoint"
    return out.with_name(name)


def check_folder(out: Path, *, mark: str, work: str, resume: bool, overwrite: bool) -> None:
    """Refuse before long work a folder that could not be written after it.

    Args:
        out: where the result goes.
        mark: the file by which the result is known from others of its kind.
        work: what it is called, "fit" or "training".
        resume: whether the work goes on from `checkpoint_of(out)`.
        overwrite: whether an earlier result may be replaced.

    Raises:
        InputError: a name that stands for a file, something there that may not be replaced, or unfinished work that
            nobody spoke of.
        StorageError: the place cannot be written.
    """
    if kind_of(out) != "folder":
        raise InputError(f"`--out` must be a folder, got {out}, whose ending stands for a file. Choose another name.")
    try_folder(out, overwrite=may_replace(out, mark, resume=resume, overwrite=overwrite), name="--out")
    checkpoint = checkpoint_of(out)
    if not (resume or overwrite) and checkpoint.is_dir() and any(checkpoint.glob("*.safetensors")):
        raise InputError(
            f"an unfinished {work} lies in {checkpoint}. Go on with it by adding --resume, or start anew with "
            "--overwrite."
        )


@contextmanager
def left_behind(out: Path) -> Iterator[None]:
    """Do work that leaves a checkpoint.

    Raises:
        Stopped: by Ctrl-C or SIGTERM, with a checkpoint left.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        if checkpoint_of(out).exists():
            raise Stopped from stop
        raise


def check_page(path: Path, *, overwrite: bool, or_folder: bool = False) -> None:
    """Refuse before the work a page that could not be written after it.

    Args:
        path: of the page.
        overwrite: whether another file than a page that likethat wrote may be replaced.
        or_folder: whether it may be a folder as well.

    Raises:
        InputError: another ending than .html, no place for a file, or a file that may not be replaced.
        StorageError: the place cannot be written.
    """
    kind = kind_of(path)
    if kind != "page" and not (or_folder and kind == "folder"):
        wanted = "a page (.html) or a folder" if or_folder else "a file that ends in .html"
        raise InputError(f"`--out` must be {wanted}, got {path}.")
    (try_file if kind == "page" else try_folder)(path, overwrite=overwrite, name="--out")


def is_folder(out: Path, *, overwrite: bool, workers: str) -> bool:
    """Tell whether results of many inputs are wanted, in a folder; a page is tried as `check_page` does.

    Raises:
        InputError: a page that cannot be written, or that workers shall make; or a folder that shall be replaced.
        StorageError: the place cannot be written.
    """
    if kind_of(out) != "folder":
        check_page(out, overwrite=overwrite)
        if workers != "0":
            raise InputError("`--workers` must be left out where --out is a page: one input is not split.")
        return False
    if overwrite:
        raise InputError("`--overwrite` must be left out where --out is a folder of many results.")
    return True


def may_replace(out: Path, mark: str, *, resume: bool, overwrite: bool) -> bool:
    """Return whether a result may be replaced: also where it is what the resumed work had just written when killed."""
    if overwrite or not resume:
        return overwrite
    from likethat._checkpoint import has_ended  # torch, which commands that are refused do without

    return has_ended(checkpoint_of(out), out / mark)
