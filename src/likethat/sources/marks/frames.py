"""Which way up marks were drawn: on the picture as its file stores it, or as its EXIF orientation turns it."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy.typing as npt

Frame = Literal["upright", "stored"]
"""``"upright"``: as the picture is shown, turned by its EXIF orientation; ``"stored"``: as its file holds it."""
Size = tuple[int, int]
"""Height and width in pixels."""

CONVENTIONS: Mapping[str, Frame] = {
    "COCO": "upright",  # the browser tools, CVAT and LabelMe's converters, whose exports most COCO files are
    "CVAT": "upright",  # since 1.0
    "LabelMe": "upright",  # since 3.8
    "Label Studio": "upright",  # it draws in a browser
    "masks": "stored",  # a mask is paired pixel by pixel with what the file holds
    "": "stored",  # marks from memory: as `Mark` says
}
"""What each tool draws on, where the sizes that it states do not tell."""

_SWAPS_SIDES = 5  # from this EXIF orientation on, height and width change places
_MOST_DISTORTED = 0.02  # by which two aspects may differ when a size was rounded to whole pixels


def turned(mask: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Return stored pixels, (height, width) or with further axes, as the EXIF orientation (1 to 8) shows them.

    Example:
        >>> import numpy as np
        >>> turned(np.array([[1, 2]]), 6).tolist()
        [[1], [2]]
    """
    if orientation >= _SWAPS_SIDES:
        mask = mask.swapaxes(0, 1)
    upside_down, mirrored = {2: (0, 1), 3: (1, 1), 4: (1, 0), 6: (0, 1), 7: (1, 1), 8: (1, 0)}.get(orientation, (0, 0))
    return mask[:: -1 if upside_down else 1, :: -1 if mirrored else 1]


def fitting_frames(stated: Size | None, upright: Size, orientation: int) -> tuple[Frame, ...]:
    """Return which ways up a stated size fits: two where it cannot tell, none where it has another aspect.

    Args:
        stated: height and width that marks refer to; None where nothing is stated.
        upright: of the picture as it is shown.
        orientation: of the picture, by its EXIF.
    """
    if orientation == 1:
        return ("upright",) if stated is None or same_aspect(stated, upright) else ()
    sizes: dict[Frame, Size] = {"upright": upright, "stored": stored_size(upright, orientation)}
    if stated is None:
        return tuple(sizes)
    exact: tuple[Frame, ...] = tuple(frame for frame, size in sizes.items() if size == stated)
    return exact or tuple(frame for frame, size in sizes.items() if same_aspect(stated, size))


def stored_size(upright: Size, orientation: int) -> Size:
    """Return height and width in the file of a picture that is shown at another."""
    return upright[::-1] if orientation >= _SWAPS_SIDES else upright


def same_aspect(stated: Size, size: Size) -> bool:
    """Return whether one size is the other scaled, and rounded to whole pixels.

    Example:
        >>> same_aspect((683, 1024), (2000, 3000)), same_aspect((600, 600), (600, 800))
        (True, False)
    """
    if stated == size:
        return True
    (height, width), (small_height, small_width) = sorted((stated, size), reverse=True)
    if height == small_height or width == small_width or small_width > width:
        return False
    if abs(small_width * height / (small_height * width) - 1) > _MOST_DISTORTED:
        return False
    lowest = max((small_height - 1) / height, (small_width - 1) / width)  # scales that round to both sides
    highest = min((small_height + 1) / height, (small_width + 1) / width)
    return lowest < highest
