"""A mask as a picture: what is opaque, or what is not black."""

import base64
import binascii
import io
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image

from likethat._pictures import open_picture
from likethat.errors import UnreadableImageError
from likethat.sources.marks.documents import BrokenError, check_pixels
from likethat.sources.marks.frames import Size, turned

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class MaskFile:
    """The pixels of a mask, upright where the mask itself says how it is turned.

    Attributes:
        values: (height, width) or (height, width, 3): shades, numbers of a palette, or colours.
        is_there: (height, width): where the mask is opaque; all True where it is opaque everywhere.
        has_alpha: whether it is transparent anywhere.
        is_turned: whether it was turned by its own EXIF orientation.
    """

    values: npt.NDArray[Any]
    is_there: Mask
    has_alpha: bool
    is_turned: bool

    @property
    def size(self) -> Size:
        """Height and width."""
        return self.is_there.shape[0], self.is_there.shape[1]

    @property
    def mask(self) -> Mask:
        """Where the mask is: its opaque pixels, or, where all are opaque, those that are not black."""
        if self.has_alpha:
            return self.is_there
        return np.asarray(self.values > 0 if self.values.ndim == 2 else (self.values > 0).any(-1))

    @classmethod
    def read(cls, file: IO[bytes], place: str, *, palette: bool) -> "MaskFile":
        """Decode a mask.

        Args:
            file: of a picture.
            place: what to call it in an error.
            palette: whether a palette's numbers are meant, not its colours.

        Raises:
            BrokenError: it does not decode, or has more pixels than is safe.
        """
        try:
            with open_picture(file, name="the mask", only=("PNG",)) as picture:
                check_pixels(picture.height, picture.width, place)
                orientation = int(picture.getexif().get(ExifTags.Base.Orientation, 1))
                picture.load()
                return _of_picture(picture, orientation if 1 < orientation <= 8 else 1, palette)
        except UnreadableImageError as error:
            reason = " ".join(str(error).removeprefix("the mask").removesuffix(".").split())
            raise BrokenError(place, f"{reason:.200}") from error

    @classmethod
    def from_base64(cls, text: str, place: str) -> "MaskFile":
        """Decode a mask in base64, with or without ``data:image/png;base64,`` before it."""
        try:
            data = base64.b64decode(text.rpartition(",")[2], validate=False)
        except (binascii.Error, ValueError) as error:
            raise BrokenError(place, f"must be base64 of a PNG ({error})") from error
        return cls.read(io.BytesIO(data), place, palette=False)


def _of_picture(picture: Image.Image, orientation: int, palette: bool) -> MaskFile:
    alpha = None
    if picture.mode in ("LA", "RGBA", "PA", "La", "RGBa") or "transparency" in picture.info:
        alpha = np.asarray(picture.convert("RGBA").getchannel("A"))
    if picture.mode == "PA" or (picture.mode == "P" and not palette):
        picture = picture.convert("RGB")
    elif picture.mode not in ("P", "L", "I", "I;16", "I;16L", "I;16B", "1", "RGB"):
        picture = picture.convert("L" if picture.mode in ("LA", "La") else "RGB")
    values = np.asarray(picture)
    is_there = np.ones(values.shape[:2], dtype=bool) if alpha is None else 2 * alpha.astype(int) >= max(alpha.max(), 1)
    return MaskFile(
        values=turned(values, orientation),
        is_there=turned(is_there, orientation),
        has_alpha=not is_there.all(),
        is_turned=orientation > 1,
    )
