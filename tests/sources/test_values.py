"""Arrays, tensors, lists, data sets and streams."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from _ids import said
from PIL import Image

import likethat as lt
from likethat.errors import InputError, NonFiniteError
from likethat.sources import DatasetSource, IterableSource, as_source


@pytest.mark.parametrize(
    ("array", "shape"),
    [
        (np.zeros((4, 9, 8, 3), np.uint8), (3, 9, 8)),
        (np.zeros((4, 3, 9, 8), np.float32), (3, 9, 8)),
        (np.zeros((4, 9, 8), np.uint16), (1, 9, 8)),
        (torch.zeros(4, 1, 9, 8), (1, 9, 8)),
        (torch.zeros(4, 3, 9, 8, dtype=torch.uint8), (3, 9, 8)),
        ([np.zeros((9, 8, 3), np.uint8)] * 4, (3, 9, 8)),
        ([Image.new("L", (8, 9))] * 4, (1, 9, 8)),
        ([torch.zeros(3, 9, 8)] * 4, (3, 9, 8)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_shapes(array: Any, shape: tuple[int, ...]) -> None:
    source = as_source(array)
    assert len(source) == 4  # type: ignore[arg-type]
    assert tuple(source[3].image.shape) == shape  # type: ignore[index]


@pytest.mark.parametrize(("dtype", "value"), [(np.uint8, 51), (np.uint16, 13107), (np.float32, 0.2), (np.float64, 0.2)])
def test_values(dtype: Any, value: float) -> None:
    assert float(lt.Images(np.full((1, 5, 5, 3), value, dtype))[0].image[0, 0, 0]) == pytest.approx(0.2)


def test_transparency_of_arrays_lies_on_white() -> None:
    image = lt.Images([np.zeros((5, 5, 4), np.uint8)])[0].image
    assert image.shape == (3, 5, 5)
    assert image.unique().tolist() == [1.0]


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (torch.full((2, 3, 4, 4), 2.0), InputError, r"must lie in \[0, 1\], got values from 2 to 2 in image 0"),
        (torch.tensor([[[[0.0]]], [[[float("nan")]]]]), NonFiniteError, "NaN or infinity in image 1"),
        (torch.zeros(3, 4, 4), InputError, r"images\[None\]"),
        (torch.zeros(2, 3, 4, 4, dtype=torch.int64), InputError, "got torch.int64"),
        ([], InputError, "at least one image, got none"),
        (Image.new("RGB", (4, 4)), InputError, "Put it in a list"),
        (17, InputError, "must be a folder, images, or a data set of images, got int"),
    ],
    ids=said,
)
def test_bad_values(images: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        as_source(images)


def test_lists_of_unequal_length() -> None:
    with pytest.raises(InputError, match="one entry an image, got 1 for 2 images"):
        lt.Images(torch.zeros(2, 1, 4, 4), labels=[0])


class _Pairs(torch.utils.data.Dataset[Any]):
    classes = ["ant", "bee"]  # noqa: RUF012 - as torchvision has it

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> Any:
        return torch.full((3, 4, 4), index / 10), index % 2


def test_torch_data_sets() -> None:
    source = as_source(_Pairs())
    assert isinstance(source, DatasetSource)
    assert source.class_names == ("ant", "bee")
    assert (source[3].label, float(source[3].image[0, 0, 0])) == (1, pytest.approx(0.3))


def test_normalised_tensors_are_refused_with_advice() -> None:
    with pytest.raises(InputError, match="Leave out Normalize"):
        DatasetSource([(torch.full((3, 4, 4), -2.0), 0)])[0]


@pytest.mark.parametrize(
    "item",
    [
        {"image": Image.new("RGB", (4, 4)), "label": 3},
        {"pixel_values": torch.zeros(3, 4, 4), "labels": torch.tensor(3)},
    ],
    ids=["pil", "tensor"],
)
def test_dicts(item: dict[str, Any]) -> None:
    assert as_source([item, item])[1].label == 3  # type: ignore[index]


def test_dicts_without_an_image() -> None:
    with pytest.raises(InputError, match=r"must have a key 'image', got a dict with the keys \['text'\]"):
        DatasetSource([{"text": "hello"}])[0]


def test_masks_and_texts_are_no_labels() -> None:
    items = [(torch.zeros(1, 4, 4), value) for value in ("a text", torch.zeros(4, 4), None, -1, [1, 2], 0.5)]
    source = DatasetSource(items)
    assert [source[index].label for index in range(6)] == [None] * 6


def test_hugging_face_data_sets(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"photo": datasets.Image(), "kind": datasets.ClassLabel(names=["ant", "bee"])})
    pictures = [Image.new("RGB", (6, 4), (51 * index, 0, 0)) for index in range(3)]
    data = datasets.Dataset.from_dict({"photo": pictures, "kind": [0, 1, 1]}, features=features)
    source = as_source(data)
    assert source.class_names == ("ant", "bee")  # type: ignore[union-attr]
    assert (source[2].label, float(source[2].image[0, 0, 0])) == (1, pytest.approx(0.4))  # type: ignore[index]
    stream = as_source(data.to_iterable_dataset())
    assert isinstance(stream, IterableSource)
    assert [sample.label for sample in stream] == [0, 1, 1]
    with pytest.raises(InputError, match="must have a column of images"):
        as_source(datasets.Dataset.from_dict({"text": ["a"]}))


def test_streams() -> None:
    def stream() -> Iterator[torch.Tensor]:
        for index in range(5):
            yield torch.full((1, 2, 2), index / 10)

    source = as_source(stream())
    assert isinstance(source, IterableSource)
    assert [sample.name for sample in source] == [f"image {index}" for index in range(5)]
