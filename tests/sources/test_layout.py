"""Which axis is what."""

import numpy as np
import pytest

from likethat.errors import InputError
from likethat.sources._layout import channels_last, check_is_stack, check_tensor_layout, is_transparency


@pytest.mark.parametrize(
    ("shape", "is_last"),
    [
        ((64, 64, 12), True),
        ((48, 64, 12), True),
        ((12, 64, 64), False),
        ((12, 48, 64), False),
        ((64, 64, 3), True),
        ((3, 64, 64), False),
        ((3, 9, 3), False),
        ((64, 8, 8), False),
        ((4, 9, 8), False),
    ],
)
def test_the_channel_is_the_shortest_axis(shape: tuple[int, ...], is_last: bool) -> None:
    assert channels_last(shape, name="x") is is_last


@pytest.mark.parametrize("shape", [(12, 12, 12), (64, 64, 48), (9, 8, 9)])
def test_both_would_do(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="x must say where its channels are"):
        channels_last(shape, name="x")


def test_one_image_or_many() -> None:
    check_is_stack((1797, 8, 8))
    with pytest.raises(InputError, match="looks like one image of 12 channels"):
        check_is_stack((64, 64, 12))
    with pytest.raises(InputError, match=r"looks like \(height, width, image\)"):
        check_is_stack((28, 28, 60000))
    with pytest.raises(InputError, match=r"movedim\(-1, -3\)"):
        check_tensor_layout((64, 64, 3), name="x")


def test_what_transparency_looks_like() -> None:
    rng = np.random.default_rng(0)
    band = (rng.integers(0, 256, 10_000) / 255).astype(np.float32)  # 2 of 256 values are 0 or 1: below a tenth
    assert not is_transparency(band)
    assert is_transparency(np.where(band > 0.5, np.float32(1), band))
    assert is_transparency(np.full(9, 0.2, np.float32))
