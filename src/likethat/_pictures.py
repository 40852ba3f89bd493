"""The one place that opens a picture's file: formats by name, no program started, no more pixels than are safe."""

import io
import os
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from PIL import Image, UnidentifiedImageError

from likethat._unread import why_content_unread, why_unread
from likethat.errors import InputError, UnreadableImageError

if TYPE_CHECKING:
    from torch import Tensor

# What Pillow lists but does not decode by itself: headers only (BUFR, GRIB, HDF5, MPEG, WMF), or by starting
# Ghostscript on a program that the file holds (EPS).
_NO_PICTURES = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class TooManyPixels(UnreadableImageError):  # noqa: N818 - tells one refusal from another
    """A picture of more pixels than Pillow opens safely, whatever else is right with it."""


def formats() -> tuple[str, ...]:
    """Return the formats that Pillow decodes, plugins that the user registered included."""
    Image.init()
    return tuple(name for name in Image.OPEN if name not in _NO_PICTURES)


def png_of(image: "Tensor") -> bytes:
    """Return an image of one channel or three, in [0, 1], as the bytes of a PNG file."""
    values = (image.float().clamp(0, 1) * 255).round().byte().numpy()
    buffer = io.BytesIO()
    Image.fromarray(values[0] if len(values) == 1 else values.transpose(1, 2, 0)).save(buffer, format="PNG")
    return buffer.getvalue()


@contextmanager
def open_picture(
    file: str | os.PathLike[str] | IO[bytes], *, name: str, only: Collection[str] | None = None
) -> Iterator[Image.Image]:
    """Open a picture's file; whatever goes wrong with it, there or in the block, is one sentence.

    Args:
        file: a path, or an open binary file.
        name: what to call it in an error.
        only: the formats, such as ``("PNG",)``; all of `formats` when None.

    Raises:
        UnreadableImageError: missing, no regular file, empty, in another format, damaged, or with more pixels than
            Pillow opens safely.
    """
    with what_went_wrong(name, Path(file) if isinstance(file, str | os.PathLike) else None):
        if not isinstance(file, str | os.PathLike):
            with _opened(file, name, only) as image:
                yield image
            return
        path = Path(file)
        _check_regular(path.stat(), name)
        # Not by its path: Pillow would map the file into memory, and get rotated TIFFs wrong.
        with path.open("rb") as stream, _opened(stream, name, only) as image:
            yield image


def _opened(stream: IO[bytes], name: str, only: Collection[str] | None) -> Image.Image:
    # Pillow warns of sizes between its limit and twice that, and refuses beyond. Its warning is not turned into an
    # error by a filter: filters belong to the whole process, and this runs in threads.
    try:
        image = Image.open(stream, formats=formats() if only is None else tuple(only))
    except UnidentifiedImageError:
        stream.seek(0)
        if only is None and stream.read(4) in _TIFF:
            raise UnreadableImageError(
                f"{name} is a TIFF of a kind that Pillow does not read, such as one of many bands. Read it with "
                "tifffile or rasterio, and give the arrays: Images(arrays)."
            ) from None
        raise
    n_pixels, limit = image.width * image.height, Image.MAX_IMAGE_PIXELS
    if limit is not None and n_pixels > limit:
        image.close()
        raise TooManyPixels(f"{name} has more pixels than Pillow opens safely ({n_pixels:,}; the limit is {limit:,}).")
    return image


@contextmanager
def what_went_wrong(name: str, path: Path | None = None) -> Iterator[None]:
    """Say in one sentence, with its name, why a picture does not decode; with `path`, what its file is instead."""
    try:
        yield
    except InputError:
        raise
    except UnidentifiedImageError as error:
        what = None if path is None else why_unread(path.name) or why_content_unread(path)
        hint = f": it {what}" if what else ""
        raise UnreadableImageError(f"{name} is in no image format that Pillow can open{hint}.") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooManyPixels(f"{name} has more pixels than Pillow opens safely ({error}).") from error
    except FileNotFoundError as error:
        raise UnreadableImageError(f"{name} does not exist.") from error
    except Exception as error:
        # Decoders meet damage in their own ways: struct.error, KeyError, zlib.error, SyntaxError and more.
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UnreadableImageError(f"{name} does not decode ({reason}).") from error


def _check_regular(status: os.stat_result, name: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableImageError(f"{name} is no file.")  # a folder; or a pipe, that would be waited on for ever
    if status.st_size == 0:
        raise UnreadableImageError(f"{name} is empty (0 bytes).")
