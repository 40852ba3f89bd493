"""Which way up marks are: turning by hand and as Pillow turns, and what a stated size tells."""

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from likethat.sources.marks.frames import Size, fitting_frames, same_aspect, turned


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_as_pillow_turns_pictures(orientation: int) -> None:
    stored = np.arange(6, dtype=np.uint8).reshape(2, 3)
    picture = Image.fromarray(stored)
    picture.getexif()[ExifTags.Base.Orientation] = orientation
    assert np.array_equal(turned(stored, orientation), np.asarray(ImageOps.exif_transpose(picture)))
    colours = np.stack([stored, stored], axis=-1)
    assert np.array_equal(turned(colours, orientation)[..., 0], turned(stored, orientation))


def test_a_quarter_clockwise_by_hand() -> None:
    assert turned(np.array([[1, 2, 3], [4, 5, 6]]), 6).tolist() == [[4, 1], [5, 2], [6, 3]]


@pytest.mark.parametrize(
    ("stated", "size", "same"),
    [
        ((600, 800), (600, 800), True),
        ((300, 400), (600, 800), True),
        ((683, 1024), (2000, 3000), True),  # 682.67 rounded up
        ((682, 1024), (2000, 3000), True),  # cut
        ((67, 100), (2000, 3000), True),
        ((800, 600), (600, 800), False),
        ((600, 801), (600, 800), False),  # a side is the same: nothing was scaled
        ((640, 640), (480, 640), False),
        ((7, 8), (14, 15), False),  # rounding would explain it, but 7 % is another aspect
    ],
    ids=str,
)
def test_same_aspect(stated: Size, size: Size, same: bool) -> None:
    assert same_aspect(stated, size) is same_aspect(size, stated) is same


@pytest.mark.parametrize(
    ("stated", "orientation", "frames"),
    [
        ((16, 24), 1, ("upright",)),
        ((24, 16), 1, ()),
        (None, 1, ("upright",)),
        ((16, 24), 6, ("upright",)),
        ((24, 16), 6, ("stored",)),
        ((48, 32), 6, ("stored",)),
        ((16, 16), 6, ()),
        ((16, 24), 3, ("upright", "stored")),
        (None, 6, ("upright", "stored")),
    ],
    ids=str,
)
def test_what_a_stated_size_tells(stated: Size | None, orientation: int, frames: tuple[str, ...]) -> None:
    assert fitting_frames(stated, (16, 24), orientation) == frames
