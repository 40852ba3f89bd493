"""Heat maps, boxes and close-ups, by hand."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from likethat.report.palette import AGAINST, FOR, rgb
from likethat.report.pixels import (
    close_up,
    colour_heat,
    data_uri,
    encode,
    encode_small,
    outline,
    overlay,
    shrink,
    strip,
    to_picture,
    upsample,
)


def test_pictures_of_one_three_and_many_channels() -> None:
    image = np.array([[[0.0, 0.5]], [[1.0, 2.0]], [[-1.0, np.nan]], [[0.3, 0.3]]], dtype=np.float32)
    assert to_picture(image[:1]).tolist() == [[[0, 0, 0], [128, 128, 128]]]
    assert to_picture(image[:2]).tolist() == to_picture(image[:1]).tolist()
    assert to_picture(image).tolist() == [[[0, 255, 0], [128, 255, 0]]]


def test_upsample_is_bilinear() -> None:
    heat = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    ours = upsample(heat, (17, 40))
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(heat)[None, None].double(), size=(17, 40), mode="bilinear", align_corners=False
    )[0, 0].numpy()
    assert np.abs(ours - theirs).max() < 1e-12
    assert upsample(np.array([[2.0]]), (2, 2)).tolist() == [[2.0, 2.0], [2.0, 2.0]]


def points(path: str) -> np.ndarray:
    ends = [pair for piece in path.split("M")[1:] for pair in piece.split("L")]
    return np.array([[float(number) for number in end.split()] for end in ends])


def test_an_outline_runs_where_the_map_is_half_of_its_peak() -> None:
    rows, columns = np.mgrid[:8, :16]
    cone = np.maximum(0, 1 - np.hypot((rows + 0.5) / 8 - 0.5, (columns + 0.5) / 16 - 0.25) / 0.4).astype(np.float32)
    found = points(outline(cone))  # a circle of half of that radius, its middle a quarter from the left
    away = np.hypot(found[:, 1] - 50, found[:, 0] - 25)
    half = 0.4 * (1 - 0.5 * cone.max()) * 100
    assert np.abs(away - half).max() < 1.5
    angles = np.sort(np.arctan2(found[:, 1] - 50, found[:, 0] - 25))
    assert np.diff(angles).max() < 0.3  # all the way round
    wider = points(outline(cone, share=0.25))
    assert np.hypot(wider[:, 1] - 50, wider[:, 0] - 25).mean() > away.mean() + 5


def test_an_outline_goes_along_the_edge_and_only_round_what_is_above_0() -> None:
    corner = np.zeros((4, 4), dtype=np.float32)
    corner[0, 0], corner[3, 3] = 2.0, -9.0
    found = points(outline(corner))
    assert found.min() == 0
    assert found.max() < 30  # nothing round the other corner
    assert {(0.0, True), (0.0, False)} <= {(min(x, y), x > y) for x, y in found.tolist() if abs(x - y) > 5}
    assert outline(-corner.clip(0)) == outline(np.ones((4, 4), dtype=np.float32)) == ""
    assert outline(np.ones((1, 1), dtype=np.float32)) == ""
    noise = np.random.default_rng(0).random((300, 400), dtype=np.float32)
    assert 0 < len(outline(noise)) < 100_000  # of a page that has twenty


def test_heat_colours_by_hand() -> None:
    coloured = colour_heat(np.array([[2.0, -1.0, 0.0]]))
    assert coloured[0, 0].tolist() == pytest.approx([*(value / 255 for value in rgb(FOR)), 1.0])
    assert coloured[0, 1].tolist() == pytest.approx([*(value / 255 for value in rgb(AGAINST)), 0.5])
    assert coloured[0, 2, 3] == 0.0
    assert colour_heat(np.array([[1.0]]), 4.0)[0, 0, 3] == 0.25
    assert colour_heat(np.array([[9.0]]), 4.0)[0, 0, 3] == 1.0
    assert colour_heat(np.zeros((2, 2)))[..., 3].sum() == 0


def test_overlay_by_hand() -> None:
    picture = np.full((1, 2, 3), 255, dtype=np.uint8)
    shown = overlay(picture, np.array([[1.0, 0.0]], dtype=np.float32), strength=1.0)
    assert shown[0, 0].tolist() == list(rgb(FOR))
    assert shown[0, 1].tolist() == [255, 255, 255]
    assert overlay(picture[..., 0], np.array([[-1.0]], dtype=np.float32), strength=1.0)[0, 1].tolist() == list(
        rgb(AGAINST)
    )
    assert picture.min() == 255


def test_close_ups_stay_inside() -> None:
    assert close_up((45, 45, 55, 55), (100, 100), zoom=2.0) == (40, 40, 60, 60)
    for box in ((0, 0, 8, 8), (92, 92, 100, 100), (0, 0, 100, 100), (30, 0, 60, 5)):
        left, top, right, bottom = close_up(box, (100, 100))
        assert right - left == bottom - top
        assert 0 <= left < right <= 100
        assert 0 <= top < bottom <= 100
        assert left <= box[0]
        assert right >= box[2]
    assert close_up((0, 0, 3, 3), (3, 9)) == (0, 0, 3, 3)


def test_shrinks_only_what_is_larger() -> None:
    picture = np.zeros((40, 80, 3), dtype=np.uint8)
    assert shrink(picture, 20).shape == (10, 20, 3)
    assert shrink(picture, 80) is picture
    assert shrink(np.zeros((500, 1), dtype=np.uint8), 20).shape == (20, 1)


def test_small_pictures_are_kept_exactly() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (30, 20, 3), dtype=np.uint8)
    ending, data = encode(picture)
    assert ending == "png"
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), picture)
    assert encode(np.zeros((200, 200), dtype=np.uint8))[0] == "jpg"
    assert data_uri("jpg", b"abc") == "data:image/jpeg;base64,YWJj"


def test_a_photo_made_smaller_becomes_the_smaller_file_and_a_drawing_stays_exact() -> None:
    photo = np.random.default_rng(0).integers(0, 255, (128, 128, 3), np.uint8)
    photo = np.asarray(Image.fromarray(photo[::8, ::8]).resize((128, 128), Image.Resampling.BICUBIC))
    drawing = np.zeros((128, 128, 3), np.uint8)
    drawing[32:64] = 255
    assert [encode(one)[0] for one in (photo, drawing)] == ["png", "png"]
    assert [encode(one, is_whole=False)[0] for one in (photo, drawing)] == ["jpg", "png"]
    assert len(encode(photo, is_whole=False)[1]) < len(encode(photo)[1]) / 2
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encode(drawing, is_whole=False)[1]))), drawing)


def test_a_strip_is_squares_beside_each_other() -> None:
    white, grey = np.full((8, 4, 3), 255, np.uint8), np.full((20, 20), 100, np.uint8)
    joined = strip([white, grey], 6)
    assert joined.shape == (6, 12, 3)
    assert (joined[:, :6] == 255).all()
    assert (joined[:, 6:] == 100).all()
    ending, data = encode_small(joined)
    assert data_uri(ending, data).startswith("data:image/webp;base64,")
    assert np.abs(np.asarray(Image.open(io.BytesIO(data))).astype(int) - joined).max() < 60
