"""Arrays, tensors and lists."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from _ids import said
from PIL import Image

import likethat as lt
from likethat.errors import InputError, NonFiniteError, UnreadableImageError
from likethat.sources import as_source, read


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((2, 9, 8, 3), (3, 9, 8)),  # last axis 3, second not
        ((2, 9, 8, 1), (1, 9, 8)),
        ((2, 3, 9, 8), (3, 9, 8)),
        ((2, 3, 9, 3), (3, 9, 3)),  # both could be: channels first
        ((2, 5, 9, 8), (5, 9, 8)),
        ((2, 9, 8), (1, 9, 8)),
        ((2, 9, 8, 4), (3, 9, 8)),  # transparency is laid on white
        ((2, 4, 9, 8), (4, 9, 8)),
    ],
)
def test_layouts_of_arrays(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    source = lt.Images(np.zeros(shape, np.uint8))
    assert (len(source), tuple(source[1].image.shape)) == (2, expected)


def test_every_pixel_lands_where_it_belongs() -> None:
    array = np.arange(2 * 5 * 4 * 3, dtype=np.uint8).reshape(2, 5, 4, 3)
    image = lt.Images(array)[1].image
    # image 1, row 2, column 3, channel 1: 60 + 2 * 12 + 3 * 3 + 1 = 94
    assert float(image[1, 2, 3]) == pytest.approx(94 / 255)
    assert torch.equal(image, lt.Images([array[1]])[0].image)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32, np.float64, ">u2", ">f4", np.bool_])
def test_white_is_one_in_every_dtype(dtype: Any) -> None:
    white = {"u": np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1}.get(np.dtype(dtype).kind, 1)
    values = np.full((2, 5, 6), white, dtype)
    for source in (lt.Images(values), lt.Images(list(values))):
        assert source[1].image.dtype == torch.float32
        assert source[1].image.unique().tolist() == [1.0]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float16, torch.bfloat16, torch.float64])
def test_tensors_of_every_dtype(dtype: torch.dtype) -> None:
    white = {torch.uint8: 255, torch.uint16: 65535}.get(dtype, 1)
    values = torch.full((2, 3, 5, 6), white, dtype=dtype)
    for source in (lt.Images(values), lt.Images(list(values))):
        assert source[1].image.dtype == torch.float32
        assert source[1].image.unique().tolist() == [1.0]


def test_half_transparent_black_is_grey() -> None:
    pixels = np.zeros((1, 5, 6, 4), np.uint8)
    pixels[..., 3] = 51  # 0 * .2 + 1 * .8
    assert lt.Images(pixels)[0].image.unique().tolist() == pytest.approx([0.8])
    torch.testing.assert_close(lt.Images([pixels[0]])[0].image, lt.Images(pixels)[0].image)


def test_arrays_mapped_from_a_file_are_read_in_pieces(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.full((10, 6, 6, 3), 51, np.uint8))
    source = lt.Images(np.load(tmp_path / "a.npy", mmap_mode="r"))
    assert isinstance(source._images.values.base, np.memmap)  # type: ignore[union-attr]
    assert [len(batch.indices) for batch in read(source, batch_size=4)] == [4, 4, 2]
    assert float(source[9].image[0, 0, 0]) == pytest.approx(0.2)


def test_rounding_outside_is_clamped() -> None:
    values = torch.tensor([-1e-5, 1 + 1e-5]).reshape(1, 1, 1, 2)
    assert lt.Images(values)[0].image.flatten().tolist() == [0.0, 1.0]
    assert lt.Images(list(values))[0].image.flatten().tolist() == [0.0, 1.0]


def test_the_callers_tensor_is_left_alone() -> None:
    values = torch.full((2, 1, 2, 2), 200, dtype=torch.uint8)
    with_gradient = torch.rand(2, 1, 2, 2, requires_grad=True)
    assert not next(read(lt.Images(with_gradient))).images.requires_grad
    next(read(lt.Images(values)))
    assert values.unique().tolist() == [200]


@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_non_finite_values_name_the_image(as_list: bool, bad: float) -> None:
    values = np.zeros((400, 4, 5), np.float32)
    values[300, 2, 2] = bad
    with pytest.raises(NonFiniteError, match="image 300"):
        as_source(list(values) if as_list else values)[300]  # type: ignore[index]


def test_values_out_of_range_name_the_image() -> None:
    values = torch.zeros(400, 1, 2, 2)
    values[299] = 255.0
    with pytest.raises(InputError, match=r"from 255 to 255 in image 299.*divide 8-bit values by 255"):
        lt.Images(values)
    with pytest.raises(InputError, match=r"eagle must lie in \[0, 1\]"):
        lt.Images(list(values), names=["x"] * 299 + ["eagle"] + ["x"] * 100)[299]


def test_lists_of_everything(tmp_path: Path) -> None:
    Image.new("L", (7, 3), 51).save(tmp_path / "a.png")
    encoded = (tmp_path / "a.png").read_bytes()
    values = [tmp_path / "a.png", str(tmp_path / "a.png"), Image.new("RGB", (4, 4)), torch.zeros(3, 2, 2), encoded]
    source = as_source(values)
    shapes = [tuple(source[index].image.shape) for index in range(5)]  # type: ignore[index]
    assert shapes == [(1, 3, 7), (1, 3, 7), (3, 4, 4), (3, 2, 2), (1, 3, 7)]
    ragged = np.empty(2, dtype=object)
    ragged[:] = [np.zeros((4, 5)), np.zeros((6, 7, 3))]
    assert [tuple(lt.Images(ragged)[index].image.shape) for index in range(2)] == [(1, 4, 5), (3, 6, 7)]


def test_a_path_that_is_not_there_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    source = lt.Images([tmp_path / "gone.png", tmp_path, tmp_path / "empty.png", None, b""])
    for index, message in enumerate(["does not exist", "is no file", "is empty", "is missing", "is empty"]):
        with pytest.raises(UnreadableImageError, match=message):
            source[index]


def test_labels_names_and_negative_indices() -> None:
    labels: Any = [1, None, -1, np.int64(2), torch.tensor(0), 3.0]
    source = lt.Images(torch.zeros(6, 1, 2, 2), labels=labels, names=list("abcdef"))
    assert [source.label(index) for index in range(6)] == [1, None, None, 2, 0, 3]
    assert (source[-1].name, source[-1].label) == ("f", 3)
    assert lt.Images([torch.zeros(1, 2, 2)] * 3)[-1].name == "image 2"
    with pytest.raises(IndexError):
        source[6]


@pytest.mark.parametrize("label", ["cat", 0.5, float("nan"), np.array([0, 1])])
def test_labels_that_are_no_class_index(label: Any) -> None:
    with pytest.raises(InputError, match=r"`labels` must be class indices, got .* for image 1"):
        lt.Images(torch.zeros(2, 1, 2, 2), labels=[0, label])


def test_labels_without_a_name() -> None:
    with pytest.raises(InputError, match="must be from 0 to 1 as there are 2 names, got 2"):
        lt.Images(torch.zeros(2, 1, 2, 2), labels=[0, 2], class_names=["ant", "bee"])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ("birds/", "Read a folder with ImageFolder"),
        (Image.new("L", (2, 2)), r"Put one image in a list"),
        ({"a": 1}, "got dict"),
        (3, "got int"),
        (np.zeros((2, 4, 5), np.int64), "uint8, uint16 or floating point in .*, got int64"),
        (torch.zeros(2, 3, 0, 4), "must hold pixels"),
        (np.zeros((640, 480, 3), np.uint8), r"images\[None\]"),
        (np.zeros(5), r"got shape \(5,\)"),
    ],
    ids=said,
)
def test_what_are_no_images(images: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        lt.Images(images)
