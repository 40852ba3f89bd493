"""How a picture of a source was turned when it was read."""

import io
import os
from collections.abc import Mapping
from typing import Any

from PIL import ExifTags, Image

from likethat._pictures import open_picture
from likethat.sources.arrays import Images
from likethat.sources.datasets import DatasetSource
from likethat.sources.folder import ImageFolder


def orientation_of(source: Any, index: int) -> int:
    """Return the EXIF orientation, 1 to 8, by which item `index` of a source was turned; 1 where it was not.

    Only the head of a file is read. A source of another kind may say it by a method ``orientation(index)``.
    """
    own = getattr(source, "orientation", None)
    if callable(own):
        return int(own(index))
    return _of_value(_value(source, index))


def _value(source: Any, index: int) -> Any:
    """Return an item of a source before it is decoded; None where that is not known."""
    if isinstance(source, ImageFolder):
        return source.files[index]
    if isinstance(source, Images):
        return source.given(index)
    if isinstance(source, DatasetSource):
        return source.given(index)
    return None


def _of_value(value: Any) -> int:
    try:
        if isinstance(value, Mapping):
            data = value.get("bytes")
            value = value.get("path") if data is None else data
        if isinstance(value, bytes | bytearray):
            value = io.BytesIO(value)
        if isinstance(value, Image.Image):
            return _of_picture(value)
        if not isinstance(value, str | os.PathLike | io.BytesIO):
            return 1
        with open_picture(value, name="the picture") as picture:
            return _of_picture(picture)
    except Exception:  # a damaged EXIF block: the picture was not turned by it
        return 1


def _of_picture(picture: Image.Image) -> int:
    found = picture.getexif().get(ExifTags.Base.Orientation, 1)
    return int(found) if found in range(2, 9) else 1
